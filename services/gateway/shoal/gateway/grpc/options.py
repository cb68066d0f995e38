"""Options of the gRPC endpoint, named as tritonserver's, and their frozen form."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Literal, get_args

from shoal.runtime.arguments import boolean

Transport = Literal["auto", "envoy", "grpcio"]


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """How the gRPC endpoint listens. Times in milliseconds as tritonserver has them, None for no limit.

    `transport`: what carries the calls, `auto` takes Envoy where it can run. `reuse_port` lets several processes share
    the port. `keepalive_time_ms`: after how much silence a connection is pinged, `keepalive_timeout_ms`: how long the
    answer may take. `permit_without_calls`, `max_pings_without_data`, `min_ping_interval_ms` and `max_ping_strikes`
    are known to grpcio alone; Envoy pings every connection and bounds a client's pings by its own flood limits.
    `max_connection_age_ms`: when a connection is asked to go away, `max_connection_age_grace_ms`: how long its calls
    may go on then. `exit_timeout_s`: how long calls in flight may go on after the first signal.
    """

    address: str = "0.0.0.0"
    port: int = 8001
    transport: Transport = "auto"
    reuse_port: bool = False
    keepalive_time_ms: int = 7_200_000
    keepalive_timeout_ms: int = 20_000
    permit_without_calls: bool = False
    max_pings_without_data: int = 2
    min_ping_interval_ms: int = 300_000
    max_ping_strikes: int = 2
    max_connection_age_ms: int | None = None
    max_connection_age_grace_ms: int | None = None
    exit_timeout_s: float = 30.0


_DEFAULT = GrpcOptions()

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
    ("--grpc-max-connection-age-grace", "max_connection_age_grace_ms", "ms that its calls may go on then"),
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
    for flag, field, text in _BOOLEANS:
        add(flag, field, text, type=boolean, metavar="BOOL")
    for flag, field, text in _INTEGERS:
        add(flag, field, text, type=int, metavar="N")


def grpc_options(arguments: argparse.Namespace) -> GrpcOptions:
    """The options of a parser that had `add_grpc_options`, and perhaps the process's own `--exit-timeout-secs`."""
    given = {name.removeprefix("grpc_"): value for name, value in vars(arguments).items() if name.startswith("grpc_")}
    return GrpcOptions(**given, exit_timeout_s=getattr(arguments, "exit_timeout_secs", _DEFAULT.exit_timeout_s))
