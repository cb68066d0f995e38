"""From a command line to what `shoal serve` does: defaults filled in, options checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shoal.bus import BusSettings
from shoal.cli.command_line import Given, UsageError
from shoal.cli.gateway_options import check_gateway_options, grpc_flags, http_flags
from shoal.cli.trace_options import trace_config
from shoal.core.errors import InvalidArgument
from shoal.memory.settings import limit_from
from shoal.runtime.settings import BUS_OPTIONS, from_fields
from shoal.telemetry.log_settings import LogSettings


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

    `http` and `grpc` None: not served; `gateway_processes` serve each of them. `broker` None: a broker of our own is
    started. `backend_config` holds the settings as they were given, `http_flags` and `grpc_flags` what the gateways
    take over as it is, spelled `--name=value`, `trace_config` the trace settings as `--trace-config` has them.
    `log_file` None: standard error. `exit_timeout_s` bounds the whole drain; `default_deadline_ms` None: no deadline.
    `shm_limit_nbytes` is for each process; 0: no shared memory, None: half of what there is. `allow_client_shm`:
    clients may register shared memory of their own.
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
    gateway_processes: int
    http: Endpoint | None
    http_max_input_bytes: int
    http_flags: tuple[str, ...]
    grpc: Endpoint | None
    grpc_transport: str
    grpc_flags: tuple[str, ...]
    default_deadline_ms: int | None
    shm_limit_nbytes: int | None
    allow_client_shm: bool
    trace_config: tuple[str, ...]
    log: LogSettings
    log_file: Path | None
    broker: BusSettings | None
    namespace: str


def resolve(given: Given, environment: Mapping[str, str]) -> ServeOptions:
    """The options of a start. Raises UsageError when they contradict each other or name what is not there."""
    _check_model_control(given)
    _check_cache(given)
    check_gateway_options(given)
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
        gateway_processes=given.number("gateway-processes"),
        http=_endpoint(given, "http"),
        http_max_input_bytes=given.number("http-max-input-size"),
        http_flags=http_flags(given),
        grpc=_endpoint(given, "grpc"),
        grpc_transport=given.text("grpc-transport"),
        grpc_flags=grpc_flags(given),
        default_deadline_ms=given.number("default-deadline") if given.is_given("default-deadline") else None,
        shm_limit_nbytes=_shm_limit(given, environment),
        allow_client_shm=given.boolean("allow-client-shm"),
        trace_config=trace_config(given),
        log=_log(given),
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


def _log(given: Given) -> LogSettings:
    """Logs have Shoal's own form unless one of Triton's was asked for, be it its default."""
    settings = LogSettings(
        info=given.boolean("log-info"),
        warning=given.boolean("log-warning"),
        error=given.boolean("log-error"),
        verbose_level=given.number("log-verbose"),
    )
    return settings.updated({"log_format": given.text("log-format")}) if given.is_given("log-format") else settings


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
