"""Options of a gateway process, named as tritonserver's, and the frozen form of those that HTTP needs."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from shoal.bus import Bus
from shoal.gateway.gateway import Gateway
from shoal.gateway.grpc.options import add_grpc_options

#: The roles whose heartbeats a gateway follows.
LISTEN_TO = ("scheduler", "agent", "gateway", "executor")

_MAX_INPUT_NBYTES = 64 * 1024 * 1024
_BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How the HTTP endpoint listens. `port` 0 means any free one; `reuse_port` lets several processes share a port.

    `max_input_nbytes` bounds what has to be held twice to be read: JSON, bare tensor bytes, decompressed bodies.
    `exit_timeout_s`: how long requests in flight may go on after the first signal.
    """

    address: str
    port: int
    reuse_port: bool
    max_input_nbytes: int
    exit_timeout_s: int


def make_parser() -> argparse.ArgumentParser:
    """The parser of `python -m shoal.gateway`, without the bus options."""
    parser = argparse.ArgumentParser("shoal.gateway", description="Serve one protocol of the inference server.")
    parser.add_argument("--protocol", choices=("http", "grpc"), required=True, help="the protocol to serve")
    parser.add_argument("--id", default="triton", help="the server's name in its metadata [%(default)s]")
    parser.add_argument(
        "--strict-readiness", type=_boolean, default=True, help="ready only when every model is [%(default)s]"
    )
    parser.add_argument(
        "--default-deadline",
        type=_positive,
        metavar="MILLISECONDS",
        help="deadline of a request that brings none [no deadline]",
    )
    group = parser.add_argument_group("HTTP")
    group.add_argument("--http-address", default="0.0.0.0", help="address to listen at [%(default)s]")
    group.add_argument(
        "--http-port", type=int, default=8000, help="port to listen at, 0 for any free one [%(default)s]"
    )
    group.add_argument(
        "--reuse-http-port", type=_boolean, default=False, help="share the port with other processes [%(default)s]"
    )
    group.add_argument(
        "--http-max-input-size",
        type=_positive,
        default=_MAX_INPUT_NBYTES,
        metavar="BYTES",
        help="largest JSON part, raw request or decompressed body [%(default)s]",
    )
    group.add_argument(
        "--exit-timeout-secs",
        type=_positive,
        default=30,
        metavar="SECONDS",
        help="how long requests in flight may go on after the first signal [%(default)s]",
    )
    add_grpc_options(parser)
    return parser


def http_options(arguments: argparse.Namespace) -> HttpOptions:
    """The HTTP options of a parser that `make_parser` made."""
    return HttpOptions(
        address=arguments.http_address,
        port=arguments.http_port,
        reuse_port=arguments.reuse_http_port,
        max_input_nbytes=arguments.http_max_input_size,
        exit_timeout_s=arguments.exit_timeout_secs,
    )


def make_gateway(bus: Bus, arguments: argparse.Namespace) -> Gateway:
    """The gateway of a process with these options, not opened yet."""
    return Gateway(
        bus,
        server_id=arguments.id,
        strict_readiness=arguments.strict_readiness,
        default_deadline_ms=arguments.default_deadline,
    )


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false") from None


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number
