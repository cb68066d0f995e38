from __future__ import annotations

import pytest

from shoal.core.api_keys import ApiKey, Scope
from shoal.core.errors import InvalidArgument
from shoal.gateway.access.caller import Caller, work_for
from shoal.gateway.access.errors import KeyExhausted
from shoal.gateway.admission import Admission
from shoal.gateway.errors import Overloaded
from shoal.gateway.request import InferAnswer


def test_a_request_beyond_the_count_is_refused_and_not_counted() -> None:
    admission = Admission(max_requests=1, max_bytes=100)
    admission.enter(10, "m")
    with pytest.raises(Overloaded, match="1 requests are in flight"):
        admission.enter(10, "m")
    assert (admission.requests, admission.nbytes) == (1, 10)


def test_a_request_beyond_the_bytes_is_refused_and_not_counted() -> None:
    admission = Admission(max_requests=9, max_bytes=100)
    admission.enter(60, "m")
    with pytest.raises(Overloaded, match="needs 41 bytes and 60 are in flight, of 100 at most"):
        admission.enter(41, "m")
    assert (admission.requests, admission.nbytes) == (1, 60)


def test_a_request_that_never_has_room_is_not_told_to_come_again() -> None:
    admission = Admission(max_requests=9, max_bytes=100)
    with pytest.raises(
        InvalidArgument, match="needs 101 bytes, and a gateway takes on 100 at most; raise --max-inflight-bytes"
    ):
        admission.enter(101, "m")
    place = admission.enter(60, "m")
    with pytest.raises(InvalidArgument, match="needs 110 bytes"):
        place.grow_to(110)
    assert (admission.requests, admission.nbytes) == (1, 60)


def test_leaving_makes_room_again() -> None:
    admission = Admission(max_requests=1, max_bytes=100)
    place = admission.enter(60, "m")
    place.grow_to(100)
    place.leave()
    admission.enter(100, "m")
    assert (admission.requests, admission.nbytes) == (1, 100)


def test_a_place_that_does_not_grow_counts_what_it_was_given() -> None:
    admission = Admission(max_bytes=100)
    with admission.enter(60, "m") as place:
        place.grow_to(40)
        assert admission.nbytes == 60
    assert (admission.requests, admission.nbytes) == (0, 0)


async def test_a_request_counts_for_the_key_of_its_task() -> None:
    caller = Caller(ApiKey("k", b"", frozenset({Scope.INFER}), concurrency=1), now=0.0)
    admission = Admission()
    work_for(caller)
    place = admission.enter(5, "m")
    with pytest.raises(KeyExhausted, match="API key 'k' has 1 requests under way"):
        admission.enter(5, "m")
    assert (admission.requests, admission.nbytes) == (1, 5)
    work_for(None)
    place.leave()
    caller.enter(0.0)


async def test_a_request_that_is_refused_for_its_model_does_not_count_for_its_key() -> None:
    caller = Caller(ApiKey("k", b"", frozenset({Scope.INFER}), concurrency=1), now=0.0)
    admission = Admission()
    await admission.flows.run("m", _answer())
    flow = admission.flows.arrive("m")
    assert flow is not None
    flow.limit = 1
    work_for(caller)
    with pytest.raises(Overloaded, match="model 'm' is overloaded"):
        admission.enter(5, "m")
    assert (admission.requests, admission.nbytes) == (0, 0)
    caller.enter(0.0)


async def _answer() -> InferAnswer:
    return InferAnswer("m", 1, "", (), {})
