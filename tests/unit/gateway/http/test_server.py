from __future__ import annotations

import pytest

from shoal.gateway.http.server import bind
from shoal.gateway.options import HttpOptions
from shoal.runtime.service import EnvironmentTrouble

ANY_PORT = HttpOptions("127.0.0.1", 0, False, 1024, 30)


def at(port: int, reuse_port: bool = False) -> HttpOptions:
    return HttpOptions("127.0.0.1", port, reuse_port, 1024, 30)


def test_a_port_in_use_is_told_with_what_to_do() -> None:
    with bind(ANY_PORT) as first:
        port = first.getsockname()[1]
        with pytest.raises(EnvironmentTrouble) as caught:
            bind(at(port))
    text = str(caught.value)
    assert text.startswith(f"Socket '127.0.0.1:{port}' already in use ")
    assert "--reuse-http-port=true" in text


def test_processes_may_share_a_port() -> None:
    with bind(at(0, reuse_port=True)) as first, bind(at(first.getsockname()[1], reuse_port=True)) as second:
        assert second.getsockname() == first.getsockname()


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(EnvironmentTrouble, match=r"'192\.0\.2\.1:0' already in use or not available"):
        bind(HttpOptions("192.0.2.1", 0, False, 1024, 30))
