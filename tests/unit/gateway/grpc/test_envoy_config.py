"""Envoy's configuration says what its defaults would get wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from shoal.gateway.grpc.choose import EnvoyFiles
from shoal.gateway.grpc.envoy_config import envoy_config
from shoal.gateway.grpc.listen_address import ListenAddress
from shoal.gateway.grpc.options import GrpcOptions

FILES = EnvoyFiles(Path("/e/envoy"), Path("/e/module.so"), Path("/e/libpython.so"))


def config(**options: Any) -> dict[str, Any]:
    return envoy_config(GrpcOptions(**options), ListenAddress("127.0.0.1", 8001), FILES, "a:b", "/private/admin")


def connection_manager(**options: Any) -> dict[str, Any]:
    (listener,) = config(**options)["static_resources"]["listeners"]
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def test_calls_may_be_silent_and_connections_idle_for_ever() -> None:
    manager = connection_manager()
    assert manager["stream_idle_timeout"] == manager["request_timeout"] == "0s"
    assert manager["common_http_protocol_options"] == {"idle_timeout": "0s"}


def test_the_largest_response_may_wait_for_a_slow_client() -> None:
    options = connection_manager()["http2_protocol_options"]
    smallest_frame_limit = 2**14  # RFC 9113, 4.2; what clients ask for unless they want larger frames
    assert options["max_outbound_frames"] * smallest_frame_limit >= 2**31


def test_the_admin_interface_is_a_private_socket() -> None:
    assert config()["admin"] == {"address": {"pipe": {"path": "/private/admin", "mode": 0o600}}}


def test_the_port_is_shared_only_when_asked_for() -> None:
    assert config()["static_resources"]["listeners"][0]["enable_reuse_port"] is False
    assert config(reuse_port=True)["static_resources"]["listeners"][0]["enable_reuse_port"] is True


def test_keepalive_and_connection_age_are_taken_over() -> None:
    manager = connection_manager(
        keepalive_time_ms=1500, keepalive_timeout_ms=250, max_connection_age_ms=60_000, max_connection_age_grace_ms=0
    )
    assert manager["http2_protocol_options"]["connection_keepalive"] == {"interval": "1.500s", "timeout": "0.250s"}
    assert manager["common_http_protocol_options"]["max_connection_duration"] == "60.000s"
    assert manager["drain_timeout"] == "0.000s"


def test_paths_that_the_application_would_never_see_are_refused() -> None:
    paths, _ = connection_manager()["http_filters"]
    (policy,) = paths["typed_config"]["rules"]["policies"].values()
    plain = policy["permissions"][0]["header"]["string_match"]["safe_regex"]["regex"]
    assert re.fullmatch(plain, "/inference.GRPCInferenceService/ModelInfer")
    assert not any(re.fullmatch(plain, path) for path in ("/\xff", "/%ff", "/a b"))


def test_calls_go_to_the_application_on_one_event_loop() -> None:
    *_, http_filter = connection_manager()["http_filters"]
    settings = json.loads(http_filter["typed_config"]["filter_config"]["value"])
    assert (settings["app"], settings["worker_threads"], settings["lifespan"]) == ("a:b", 1, True)
    module = http_filter["typed_config"]["dynamic_module_config"]["module"]
    assert module == {"local": {"filename": "/e/module.so"}}
