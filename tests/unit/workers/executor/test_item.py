from __future__ import annotations

import time

import numpy as np

from requests_to_execute import batch_of, infer_request, items_of, tensor
from shoal.core.errors import Cancelled, Unavailable
from shoal.workers.executor.item import decode_items

MS = 1_000_000


def test_each_item_gets_its_own_header_and_payload() -> None:
    one = infer_request(tensor("A", [[1, 2]]), tensor("B", [[3, 4]]), counter=7)
    two = infer_request(tensor("A", [[5, 6], [7, 8]]), counter=8, parameters={"p": True})
    first, second = items_of(one, two)
    assert (first.key, second.key) == (("gateway-1", 7), ("gateway-1", 8))
    assert [np.frombuffer(t.data, np.float32).tolist() for t in first.request.inputs] == [[1, 2], [3, 4]]
    assert second.request.inputs[0].shape == (2, 2)
    assert second.request.parameters == {"p": True}


def test_inputs_are_views_of_the_message() -> None:
    batch, payload = batch_of(infer_request(tensor("A", [[1]])))
    (item,) = decode_items(batch, payload, 0)
    data = item.request.inputs[0].data
    assert isinstance(data, memoryview)
    assert data.obj is payload.obj


def test_time_with_the_scheduler_and_time_here_add_up() -> None:
    (item,) = items_of(infer_request(tensor("A", [[1]])), queue_us=2_000, now_ns=10 * MS)
    assert item.waited_ns(15 * MS) == 7 * MS


def test_the_deadline_counts_from_when_the_request_was_sent() -> None:
    (item,) = items_of(infer_request(tensor("A", [[1]]), deadline_us=5_000), queue_us=2_000, now_ns=0)
    assert item.refusal(3 * MS - 1) is None
    refusal = item.refusal(3 * MS)
    assert isinstance(refusal, Unavailable)
    assert refusal.message == "deadline of 5 ms passed after 5 ms in the queue of 'm'; the request was not started"


def test_a_cancelled_item_is_refused_without_words() -> None:
    (item,) = items_of(infer_request(tensor("A", [[1]])))
    assert item.refusal(0) is None
    item.cancel()
    refusal = item.refusal(0)
    assert isinstance(refusal, Cancelled)
    assert refusal.message == ""


def test_the_model_sees_a_cancellation_and_a_deadline_that_passed() -> None:
    now_ns = time.monotonic_ns()
    plain, late = items_of(
        infer_request(tensor("A", [[1]])), infer_request(tensor("A", [[1]]), deadline_us=0), now_ns=now_ns
    )
    assert not plain.request.is_cancelled()
    assert late.request.is_cancelled()
    plain.cancel()
    assert plain.request.is_cancelled()
