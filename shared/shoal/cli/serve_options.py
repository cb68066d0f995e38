"""From a command line to what `shoal serve` does: defaults filled in, options checked against each other."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shoal.bus import BusSettings
from shoal.cli.command_line import Given, UsageError
from shoal.core.errors import InvalidArgument
from shoal.memory.settings import limit_from
from shoal.runtime.settings import BUS_OPTIONS, from_fields

#: Options for gRPC's connections, which its gateway takes by the same names.
GRPC_CONNECTION = (
    "grpc-keepalive-time",
    "grpc-keepalive-timeout",
    "grpc-keepalive-permit-without-calls",
    "grpc-http2-max-pings-without-data",
    "grpc-http2-min-recv-ping-interval-without-data",
    "grpc-http2-max-ping-strikes",
    "grpc-max-connection-age",
    "grpc-max-connection-age-grace",
)

#: Options that protect an endpoint and do not work yet, and what is therefore missing.
PROTECTION = {
    "grpc-use-ssl": "gRPC is not served over TLS",
    "grpc-use-ssl-mutual": "gRPC is not served over TLS",
    "http-restricted-api": "HTTP endpoints cannot be restricted",
    "grpc-restricted-protocol": "gRPC protocols cannot be restricted",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a gateway listens. `reuse_port`: share the port with other processes."""

    address: str
    port: int
    reuse_port: bool

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The effective options of a start.

    `http` and `grpc` None: not served. `broker` None: a broker of our own is started. `backend_config` holds the
    settings as they were given, `grpc_connection` the options for connections, spelled `--name=value`. `log_file` None:
    standard error. `exit_timeout_s` bounds the whole drain; `default_deadline_ms` None: no deadline.
    `shm_limit_nbytes` is for each process; 0: no shared memory, None: half of what there is.
    """

    server_id: str
    exit_timeout_s: int
    repositories: tuple[Path, ...]
    exit_on_error: bool
    auto_complete_config: bool
    strict_readiness: bool
    model_config_name: str | None
    model_load_threads: int
    worker_wait_s: float
    backend_config: tuple[str, ...]
    http: Endpoint | None
    http_max_input_bytes: int
    grpc: Endpoint | None
    grpc_transport: str
    grpc_connection: tuple[str, ...]
    default_deadline_ms: int | None
    shm_limit_nbytes: int | None
    log_level: str
    log_file: Path | None
    broker: BusSettings | None
    namespace: str


def resolve(given: Given, environment: Mapping[str, str]) -> ServeOptions:
    """The options of a start. Raises UsageError when they contradict each other or name what is not there."""
    _check_model_control(given)
    _check_cache(given)
    _check_protection(given)
    if given.is_given("model-config-name") and not given.text("model-config-name"):
        raise UsageError("Error: empty argument for --model-config-name")
    log_file = given.text("log-file")
    broker, namespace = _broker(given, environment)
    return ServeOptions(
        server_id=given.text("id"),
        exit_timeout_s=given.number("exit-timeout-secs"),
        repositories=_repositories(given),
        exit_on_error=given.boolean("exit-on-error"),
        auto_complete_config=not (
            given.boolean("disable-auto-complete-config") or given.boolean("strict-model-config")
        ),
        strict_readiness=given.boolean("strict-readiness"),
        model_config_name=given.text("model-config-name") or None,
        worker_wait_s=float(given.text("worker-wait")),
        model_load_threads=given.number("model-load-thread-count"),
        backend_config=given.texts("backend-config"),
        http=_endpoint(given, "http"),
        http_max_input_bytes=given.number("http-max-input-size"),
        grpc=_endpoint(given, "grpc"),
        grpc_transport=given.text("grpc-transport"),
        grpc_connection=tuple(f"--{name}={given.text(name)}" for name in GRPC_CONNECTION if given.is_given(name)),
        default_deadline_ms=given.number("default-deadline") if given.is_given("default-deadline") else None,
        shm_limit_nbytes=_shm_limit(given, environment),
        log_level=_log_level(given),
        log_file=Path(log_file) if log_file else None,
        broker=broker,
        namespace=namespace,
    )


def check_ports(given: Given) -> None:
    """Raise UsageError when two enabled services are to listen at the same address and port."""
    taken: dict[tuple[str, int], str] = {}
    for service in ("http", "grpc", "metrics"):
        if not given.boolean(f"allow-{service}"):
            continue
        address = given.text(f"{service}-address") or given.text("http-address")
        place = (address, given.number(f"{service}-port"))
        if place in taken and place[1] != 0:
            raise UsageError(
                f"--{taken[place]}-port and --{service}-port are both {place[1]} at {address}; give one another port"
            )
        taken[place] = service


def _check_model_control(given: Given) -> None:
    names = given.texts("load-model")
    if names and given.text("model-control-mode") != "explicit":
        raise UsageError("Error: Use of '--load-model' requires setting '--model-control-mode=explicit' as well.")
    if "*" in names and len(set(names)) > 1:
        raise UsageError("Wildcard model name '*' must be the ONLY startup model if specified at all.")


def _check_cache(given: Given) -> None:
    caches = {setting.partition(",")[0] for setting in given.texts("cache-config")}
    if caches and given.is_given("response-cache-byte-size"):
        raise UsageError(
            "Error: Incompatible flags --response-cache-byte-size and --cache-config both provided. "
            "Please provide one or the other."
        )
    if len(caches) > 1:
        raise UsageError("found multiple cache configurations, but only a single cache is currently supported")


def _check_protection(given: Given) -> None:
    """Refuse to start without the protection that was asked for: a warning would be read too late."""
    for name, lack in PROTECTION.items():
        if given.is_given(name) and given.last(name) is not False:
            raise UsageError(f"--{name}: {lack} in this release; leave the option out to serve unprotected")


def _repositories(given: Given) -> tuple[Path, ...]:
    paths = (*given.texts("model-repository"), *given.texts("model-store"))
    if not paths:
        raise UsageError("--model-repository must be specified")
    for path in paths:
        if "://" in path:
            raise UsageError(f"model repository '{path}': only local directories can be served yet")
        if not Path(path).is_dir():
            raise UsageError(f"repository path is not a valid directory: '{path}'")
    return tuple(Path(path).resolve() for path in paths)


def _endpoint(given: Given, service: str) -> Endpoint | None:
    if not given.boolean(f"allow-{service}"):
        return None
    return Endpoint(
        given.text(f"{service}-address"), given.number(f"{service}-port"), given.boolean(f"reuse-{service}-port")
    )


def _log_level(given: Given) -> str:
    """The lowest level that is logged: each of Triton's switches hides its own level and, here, those below."""
    if given.number("log-verbose") > 0:
        return logging.getLevelName(logging.DEBUG)
    for name, level in (("log-info", logging.INFO), ("log-warning", logging.WARNING), ("log-error", logging.ERROR)):
        if given.boolean(name):
            return logging.getLevelName(level)
    return logging.getLevelName(logging.CRITICAL)


def _shm_limit(given: Given, environment: Mapping[str, str]) -> int | None:
    if given.is_given("shm-limit"):
        return given.number("shm-limit")
    try:
        return limit_from(environment)
    except InvalidArgument as error:
        raise UsageError(error.message) from None


def _broker(given: Given, environment: Mapping[str, str]) -> tuple[BusSettings | None, str]:
    """The broker to join (None: start one), and the namespace in it."""
    fields: dict[str, str] = {}
    for option in BUS_OPTIONS:
        said = given.text(option.flag.removeprefix("--")) if option.flag else ""
        value = said or environment.get(option.environment)
        if value:
            fields[option.field] = value
    try:
        settings = from_fields(fields)
    except InvalidArgument as error:
        raise UsageError(error.message) from None
    if "url" in fields:
        return settings, settings.namespace
    pointless = fields.keys() - {"namespace", "connect_timeout_s"}
    if pointless:
        raise UsageError(
            f"options for a broker ({', '.join(sorted(pointless))}) without --nats-url: which one to join?"
        )
    return None, settings.namespace
