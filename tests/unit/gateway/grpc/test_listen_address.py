"""A port in use is told before a transport takes over."""

from __future__ import annotations

import socket

import pytest

from shoal.gateway.grpc.listen_address import ListenAddress, claimable
from shoal.runtime.service import EnvironmentTrouble


def test_names_become_numbers() -> None:
    assert claimable("localhost", 0, False).ip in ("127.0.0.1", "::1")


def test_a_port_in_use_is_trouble_unless_it_is_shared() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentTrouble, match=f"Socket '127.0.0.1:{port}' already in use"):
            claimable("127.0.0.1", port, False)
        assert claimable("127.0.0.1", port, True) == ListenAddress("127.0.0.1", port)


def test_an_address_of_another_machine_is_trouble() -> None:
    with pytest.raises(EnvironmentTrouble, match="not available"):
        claimable("192.0.2.1", 0, False)


def test_an_authority_brackets_ipv6() -> None:
    assert ListenAddress("::", 8001).authority() == "[::]:8001"
    assert ListenAddress("0.0.0.0", 8001).authority() == "0.0.0.0:8001"
