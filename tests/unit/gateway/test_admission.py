from __future__ import annotations

import pytest

from shoal.core.errors import InvalidArgument
from shoal.gateway.admission import Admission, Overloaded


def test_a_request_beyond_the_count_is_refused_and_not_counted() -> None:
    admission = Admission(max_requests=1, max_bytes=100)
    admission.enter(10)
    with pytest.raises(Overloaded, match="1 requests are in flight"):
        admission.enter(10)
    assert (admission.requests, admission.nbytes) == (1, 10)


def test_a_request_beyond_the_bytes_is_refused_and_not_counted() -> None:
    admission = Admission(max_requests=9, max_bytes=100)
    admission.enter(60)
    with pytest.raises(Overloaded, match="needs 41 bytes and 60 are in flight, of 100 at most"):
        admission.enter(41)
    assert (admission.requests, admission.nbytes) == (1, 60)


def test_a_request_that_never_has_room_is_not_told_to_come_again() -> None:
    admission = Admission(max_requests=9, max_bytes=100)
    with pytest.raises(InvalidArgument, match="needs 101 bytes, and a gateway takes on 100 at most; send less at once"):
        admission.enter(101)
    admission.enter(60)
    with pytest.raises(InvalidArgument, match="needs 110 bytes"):
        admission.grow(50, held_nbytes=60)
    assert (admission.requests, admission.nbytes) == (1, 60)


def test_leaving_makes_room_again() -> None:
    admission = Admission(max_requests=1, max_bytes=100)
    admission.enter(60)
    admission.grow(40)
    admission.leave(100)
    admission.enter(100)
    assert (admission.requests, admission.nbytes) == (1, 100)


def test_an_overload_is_429_in_http_and_resource_exhausted_in_grpc() -> None:
    error = Overloaded("full")
    assert (error.http_status, error.grpc_status, error.retry_after_s) == (429, 8, 1)
