from __future__ import annotations

import json
from typing import Any, cast

import numpy as np
import pytest

from requests_to_execute import no_sender
from shoal.workers.backend import Request
from shoal.workers.python.error import TritonModelException
from shoal.workers.python.request import (
    TRITONSERVER_REQUEST_RELEASE_ALL,
    TRITONSERVER_REQUEST_RELEASE_RESCHEDULE,
    InferenceRequest,
    InferenceTrace,
    MemoryType,
    PreferredMemory,
    from_backend,
    sender_of,
)
from shoal.workers.python.response_sender import InferenceResponseSender
from shoal.workers.python.tensor import Tensor

TENSOR = Tensor("X", np.zeros(1, np.float32))

REQUEST = Request(
    request_id="abc",
    correlation_id="forty-two",
    flags=2,
    priority=1,
    timeout_us=5,
    batch_size=1,
    inputs=(),
    outputs=(),
    parameters={"n": 4, "yes": True},
    traceparent="00-1-2-01",
    is_cancelled=lambda: True,
    open_sender=no_sender,
)


def never_made() -> InferenceResponseSender:
    raise AssertionError("a sender was made")


def made(**changes: Any) -> InferenceRequest:
    given: dict[str, Any] = {"inputs": [TENSOR], "requested_output_names": ["Y"], "model_name": "m"}
    return InferenceRequest(**(given | changes))


def test_a_given_request_tells_everything_that_the_client_sent() -> None:
    request = from_backend(REQUEST, [TENSOR], ["Y", "Z"], never_made)
    assert request.inputs() == [TENSOR]
    assert request.requested_output_names() == ["Y", "Z"]
    assert (request.request_id(), request.correlation_id(), request.flags(), request.timeout()) == (
        "abc",
        "forty-two",
        2,
        5,
    )
    assert json.loads(request.parameters()) == {"n": 4, "yes": True}
    assert request.is_cancelled()
    assert json.loads(request.trace().get_context() or "") == {"traceparent": "00-1-2-01"}
    assert request.preferred_memory() == PreferredMemory(MemoryType.DEFAULT)


def test_a_given_request_without_trace_has_no_context() -> None:
    assert from_backend(REQUEST._replace(traceparent=""), [], [], never_made).trace().get_context() is None


def test_a_made_request_keeps_what_it_was_made_with() -> None:
    trace = InferenceTrace()
    memory = PreferredMemory(MemoryType.TRITONSERVER_MEMORY_CPU)
    request = made(
        request_id="r",
        correlation_id=7,
        flags=1,
        timeout=9,
        preferred_memory=memory,
        trace=trace,
        parameters={"a": "b"},
    )
    assert request.inputs() == [TENSOR]
    assert request.requested_output_names() == ["Y"]
    assert (request.request_id(), request.correlation_id(), request.flags(), request.timeout()) == ("r", 7, 1, 9)
    assert (request.preferred_memory(), request.trace(), request.parameters()) == (memory, trace, '{"a":"b"}')
    assert not request.is_cancelled()


def test_flags_can_be_set() -> None:
    request = made()
    request.set_flags(3)
    assert request.flags() == 3


@pytest.mark.parametrize("required", ["inputs", "requested_output_names", "model_name"])
def test_inputs_outputs_and_model_are_required(required: str) -> None:
    given: dict[str, Any] = {"inputs": [TENSOR], "requested_output_names": ["Y"], "model_name": "m"}
    del given[required]
    with pytest.raises(TypeError, match=required):
        InferenceRequest(**given)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"inputs": [None], "request_id": "r"}, "Input tensor for request with id 'r' and model name 'm' should not"),
        ({"requested_output_names": [""]}, "Requested output name for request with id '' and model name 'm' should"),
        ({"parameters": {"a": 1.5}}, "Expect parameters values to have type bool/int/str"),
    ],
)
def test_empty_tensors_names_and_wrong_parameters_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(TritonModelException, match=text):
        made(**changes)


def test_calling_other_models_says_that_it_is_not_available() -> None:
    with pytest.raises(TritonModelException, match=r"exec\(\)\) is not available in this release.*model 'm'"):
        made().exec()


async def test_calling_other_models_asynchronously_says_that_it_is_not_available() -> None:
    with pytest.raises(TritonModelException, match=r"async_exec\(\)\) is not available in this release"):
        await made().async_exec(decoupled=True)


def test_the_response_sender_is_made_when_it_is_asked_for_and_then_the_same() -> None:
    sender = cast(InferenceResponseSender, object())
    made_senders = [sender]
    request = from_backend(REQUEST, [], [], made_senders.pop)
    assert request.get_response_sender() is sender
    assert request.get_response_sender() is sender


@pytest.mark.parametrize("whose", ["the model's own", "one that was executed"])
def test_other_requests_have_no_response_sender(whose: str) -> None:
    request = made() if whose == "the model's own" else from_backend(REQUEST, [], [], never_made)
    assert sender_of(request) is None
    with pytest.raises(TritonModelException, match=r"can be had of requests that execute\(\) was given, before it re"):
        request.get_response_sender()


def test_release_of_everything_is_accepted() -> None:
    made().set_release_flags(TRITONSERVER_REQUEST_RELEASE_ALL)


@pytest.mark.parametrize(
    ("flags", "text"),
    [(TRITONSERVER_REQUEST_RELEASE_RESCHEDULE, "rescheduling a request is not available"), (9, "flags 9 are unknown")],
)
def test_other_release_flags_are_refused(flags: int, text: str) -> None:
    with pytest.raises(TritonModelException, match=text):
        made().set_release_flags(flags)
