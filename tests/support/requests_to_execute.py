"""Requests as an executor gets them, for tests of what it does with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shoal.core import encoding
from shoal.core.messages import V2, V3, Batch, BatchItem, InferRequest
from shoal.core.tensors import Tensor, no_memory
from shoal.memory import Arena, ArenaReader, pack
from shoal.workers.backend import Execution, Request, Response, Sender
from shoal.workers.executor.course import Course, OpenStream
from shoal.workers.executor.host_memory import HostMemory
from shoal.workers.executor.item import Item, View, decode_items
from shoal.workers.executor.stream import Stream

#: The memory of an executor that has none to share.
NO_MEMORY = HostMemory("", None, ArenaReader(""))


def no_sender() -> Sender:
    """For requests that no sender answers."""
    raise AssertionError("a sender was asked for")


def no_stream(header: InferRequest, queue_ns: int, course: Course) -> Stream:
    """The same for the items of an executor."""
    raise AssertionError("a sender was asked for")


def tensor(name: str, rows: Sequence[Sequence[float]]) -> Tensor:
    """An FP32 tensor of these rows."""
    array = np.array(rows, np.float32)
    return Tensor(name, "FP32", array.shape, array.tobytes())


def large_tensor(name: str, value: int = 1, nbytes: int = 64 * 1024) -> Tensor:
    """A UINT8 tensor of one row, all of it `value`."""
    return Tensor(name, "UINT8", (1, nbytes), bytes([value]) * nbytes)


def backend_request(*inputs: Tensor, **fields: Any) -> Request:
    """What a backend is given; `batch_size` is that of the first input unless said otherwise."""
    values: dict[str, Any] = {
        "request_id": "",
        "correlation_id": 0,
        "flags": 0,
        "priority": 0,
        "timeout_us": 0,
        "batch_size": inputs[0].shape[0] if inputs and inputs[0].shape else 0,
        "inputs": inputs,
        "outputs": (),
        "parameters": {},
        "traceparent": "",
        "is_cancelled": lambda: False,
        "open_sender": no_sender,
    }
    return Request(**(values | fields))


def responses_of(execution: Execution) -> list[Response]:
    """What the backend gave, none of it left to a sender."""
    responses = [response for response in execution.responses if response is not None]
    assert len(responses) == len(execution.responses)
    return responses


def infer_request(*inputs: Tensor, arena: Arena | None = None, **fields: Any) -> tuple[InferRequest, bytes]:
    """A request as it travels, and its payload; large inputs lie in `arena`, if one is given."""
    headers, buffers, _ = pack(inputs, arena, "scheduler")
    request = InferRequest(
        schema=V3,
        counter=1,
        submitter="gateway-1",
        model="m",
        version=1,
        generation="g1",
        request_id="",
        correlation_id=0,
        flags=0,
        priority=0,
        timeout_us=0,
        deadline_us=None,
        batch_size=inputs[0].shape[0] if inputs else 1,
        inputs=headers,
        outputs=(),
        parameters={},
        traceparent="",
        deaths=(),
        host="",
    )
    return request._replace(**fields), b"".join(buffers)


def batch_of(*requests: tuple[InferRequest, bytes], queue_us: int = 0, **fields: Any) -> tuple[Batch, memoryview]:
    """A batch of these requests, and its payload."""
    items: list[BatchItem] = []
    payload: list[bytes] = []
    for request, body in requests:
        header = encoding.encode(request)
        items.append(BatchItem(len(header), len(body), queue_us, 0))
        payload += [header, body]
    batch = Batch(V2, 1, 1, 0, "full", tuple(items))
    return batch._replace(**fields), memoryview(b"".join(payload))


def items_of(
    *requests: tuple[InferRequest, bytes],
    queue_us: int = 0,
    now_ns: int = 0,
    view: View = no_memory,
    open_stream: OpenStream = no_stream,
) -> list[Item]:
    return decode_items(*batch_of(*requests, queue_us=queue_us), now_ns=now_ns, open_stream=open_stream, view=view)
