"""Options for who may call what, and how much at once; the same for both protocols."""

from __future__ import annotations

import argparse

from shoal.gateway.limits import MAX_BYTES, MAX_REQUESTS
from shoal.runtime.arguments import boolean, positive

_FORWARD = "names of headers that become parameters of requests for inference"


def add_access_options(parser: argparse.ArgumentParser) -> None:
    """Each limit holds for one gateway process: several of them share nothing."""
    add = parser.add_argument_group("access", "Limits hold for each gateway process.").add_argument
    add(
        "--http-restricted-api",
        dest="restricted_apis",
        action="append",
        default=[],
        metavar="CATEGORIES:HEADER=VALUE",
        help="ask for a header on the endpoints of these categories",
    )
    add(
        "--grpc-restricted-protocol",
        dest="restricted_protocols",
        action="append",
        default=[],
        metavar="CATEGORIES:KEY=VALUE",
        help="ask for metadata on the calls of these categories",
    )
    add("--api-keys", metavar="FILE", help="TOML file of the API keys without which nobody is served")
    add("--http-header-forward-pattern", dest="http_pattern", default="", metavar="PATTERN", help=_FORWARD)
    add("--grpc-header-forward-pattern", dest="metadata_pattern", default="", metavar="PATTERN", help=_FORWARD)
    add("--max-inflight-requests", type=positive, default=MAX_REQUESTS, metavar="N", help="[%(default)s]")
    add(
        "--max-inflight-bytes",
        type=positive,
        default=MAX_BYTES,
        metavar="BYTES",
        help="bytes of request bodies in flight [%(default)s]",
    )
    add(
        "--overload-control",
        type=boolean,
        default=True,
        metavar="BOOL",
        help="refuse requests for a model that falls behind more and more [true]",
    )
