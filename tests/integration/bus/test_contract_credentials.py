"""Brokers that ask who we are: users, TLS and mutual TLS, with a real nats-server and a private authority."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from shoal.bus import Bus, BusSettings, find_nats_server, free_port
from shoal.core.errors import Unavailable
from shoal.core.messages import V1, NotOwner

CONFIG = """
listen: "127.0.0.1:{port}"
authorization {{ user: "shoal", password: "s3cr3t" }}
tls {{
  cert_file: "{folder}/server.pem"
  key_file: "{folder}/server.key"
  ca_file: "{folder}/ca.pem"
  verify: {verify}
}}
"""


def write_certificates(folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, identity in (("server", "localhost"), ("client", "shoal@example.com")):
        certificate = authority.issue_cert(identity)
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")


@pytest.fixture(params=[False, True], ids=["TLS", "mutual TLS"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BusSettings]:
    """How to reach a running broker that asks for a user and TLS; complete."""
    write_certificates(tmp_path)
    port, verify = free_port(), str(request.param).lower()
    (tmp_path / "nats.conf").write_text(CONFIG.format(port=port, folder=tmp_path, verify=verify))
    argv = [str(find_nats_server()), "-c", str(tmp_path / "nats.conf")]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        client = {"tls_cert": str(tmp_path / "client.pem"), "tls_key": str(tmp_path / "client.key")}
        yield BusSettings(
            url=f"tls://localhost:{port}",
            user="shoal",
            password="s3cr3t",
            tls_ca=str(tmp_path / "ca.pem"),
            tls_cert=client["tls_cert"] if request.param else None,
            tls_key=client["tls_key"] if request.param else None,
            connect_timeout_s=10,
        )
        process.kill()


async def test_messages_travel_over_tls(settings: BusSettings) -> None:
    bus = await Bus.connect(settings, "gateway")
    heard: asyncio.Future[NotOwner] = asyncio.get_running_loop().create_future()
    bus.on(NotOwner, lambda sender, message, part: heard.set_result(message))
    await bus.start()
    bus.send(bus.incarnation, NotOwner(V1, (7,)))
    assert (await asyncio.wait_for(heard, 5)).counters == (7,)
    await bus.close()


@pytest.mark.parametrize("lack", [{"password": "wrong"}, {"tls_ca": None}], ids=["wrong password", "no authority"])
async def test_a_broker_that_refuses_us_is_named(settings: BusSettings, lack: dict[str, str | None]) -> None:
    refused = replace(settings, connect_timeout_s=2, **lack)  # type: ignore[arg-type]  # of the text fields
    with pytest.raises(Unavailable, match=settings.url):
        await Bus.connect(refused, "gateway")
