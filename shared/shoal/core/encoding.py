"""Messages on the wire: a MessagePack array of the message's fields; the payload follows it untouched.

Golden files in `tests/unit/core/golden` pin every encoding; a change of layout raises the message's version in
`SCHEMA`.
"""

from __future__ import annotations

from typing import Any

import msgpack

from shoal.core.errors import InternalError
from shoal.core.messages import (
    Batch,
    BatchDone,
    BatchItem,
    BatchQuery,
    BatchQueryReply,
    Cancel,
    Closed,
    DescribeModel,
    DescribeReply,
    EndedExecutor,
    ExecutorReport,
    Heartbeat,
    HoldQuery,
    InferRequest,
    InferResponse,
    InstanceStatus,
    Message,
    ModelCounters,
    NotOwner,
    Reconcile,
    ReconcileReply,
    Release,
    Resend,
    Retried,
    RunningBatch,
    Stale,
    StatisticsQuery,
    StatisticsReply,
    Taken,
    Timings,
)
from shoal.core.tensors import header_from_wire

#: Number of each message on the wire and the version of its layout. Numbers are never used again.
SCHEMA: dict[type[Message], tuple[int, int]] = {
    InferRequest: (1, 3),
    InferResponse: (2, 2),
    Batch: (3, 2),
    BatchDone: (4, 1),
    Cancel: (5, 1),
    NotOwner: (6, 1),
    Stale: (7, 1),
    Reconcile: (8, 2),
    ReconcileReply: (9, 1),
    BatchQuery: (10, 1),
    BatchQueryReply: (11, 1),
    Resend: (12, 1),
    ExecutorReport: (13, 2),
    Heartbeat: (14, 3),
    StatisticsQuery: (15, 1),
    StatisticsReply: (16, 1),
    DescribeModel: (17, 1),
    DescribeReply: (18, 1),
    Closed: (19, 1),
    Release: (20, 1),
    HoldQuery: (21, 1),
    Retried: (22, 1),
    Taken: (23, 1),
}

_BY_NUMBER: dict[int, type[Message]] = {number: cls for cls, (number, _) in SCHEMA.items()}
_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack


def encode(message: Message) -> bytes:
    """The message's header bytes: a MessagePack array of its fields."""
    header: bytes = _pack(message)
    return header


def decode(number: int, header: bytes | memoryview) -> Message:
    """The message with this number. Raises InternalError for an unknown number or another schema version."""
    cls = _BY_NUMBER.get(number)
    if cls is None:
        raise InternalError(f"message of unknown kind {number}; are all processes of one release?")
    fields = msgpack.unpackb(header, use_list=False, strict_map_key=False)
    if fields[0] != SCHEMA[cls][1]:
        raise InternalError(f"{cls.__name__} of schema {fields[0]}, expected {SCHEMA[cls][1]}; mixed releases?")
    build = _NESTED.get(cls)
    message: Message = build(fields) if build else cls._make(fields)
    return message


def _infer_request(f: tuple[Any, ...]) -> InferRequest:
    return InferRequest._make((*f[:13], tuple(map(header_from_wire, f[13])), *f[14:]))


def _infer_response(f: tuple[Any, ...]) -> InferResponse:
    return InferResponse._make((*f[:6], tuple(map(header_from_wire, f[6])), f[7], Timings._make(f[8]), f[9]))


def _batch(f: tuple[Any, ...]) -> Batch:
    return Batch._make((*f[:5], tuple(map(BatchItem._make, f[5]))))


def _executor_report(f: tuple[Any, ...]) -> ExecutorReport:
    return ExecutorReport(f[0], f[1], tuple(map(RunningBatch._make, f[2])), f[3])


def _heartbeat(f: tuple[Any, ...]) -> Heartbeat:
    instances, counters = tuple(map(InstanceStatus._make, f[9])), tuple(map(ModelCounters._make, f[10]))
    return Heartbeat._make((*f[:9], instances, counters, tuple(map(EndedExecutor._make, f[11])), f[12]))


def _statistics_reply(f: tuple[Any, ...]) -> StatisticsReply:
    return StatisticsReply(f[0], f[1], {who: tuple(map(ModelCounters._make, rows)) for who, rows in f[2].items()})


_NESTED: dict[type[Message], Any] = {
    InferRequest: _infer_request,
    InferResponse: _infer_response,
    Batch: _batch,
    ExecutorReport: _executor_report,
    Heartbeat: _heartbeat,
    StatisticsReply: _statistics_reply,
}
