from __future__ import annotations

import socket

import pytest

from shoal.bus import free_port
from shoal.cli.ports import shared_port
from shoal.cli.serve_options import Endpoint
from shoal.runtime.service import EnvironmentTrouble


def listening(port: int, shares: bool) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shares:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    listener.listen()
    return listener


def test_one_process_takes_its_port_itself() -> None:
    endpoint = Endpoint("127.0.0.1", free_port(), reuse_port=False)
    with shared_port(endpoint, processes=1) as found, listening(endpoint.port, shares=False):
        assert found == endpoint


def test_several_processes_can_listen_at_the_port_and_nobody_else() -> None:
    endpoint = Endpoint("127.0.0.1", free_port(), reuse_port=False)
    with shared_port(endpoint, processes=2) as found:
        assert found == Endpoint("127.0.0.1", endpoint.port, reuse_port=True)
        with listening(found.port, shares=True), listening(found.port, shares=True):
            socket.create_connection(("127.0.0.1", found.port)).close()
            with pytest.raises(OSError, match="in use"):
                listening(found.port, shares=False)


@pytest.mark.parametrize("processes", [1, 3])
def test_port_0_becomes_a_free_one_for_all_of_them(processes: int) -> None:
    with shared_port(Endpoint("127.0.0.1", 0, reuse_port=False), processes) as found:
        assert found.port != 0
        with listening(found.port, shares=True), listening(found.port, shares=True):
            pass


@pytest.mark.parametrize("shares", [False, True])
def test_a_port_that_somebody_else_listens_at_is_refused(shares: bool) -> None:
    port = free_port()
    with (
        listening(port, shares),
        pytest.raises(EnvironmentTrouble, match=f"Socket '127.0.0.1:{port}' already in use"),
        shared_port(Endpoint("127.0.0.1", port, reuse_port=False), processes=2),
    ):
        pass


def test_a_port_is_shared_with_others_when_that_is_asked_for() -> None:
    port = free_port()
    with (
        listening(port, shares=True),
        shared_port(Endpoint("127.0.0.1", port, reuse_port=True), processes=2) as found,
    ):
        assert found.port == port


def test_a_foreign_address_is_refused() -> None:
    with (
        pytest.raises(EnvironmentTrouble, match=r"Socket '192\.0\.2\.1:0' already in use or not available"),
        shared_port(Endpoint("192.0.2.1", 0, reuse_port=False), processes=2),
    ):
        pass
