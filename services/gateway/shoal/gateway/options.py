"""Options of a gateway process, named as tritonserver's, and the frozen form of those that HTTP needs."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from shoal.gateway.access.options import add_access_options
from shoal.gateway.grpc.options import add_grpc_options
from shoal.runtime.arguments import boolean, positive
from shoal.runtime.tls import TlsFiles, tls_files

#: The roles whose heartbeats a gateway follows.
LISTEN_TO = ("scheduler", "agent", "gateway", "executor")

_MAX_INPUT_NBYTES = 64 * 1024 * 1024
_MAX_CONNECTIONS = 4096


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How the HTTP endpoint listens. `port` 0 means any free one; `reuse_port` lets several processes share a port.

    `max_input_nbytes` bounds what has to be held twice to be read: JSON, bare tensor bytes, decompressed bodies.
    `exit_timeout_s`: how long requests in flight may go on after the first signal. `max_connections`: more are refused.
    `tls` None: plain HTTP.
    """

    address: str
    port: int
    reuse_port: bool
    max_input_nbytes: int
    exit_timeout_s: int
    max_connections: int = _MAX_CONNECTIONS
    tls: TlsFiles | None = None


def make_parser() -> argparse.ArgumentParser:
    """The parser of `python -m shoal.gateway`, without the bus options."""
    parser = argparse.ArgumentParser(
        prog="python -m shoal.gateway",
        usage="%(prog)s --protocol {http,grpc} [--name=value ...]",
        description="Gateway: serves one protocol to clients",
    )
    parser.add_argument("--protocol", choices=("http", "grpc"), required=True, help="the protocol to serve")
    parser.add_argument("--id", default="triton", help="the server's name in its metadata [%(default)s]")
    parser.add_argument(
        "--strict-readiness", type=boolean, default=True, metavar="BOOL", help="ready only when every model is [true]"
    )
    parser.add_argument(
        "--default-deadline",
        type=positive,
        metavar="MILLISECONDS",
        help="deadline of a request that brings none [no deadline]",
    )
    parser.add_argument(
        "--allow-client-shm",
        type=boolean,
        default=False,
        metavar="BOOL",
        help="let clients register shared memory [false]",
    )
    parser.add_argument(
        "--trace-config",
        action="append",
        default=[],
        metavar="<mode>,<setting>=<value>",
        help="a trace setting of the start; also <setting>=<value> for every mode",
    )
    add_access_options(parser)
    _add_http_options(parser)
    add_grpc_options(parser)
    return parser


def _add_http_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("HTTP").add_argument
    add("--http-address", default="0.0.0.0", metavar="ADDRESS", help="address to listen at [%(default)s]")
    add(
        "--http-port",
        type=int,
        default=8000,
        metavar="PORT",
        help="port to listen at, 0 for any free one [%(default)s]",
    )
    add(
        "--reuse-http-port",
        type=boolean,
        default=False,
        metavar="BOOL",
        help="share the port with other processes [false]",
    )
    add(
        "--http-max-connections",
        type=positive,
        default=_MAX_CONNECTIONS,
        metavar="N",
        help="connections of clients; more are refused [%(default)s]",
    )
    for flag, what in (
        ("--http-server-cert", "the certificate: HTTP is served over TLS"),
        ("--http-server-key", "the private key"),
        ("--http-root-cert", "the authority whose certificates clients must have"),
    ):
        add(flag, default="", metavar="FILE", help=f"PEM file of {what}")
    add(
        "--http-max-input-size",
        type=positive,
        default=_MAX_INPUT_NBYTES,
        metavar="BYTES",
        help="largest JSON part, raw request or decompressed body [%(default)s]",
    )
    add(
        "--exit-timeout-secs",
        type=positive,
        default=30,
        metavar="SECONDS",
        help="how long requests in flight may go on after the first signal [%(default)s]",
    )


def http_options(arguments: argparse.Namespace) -> HttpOptions:
    """The HTTP options of a parser that `make_parser` made. Raises InvalidArgument when a file for TLS is missing."""
    certificate, key, client_ca = arguments.http_server_cert, arguments.http_server_key, arguments.http_root_cert
    is_secure = bool(certificate or key or client_ca)
    return HttpOptions(
        address=arguments.http_address,
        port=arguments.http_port,
        reuse_port=arguments.reuse_http_port,
        max_input_nbytes=arguments.http_max_input_size,
        exit_timeout_s=arguments.exit_timeout_secs,
        max_connections=arguments.http_max_connections,
        tls=tls_files("http", certificate, key, client_ca, is_mutual=bool(client_ca)) if is_secure else None,
    )
