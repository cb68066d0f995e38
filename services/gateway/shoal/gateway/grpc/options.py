"""Options of the gRPC endpoint, named as tritonserver's, and their frozen form."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Literal, get_args

from shoal.gateway.limits import MESSAGE_LIMIT_BYTES
from shoal.runtime.arguments import boolean
from shoal.runtime.tls import TlsFiles, tls_files

Transport = Literal["auto", "envoy", "grpcio"]
CompressionLevel = Literal["none", "low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """How the gRPC endpoint listens. Times in milliseconds as tritonserver has them, None for no limit.

    `transport`: what carries the calls, `auto` takes Envoy where it can run. `reuse_port` lets several processes share
    the port. `keepalive_time_ms`: after how much silence a connection is pinged, `keepalive_timeout_ms`: how long the
    answer may take. `permit_without_calls`, `max_pings_without_data`, `min_ping_interval_ms` and `max_ping_strikes`
    are known to grpcio alone; Envoy pings every connection and bounds a client's pings by its own flood limits.
    `response_compression`: how much responses to inference requests are compressed for clients that can read it.
    `max_connection_age_ms`: when a connection is asked to go away, `max_connection_age_grace_ms`: how long its calls
    may go on then; Envoy lets them finish. `message_limit_nbytes`: how large a message may be. `tls` None: in the
    clear. `exit_timeout_s`: how long calls in flight may go on after the first signal.
    """

    address: str = "0.0.0.0"
    port: int = 8001
    transport: Transport = "auto"
    reuse_port: bool = False
    response_compression: CompressionLevel = "none"
    keepalive_time_ms: int = 7_200_000
    keepalive_timeout_ms: int = 20_000
    permit_without_calls: bool = False
    max_pings_without_data: int = 2
    min_ping_interval_ms: int = 300_000
    max_ping_strikes: int = 2
    max_connection_age_ms: int | None = None
    max_connection_age_grace_ms: int | None = None
    message_limit_nbytes: int = MESSAGE_LIMIT_BYTES
    tls: TlsFiles | None = None
    exit_timeout_s: float = 30.0


_DEFAULT = GrpcOptions()
#: What a message has beside the tensors, which are what `--max-inflight-bytes` bounds.
_AROUND_TENSORS_BYTES = 2**20

#: Between falling readiness and the end of accepting, so that whoever watches readiness can turn away first.
DRAIN_NOTICE_S = 0.3

#: Option, field, help.
_BOOLEANS = (
    ("--reuse-grpc-port", "reuse_port", "share the port with other processes"),
    ("--grpc-keepalive-permit-without-calls", "permit_without_calls", "ping idle connections too (grpcio)"),
)
_INTEGERS = (
    ("--grpc-keepalive-time", "keepalive_time_ms", "silence in ms after which a connection is pinged"),
    ("--grpc-keepalive-timeout", "keepalive_timeout_ms", "ms that the answer to a ping may take"),
    ("--grpc-http2-max-pings-without-data", "max_pings_without_data", "pings before data must be sent (grpcio)"),
    (
        "--grpc-http2-min-recv-ping-interval-without-data",
        "min_ping_interval_ms",
        "ms between two pings of a client (grpcio)",
    ),
    ("--grpc-http2-max-ping-strikes", "max_ping_strikes", "bad pings before a connection is closed (grpcio)"),
    ("--grpc-max-connection-age", "max_connection_age_ms", "ms that a connection may live"),
    ("--grpc-max-connection-age-grace", "max_connection_age_grace_ms", "ms that its calls may go on then (grpcio)"),
)
_TLS_SWITCHES = (
    ("--grpc-use-ssl", "uses_tls", "serve over TLS"),
    ("--grpc-use-ssl-mutual", "uses_mutual_tls", "serve over TLS, to clients with a certificate alone"),
)
_TLS_FILES = (
    ("--grpc-server-cert", "tls_certificate", "the certificate"),
    ("--grpc-server-key", "tls_key", "the private key"),
    ("--grpc-root-cert", "tls_client_ca", "the authority whose certificates clients must have"),
)


def add_grpc_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the gRPC endpoint; `grpc_options` reads them."""
    group = parser.add_argument_group("gRPC")

    def add(flag: str, field: str, text: str, **more: Any) -> None:
        default = getattr(_DEFAULT, field)
        shown = "no limit" if default is None else str(default).lower()
        group.add_argument(flag, dest=f"grpc_{field}", default=default, help=f"{text} [{shown}]", **more)

    add("--grpc-address", "address", "address to listen at", metavar="ADDRESS")
    add("--grpc-port", "port", "port to listen at, 0 for any free one", type=int, metavar="PORT")
    add("--grpc-transport", "transport", "what carries the calls", choices=get_args(Transport))
    add(
        "--grpc-infer-response-compression-level",
        "response_compression",
        "compression of inference responses",
        choices=get_args(CompressionLevel),
    )
    for flag, field, text in _BOOLEANS:
        add(flag, field, text, type=boolean, metavar="BOOL")
    for flag, field, text in _INTEGERS:
        add(flag, field, text, type=int, metavar="N")
    for flag, name, text in _TLS_SWITCHES:
        group.add_argument(flag, dest=name, type=boolean, default=False, metavar="BOOL", help=f"{text} [false]")
    for flag, name, text in _TLS_FILES:
        group.add_argument(flag, dest=name, default="", metavar="FILE", help=f"PEM file of {text}")


def grpc_options(arguments: argparse.Namespace) -> GrpcOptions:
    """The options of a parser that had `add_grpc_options`, and perhaps the process's own `--exit-timeout-secs` and
    `--max-inflight-bytes`. Raises
    InvalidArgument when a file for TLS is missing."""
    given = {name.removeprefix("grpc_"): value for name, value in vars(arguments).items() if name.startswith("grpc_")}
    limit = _message_limit(arguments)
    return GrpcOptions(
        **given,
        message_limit_nbytes=limit,
        tls=_tls(arguments),
        exit_timeout_s=getattr(arguments, "exit_timeout_secs", _DEFAULT.exit_timeout_s),
    )


def _message_limit(arguments: argparse.Namespace) -> int:
    """A message that would be refused for its size need not be received, nor decompressed."""
    if "max_inflight_bytes" not in arguments:
        return MESSAGE_LIMIT_BYTES
    return min(MESSAGE_LIMIT_BYTES, int(arguments.max_inflight_bytes) + _AROUND_TENSORS_BYTES)


def _tls(arguments: argparse.Namespace) -> TlsFiles | None:
    if not (arguments.uses_tls or arguments.uses_mutual_tls):
        return None
    paths = (arguments.tls_certificate, arguments.tls_key, arguments.tls_client_ca)
    return tls_files("grpc", *paths, is_mutual=arguments.uses_mutual_tls)
