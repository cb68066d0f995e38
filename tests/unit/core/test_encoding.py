"""Encodings of all messages, pinned by `golden/*.hex`.

A golden file changes only together with the message's version in `SCHEMA`, and with a line in the changelog. To write
the file of a new message, print `encode(...).hex()` of its sample.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgpack
import pytest

from shoal.core.encoding import SCHEMA, decode, encode
from shoal.core.errors import InternalError
from shoal.core.messages import (
    LOADING,
    NO_TIMINGS,
    READY,
    SEQUENCE_END,
    SEQUENCE_START,
    V1,
    V2,
    V3,
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
from shoal.core.tensors import ARENA, INLINE, ArenaRef, Inline, TensorHeader

GOLDEN = Path(__file__).parent / "golden"

GATEWAY, EXECUTOR = "gateway-0123456789ab", "executor-ba9876543210"
GENERATION = "00112233445566ff"
SEGMENT = ArenaRef(ARENA, "0123456789abcdef", f"shoal-{GATEWAY}-7", 4096, 1204224, 1 << 40)
IMAGE = TensorHeader("image", "FP32", (2, 3, 224, 224), SEGMENT)
LABEL = TensorHeader("label", "BYTES", (2, 1), Inline(INLINE, 0, 14))
COUNTERS = ModelCounters(
    model="ocr",
    version=3,
    generation=GENERATION,
    success=5,
    success_ns=5_000_000_000,
    fail=1,
    fail_ns=7,
    queue_ns=11,
    compute_input_ns=12,
    compute_infer_ns=13,
    compute_output_ns=14,
    inference_count=9,
    execution_count=4,
    last_inference_ms=1_764_000_000_000,
    batch_stats=((1, 2, 3, 4, 5), (8, 6, 7, 8, 9)),
    reasons={"REJECTED": 1},
)
INSTANCES = (
    InstanceStatus("ocr", 3, GENERATION, "ocr_0_0", EXECUTOR, 0, READY, ""),
    InstanceStatus("ocr", 3, GENERATION, "ocr_0_1", "", 0, LOADING, ""),
)

SAMPLES: tuple[Message, ...] = (
    InferRequest(
        schema=V3,
        counter=70000,
        submitter=GATEWAY,
        model="ocr",
        version=3,
        generation=GENERATION,
        request_id="r-1",
        correlation_id="seq",
        flags=SEQUENCE_START | SEQUENCE_END,
        priority=1,
        timeout_us=5_000_000,
        deadline_us=250_000,
        batch_size=2,
        inputs=(IMAGE, LABEL),
        outputs=("text",),
        parameters={"threshold": 0.5, "lang": "el", "beam": 4, "fast": True},
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        deaths=("signal 9",),
        host="0123456789abcdef",
    ),
    InferResponse(
        schema=V2,
        counter=70000,
        response_index=0,
        final=True,
        executed=True,
        error=None,
        outputs=(LABEL,),
        parameters={"sequence_id": 7},
        timings=Timings(1_000, 2_000, 3_000_000_000, 4_000),
        is_empty=False,
    ),
    Batch(V2, 1_764_000_000_001, 42, 1, "preferred size", (BatchItem(180, 14, 90, 0), BatchItem(120, 64, 0, 1))),
    BatchDone(V1, 1_764_000_000_001, 42, 1),
    Cancel(V1, GATEWAY, (1, 70000)),
    NotOwner(V1, (1,)),
    Stale(V1, (2, 3)),
    Retried(V1, ((2, ("signal 9",)),)),
    Reconcile(V2, (1, 2, 3), (4,)),
    ReconcileReply(V1, 1_764_000_000_001, (1,), (2,)),
    BatchQuery(V1, 1_764_000_000_001, (41, 42)),
    BatchQueryReply(V1, 1_764_000_000_001, (41,)),
    Resend(V1, GATEWAY, 70000),
    ExecutorReport(
        V2,
        1_764_000_000_002,
        (RunningBatch(1_764_000_000_001, 42, 1, ((GATEWAY, 1), (GATEWAY, 70000)), (0, 1)),),
        ((GATEWAY, 3),),
    ),
    Heartbeat(
        schema=V3,
        incarnation=EXECUTOR,
        role="agent",
        host="0123456789abcdef",
        pid=4711,
        links=2,
        leaving=False,
        owned={"models": 5},
        backends=("onnxruntime",),
        instances=INSTANCES,
        counters=(COUNTERS,),
        ended=(EndedExecutor("executor-00", "signal 9", ((1_764_000_000_001, 42),)),),
        confirmed=("2026-07-01T08:00:00.123456789Z", 5),
    ),
    StatisticsQuery(V1, 8),
    StatisticsReply(V1, 8, {EXECUTOR: (COUNTERS,)}),
    DescribeModel(V1, 9, "ocr", 3, "/models/ocr", '{"name":"ocr"}', {"default-max-batch-size": "4"}),
    DescribeReply(V1, 9, "", (3, "no version directory")),
    Closed(V1, (1, 70000)),
    Release(V1, (1 << 40, 7)),
    HoldQuery(V1, (1 << 40,)),
    Taken(V1, ((70000, 15),)),
)


def golden(message: Message) -> Path:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(message).__name__).lower()
    return GOLDEN / f"{name}.hex"


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_the_encoding_is_the_golden_one(message: Message) -> None:
    assert encode(message).hex() == golden(message).read_text().replace("\n", "")


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_a_golden_encoding_is_read_as_the_message_with_all_its_types(message: Message) -> None:
    number, _ = SCHEMA[type(message)]
    read = decode(number, bytes.fromhex(golden(message).read_text()))
    assert repr(read) == repr(message)
    assert read == message


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_is_read_from_a_view_of_a_larger_buffer(message: Message) -> None:
    number, _ = SCHEMA[type(message)]
    header = encode(message)
    assert decode(number, memoryview(b"xx" + header + b"yy")[2 : 2 + len(header)]) == message


def test_every_message_has_a_golden_file_and_every_golden_file_a_message() -> None:
    assert {type(message) for message in SAMPLES} == set(SCHEMA)
    assert {golden(message) for message in SAMPLES} == set(GOLDEN.glob("*.hex"))


def test_every_message_has_a_number_of_its_own_and_begins_with_its_schema() -> None:
    numbers = [number for number, _ in SCHEMA.values()]
    assert len(set(numbers)) == len(numbers)
    assert all(message[0] == SCHEMA[type(message)][1] for message in SAMPLES)


def test_a_message_of_unknown_kind_is_refused() -> None:
    with pytest.raises(InternalError, match="message of unknown kind 200; are all processes of one release"):
        decode(200, encode(SAMPLES[0]))


def test_a_message_of_another_schema_is_refused() -> None:
    number, _ = SCHEMA[BatchDone]
    with pytest.raises(InternalError, match="BatchDone of schema 2, expected 1; mixed releases"):
        decode(number, msgpack.packb((2, 1, 42, 1)))


def test_a_refusal_has_no_timings_but_those_it_was_given() -> None:
    refusal = InferResponse(V2, 1, 0, True, False, (4, "full"), (), {}, NO_TIMINGS, False)
    read = decode(SCHEMA[InferResponse][0], encode(refusal))
    assert read == refusal
    assert isinstance(read, InferResponse)
    assert isinstance(read.timings, Timings)
