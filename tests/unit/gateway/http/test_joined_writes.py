from __future__ import annotations

import asyncio

import pytest

from shoal.gateway.http.joined_writes import JoinedWrites

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Socket(asyncio.Transport):
    """A transport that writes down what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
def socket() -> Socket:
    return Socket()


def test_a_head_leaves_together_with_its_body(socket: Socket) -> None:
    transport = JoinedWrites(socket)
    transport.write(HEAD)
    assert socket.written == []
    transport.write(memoryview(b"body"))
    transport.write(b"more")
    assert socket.written == [HEAD + b"body", b"more"]


def test_a_large_body_is_not_copied(socket: Socket) -> None:
    transport = JoinedWrites(socket)
    transport.write(HEAD)
    transport.write(bytes(100_000))
    assert [len(data) for data in socket.written] == [len(HEAD), 100_000]


def test_a_head_without_a_body_is_flushed_at_the_end_of_its_response(socket: Socket) -> None:
    transport = JoinedWrites(socket)
    transport.write(HEAD)
    transport.flush()
    transport.flush()
    assert socket.written == [HEAD]


def test_closing_writes_what_is_kept(socket: Socket) -> None:
    transport = JoinedWrites(socket)
    transport.write(HEAD)
    transport.close()
    assert socket.written == [HEAD]
    assert transport.is_closing()


def test_an_invitation_to_go_on_does_not_wait(socket: Socket) -> None:
    JoinedWrites(socket).write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert socket.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]
