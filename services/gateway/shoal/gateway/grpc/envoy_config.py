"""Envoy's configuration for one gRPC endpoint: one listener, one filter, which hands calls to Python.

What differs from Envoy's defaults, and why: a silent call may stay silent for ever (a model may take longer than five
minutes), connections stay open, the port is shared only when asked for, and the admin interface is a socket that only
this process can reach.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shoal.gateway.grpc.choose import EnvoyFiles
from shoal.gateway.grpc.listen_address import ListenAddress
from shoal.gateway.grpc.options import GrpcOptions
from shoal.runtime.tls import TlsFiles

LISTENER = "grpc"

#: Large tensors arrive in few pieces and do not wait for window updates.
_STREAM_WINDOW_BYTES = 16 * 2**20
_CONNECTION_WINDOW_BYTES = 64 * 2**20
_BUFFER_BYTES = 16 * 2**20
#: As many as responses of 2 GiB have; Envoy's own limit takes 160 MB that a slow client has yet to read for an attack,
#: and closes its connection. Answers to what a client may send for nothing (pings, settings) have a limit of their own.
_MAX_OUTBOUND_FRAMES = 2**31 // 2**14

#: Printable ASCII without escapes, which pyvoy would decode.
_PLAIN_PATH = "[!-$&-~]*"

_NO_LIMIT = "0s"
_TYPES = "type.googleapis.com"
_EXTENSIONS = f"{_TYPES}/envoy.extensions.filters"


def envoy_config(
    options: GrpcOptions, address: ListenAddress, files: EnvoyFiles, app: str, admin_socket: str
) -> dict[str, Any]:
    """The bootstrap configuration, to be given to Envoy as JSON. `app` is the ASGI application, `module:attribute`."""
    return {
        "admin": {"address": {"pipe": {"path": admin_socket, "mode": 0o600}}},
        "static_resources": {
            "listeners": [
                {
                    "name": LISTENER,
                    "address": {"socket_address": {"address": address.ip, "port_value": address.port}},
                    "enable_reuse_port": options.reuse_port,
                    "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
                    "filter_chains": [_filter_chain(options, files, app)],
                }
            ]
        },
    }


def _filter_chain(options: GrpcOptions, files: EnvoyFiles, app: str) -> dict[str, Any]:
    chain: dict[str, Any] = {"filters": [_connection_manager(options, files, app)]}
    if options.tls is not None:
        chain["transport_socket"] = _tls(options.tls)
    return chain


def _tls(files: TlsFiles) -> dict[str, Any]:
    """Names of files alone: Envoy reads them, and nothing secret is in the configuration, which others can see."""
    pair = {"certificate_chain": _file(files.certificate), "private_key": _file(files.key)}
    common: dict[str, Any] = {
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [pair],
    }
    if files.client_ca is not None:
        common["validation_context"] = {"trusted_ca": _file(files.client_ca)}
    config = {
        "@type": f"{_TYPES}/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": files.client_ca is not None,
        "common_tls_context": common,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def _file(path: Path) -> dict[str, str]:
    return {"filename": str(path.absolute())}


def _connection_manager(options: GrpcOptions, files: EnvoyFiles, app: str) -> dict[str, Any]:
    connections: dict[str, Any] = {"idle_timeout": _NO_LIMIT}
    if options.max_connection_age_ms:
        connections["max_connection_duration"] = _seconds(options.max_connection_age_ms)
    config: dict[str, Any] = {
        "@type": f"{_EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": LISTENER,
        "codec_type": "HTTP2",
        "stream_idle_timeout": _NO_LIMIT,
        "request_timeout": _NO_LIMIT,
        "request_headers_timeout": _NO_LIMIT,
        "generate_request_id": False,
        "common_http_protocol_options": connections,
        "http2_protocol_options": {
            "max_concurrent_streams": 2**31 - 1,
            "initial_stream_window_size": _STREAM_WINDOW_BYTES,
            "initial_connection_window_size": _CONNECTION_WINDOW_BYTES,
            "max_outbound_frames": _MAX_OUTBOUND_FRAMES,
            "connection_keepalive": {
                "interval": _seconds(options.keepalive_time_ms),
                "timeout": _seconds(options.keepalive_timeout_ms),
            },
        },
        "route_config": {"virtual_hosts": [{"name": LISTENER, "domains": ["*"]}]},
        "http_filters": [_path_filter(), _python_filter(files, app)],
    }
    if options.max_connection_age_grace_ms is not None:
        config["drain_timeout"] = _seconds(options.max_connection_age_grace_ms)
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def _path_filter() -> dict[str, Any]:
    """Refuses paths that pyvoy cannot decode: their calls would never be answered."""
    plain = {"header": {"name": ":path", "string_match": {"safe_regex": {"regex": _PLAIN_PATH}}}}
    policy = {"permissions": [plain], "principals": [{"any": True}]}
    rules = {"action": "ALLOW", "policies": {"plain paths": policy}}
    return {"name": "paths", "typed_config": {"@type": f"{_EXTENSIONS}.http.rbac.v3.RBAC", "rules": rules}}


def _python_filter(files: EnvoyFiles, app: str) -> dict[str, Any]:
    # One event loop: the gateway behind the calls and its broker link live on it.
    settings = {
        "app": app,
        "interface": "asgi",
        "root_path": "",
        "worker_threads": 1,
        "lifespan": True,
        "loop": "uvloop",
    }
    return {
        "name": "pyvoy",
        "typed_config": {
            "@type": f"{_EXTENSIONS}.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {"module": {"local": {"filename": str(files.module)}}},
            "filter_name": "pyvoy",
            "terminal_filter": True,
            "filter_config": {"@type": f"{_TYPES}/google.protobuf.StringValue", "value": json.dumps(settings)},
        },
    }


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}s"
