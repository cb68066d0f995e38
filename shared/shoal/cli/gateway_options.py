"""Options that the gateways take over as they are; checked here, so that a start fails before anything runs."""

from __future__ import annotations

from pathlib import Path

from shoal.cli.command_line import Given, UsageError
from shoal.core.errors import InvalidArgument
from shoal.core.restricted_api import Feature, parse_restrictions
from shoal.runtime.api_keys import read_api_keys
from shoal.runtime.tls import server_context, tls_files

_BOTH = ("api-keys", "max-inflight-requests", "max-inflight-bytes", "overload-control")
_HTTP = (
    "http-restricted-api",
    "http-header-forward-pattern",
    "http-server-cert",
    "http-server-key",
    "http-root-cert",
    "http-max-connections",
)
_GRPC = (
    "grpc-restricted-protocol",
    "grpc-header-forward-pattern",
    "grpc-use-ssl",
    "grpc-use-ssl-mutual",
    "grpc-server-cert",
    "grpc-server-key",
    "grpc-root-cert",
    "grpc-infer-response-compression-level",
    "grpc-keepalive-time",
    "grpc-keepalive-timeout",
    "grpc-keepalive-permit-without-calls",
    "grpc-http2-max-pings-without-data",
    "grpc-http2-min-recv-ping-interval-without-data",
    "grpc-http2-max-ping-strikes",
    "grpc-max-connection-age",
    "grpc-max-connection-age-grace",
)
_RESTRICTIONS: tuple[tuple[str, Feature], ...] = (
    ("http-restricted-api", "api"),
    ("grpc-restricted-protocol", "protocol"),
)


def http_flags(given: Given) -> tuple[str, ...]:
    """What was given for the HTTP gateway, spelled `--name=value`."""
    return _spelled(given, (*_BOTH, *_HTTP))


def grpc_flags(given: Given) -> tuple[str, ...]:
    """What was given for the gRPC gateway, spelled `--name=value`."""
    return _spelled(given, (*_BOTH, *_GRPC))


def check_gateway_options(given: Given) -> None:
    """Raises UsageError when restrictions contradict each other, or a file is not there or not what it should be."""
    for name, feature in _RESTRICTIONS:
        try:
            parse_restrictions(given.texts(name), feature)
        except InvalidArgument as error:
            raise UsageError(f'Bad option: "--{name}".\n{error.message}') from None
    try:
        _check_files(given)
    except InvalidArgument as error:
        raise UsageError(error.message) from None


def _check_files(given: Given) -> None:
    if given.text("api-keys"):
        read_api_keys(Path(given.text("api-keys")))
    is_mutual = given.boolean("grpc-use-ssl-mutual")
    if is_mutual or given.boolean("grpc-use-ssl"):
        _check_tls(given, "grpc", is_mutual)
    if any(given.text(f"http-{name}") for name in ("server-cert", "server-key", "root-cert")):
        _check_tls(given, "http", bool(given.text("http-root-cert")))


def _check_tls(given: Given, protocol: str, is_mutual: bool) -> None:
    paths = (given.text(f"{protocol}-{name}") for name in ("server-cert", "server-key", "root-cert"))
    server_context(tls_files(protocol, *paths, is_mutual=is_mutual))


def _spelled(given: Given, names: tuple[str, ...]) -> tuple[str, ...]:
    flags = []
    for name in names:
        values = given.values.get(name, ())
        kept = values if given.options[name].repeatable else values[-1:]
        flags += [f"--{name}={value}" for value in kept]
    return tuple(flags)
