"""The processes of one machine and their command lines, put together from the options of a start. Pure."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from shoal.bus import BusSettings, EmbeddedBroker
from shoal.cli.serve_options import Endpoint, ServeOptions
from shoal.memory.settings import SHM_LIMIT, SHM_SERVER
from shoal.runtime.settings import SEAT, to_environment
from shoal.runtime.supervisor import Command
from shoal.telemetry.log_settings import LOG_FILE, LOG_SETTINGS

#: Drained in this order: who lets requests in goes first, who carries them last.
GATEWAY, REPOSITORY, SCHEDULER, AGENT, BROKER = range(5)

#: Large messages come and go all the time: glibc should keep their memory, since page faults cost more than the copies
#: (600 KB echoed by the bus: 1.0 ms of CPU without these, 0.3 ms with them).
_KEEP_FREED_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(256 * 2**20), "MALLOC_MMAP_THRESHOLD_": str(64 * 2**20)}


def service_environment(options: ServeOptions, settings: BusSettings, folder: Path, server: str) -> dict[str, str]:
    """What every service finds in its environment: the broker with its secrets, how to log, its share of the shared
    memory, which is marked as that of `server`, and `folder` as the place for temporary files, so that those of
    frameworks and models go when the server does."""
    log_file = {LOG_FILE: str(options.log_file)} if options.log_file else {}
    log = {LOG_SETTINGS: json.dumps(options.log.to_json()), **log_file}
    limit = {} if options.shm_limit_nbytes is None else {SHM_LIMIT: str(options.shm_limit_nbytes)}
    memory = {**limit, SHM_SERVER: server}
    return {**_KEEP_FREED_MEMORY, **to_environment(settings), **log, **memory, "TMPDIR": str(folder)}


def broker_command(broker: EmbeddedBroker, folder: Path) -> Command:
    """A broker of our own. What it prints goes to a file in `folder`, since it is many lines that nobody needs."""
    argv = [sys.executable, "-m", "shoal.runtime.launch", "--", *broker.argv]
    return Command("broker", BROKER, argv, output=folder / "nats-server.log")


def service_commands(options: ServeOptions, environment: Mapping[str, str]) -> list[Command]:
    """The services to supervise, in the order of the start; `environment` is that of `service_environment`."""
    services = [
        _service("repository", REPOSITORY, "shoal.repository", _repository(options), environment),
        _service("scheduler", SCHEDULER, "shoal.scheduler", [], environment),
        _service("agent", AGENT, "shoal.workers", [_load_threads(options)], environment),
    ]
    if options.http is not None:
        services += _gateways("HTTP gateway", options, _http(options, options.http), environment)
    if options.grpc is not None:
        services += _gateways("gRPC gateway", options, _grpc(options, options.grpc), environment)
    return services


def _gateways(
    name: str, options: ServeOptions, arguments: Sequence[str], environment: Mapping[str, str]
) -> list[Command]:
    """The processes that serve one protocol, numbered where there are several."""
    count = options.gateway_processes
    names = [name] if count == 1 else [f"{name} {number}" for number in range(1, count + 1)]
    return [_service(each, GATEWAY, "shoal.gateway", arguments, environment) for each in names]


def _service(name: str, stage: int, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Command:
    seat = f"{environment[SHM_SERVER]}/{name}"
    return Command(name, stage, [sys.executable, "-m", module, *arguments], {**environment, SEAT: seat})


def _repository(options: ServeOptions) -> list[str]:
    return [
        *(f"--model-repository={path}" for path in options.repositories),
        *([] if options.auto_complete_config else ["--disable-auto-complete-config"]),
        *(f"--backend-config={setting}" for setting in options.backend_config),
        *([] if options.model_config_name is None else [f"--model-config-name={options.model_config_name}"]),
        _load_threads(options),
        f"--worker-wait={options.worker_wait_s}",
    ]


def _load_threads(options: ServeOptions) -> str:
    return f"--model-load-thread-count={options.model_load_threads}"


def _http(options: ServeOptions, endpoint: Endpoint) -> list[str]:
    return [
        *("--protocol", "http"),
        *_endpoint("http", endpoint),
        f"--http-max-input-size={options.http_max_input_bytes}",
        *options.http_flags,
        *_answers(options),
    ]


def _grpc(options: ServeOptions, endpoint: Endpoint) -> list[str]:
    return [
        *("--protocol", "grpc"),
        *_endpoint("grpc", endpoint),
        f"--grpc-transport={options.grpc_transport}",
        *options.grpc_flags,
        *_answers(options),
    ]


def _endpoint(protocol: str, endpoint: Endpoint) -> list[str]:
    reuse = str(endpoint.reuse_port).lower()
    return [
        f"--{protocol}-address={endpoint.address}",
        f"--{protocol}-port={endpoint.port}",
        f"--reuse-{protocol}-port={reuse}",
    ]


def _answers(options: ServeOptions) -> list[str]:
    """What both protocols answer with."""
    return [
        f"--id={options.server_id}",
        f"--strict-readiness={str(options.strict_readiness).lower()}",
        f"--exit-timeout-secs={max(1, options.exit_timeout_s)}",
        f"--allow-client-shm={str(options.allow_client_shm).lower()}",
        *(f"--trace-config={setting}" for setting in options.trace_config),
        *([] if options.default_deadline_ms is None else [f"--default-deadline={options.default_deadline_ms}"]),
    ]
