from __future__ import annotations

from shoal.gateway.errors import Overloaded, TooMuch


def test_an_overload_is_429_in_http_and_resource_exhausted_in_grpc() -> None:
    error = Overloaded("full")
    assert (error.http_status, error.grpc_status) == (429, 8)
    assert error.http_fields == ((b"retry-after", b"1"),)


def test_when_to_come_again_is_told_in_whole_seconds_and_to_grpc_clients_in_milliseconds() -> None:
    error = TooMuch("wait", retry_after_s=1.2001)
    assert error.http_fields == ((b"retry-after", b"2"),)
    assert error.grpc_fields == ((b"retry-after", b"2"), (b"grpc-retry-pushback-ms", b"1201"))
