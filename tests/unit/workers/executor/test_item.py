from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from requests_to_execute import batch_of, infer_request, items_of, large_tensor, no_stream, tensor
from shoal.core.errors import Cancelled, Unavailable
from shoal.memory import Arena, ArenaReader
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
    (item,) = decode_items(batch, payload, 0, no_stream)
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


def test_inputs_in_shared_memory_are_read_where_they_are(tmp_path: Path) -> None:
    arena = Arena.open("gateway-1", 2**24, tmp_path)
    reader = ArenaReader(arena.host, tmp_path)
    (item,) = items_of(infer_request(tensor("A", [[1]]), large_tensor("B", 7), arena=arena), view=reader.view)
    assert item.is_borrowed
    assert item.request.is_borrowed
    small, large = (t.data for t in item.request.inputs)
    assert (len(small), bytes(large)) == (4, b"\7" * 65536)
    (block,) = arena.held()
    block.memory[0] = 8
    assert large[0] == 8
    item.let_go()
    assert item.request.inputs == ()
    arena.close()


def test_an_input_that_cannot_be_read_is_the_refusal_of_its_request_alone(tmp_path: Path) -> None:
    arena = Arena.open("gateway-1", 2**24, tmp_path)
    reader = ArenaReader(arena.host, tmp_path)
    lost = infer_request(tensor("A", [[1]]), large_tensor("B"), arena=arena)
    arena.free(arena.held()[0].generation)
    first, second = items_of(lost, infer_request(tensor("A", [[1]])), view=reader.view)
    refusal = first.refusal(0)
    assert isinstance(refusal, Unavailable)
    assert refusal.message.startswith(
        "model 'm', input 'B': its 65536 bytes of shared memory cannot be read: block 1 of"
    )
    assert (first.is_borrowed, second.refusal(0)) == (False, None)
    arena.close()
