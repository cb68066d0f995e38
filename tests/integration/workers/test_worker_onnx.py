"""A worker with an ONNX model, from desired state to answers and statistics."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from onnx_models import write_add_sub
from shoal.core.errors import Code
from shoal.core.messages import (
    V1,
    V2,
    BatchDone,
    BatchQuery,
    BatchQueryReply,
    DescribeModel,
    DescribeReply,
    ExecutorReport,
    InferRequest,
    Resend,
    StatisticsQuery,
    StatisticsReply,
)
from worker_stage import Stage, eventually, floats

CONFIG: dict[str, Any] = {
    "name": "add_sub",
    "backend": "onnxruntime",
    "max_batch_size": 8,
    "input": [
        {"name": "A", "data_type": "TYPE_FP32", "dims": [4]},
        {"name": "B", "data_type": "TYPE_FP32", "dims": [4]},
    ],
    "output": [
        {"name": "SUM", "data_type": "TYPE_FP32", "dims": [4]},
        {"name": "DIFF", "data_type": "TYPE_FP32", "dims": [4]},
    ],
    "instance_group": [{"name": "add_sub", "kind": "KIND_CPU", "count": 1}],
}

Request = tuple[InferRequest, list[bytes]]


async def serve(stage: Stage, **changes: Any) -> None:
    write_add_sub(stage.directory / "add_sub" / "1" / "model.onnx")
    await stage.desire({**CONFIG, **changes})
    stage.start_agent()


def ones(stage: Stage, **fields: Any) -> Request:
    return stage.request([floats("A", [[1] * 4]), floats("B", [[1] * 4])], **fields)


async def test_a_batch_is_executed_together_and_answered_apart(stage: Stage) -> None:
    await serve(stage)
    (instance,) = await stage.ready()
    one = stage.request([floats("A", [[1, 2, 3, 4]]), floats("B", [[4, 3, 2, 1]])])
    two = stage.request([floats("A", [[5] * 4, [6] * 4]), floats("B", [[1] * 4, [2] * 4])], outputs=("DIFF",))
    stage.send_batch(instance, [one, two], queue_us=500)
    first, second = await stage.answer(one[0]), await stage.answer(two[0])
    assert first.outputs["SUM"].tolist() == [[5, 5, 5, 5]]
    assert first.outputs["DIFF"].tolist() == [[-3, -1, 1, 3]]
    assert list(second.outputs) == ["DIFF"]
    assert second.outputs["DIFF"].tolist() == [[4] * 4, [4] * 4]
    assert first.message.executed
    assert first.message.timings.queue_ns > 500_000
    assert min(first.message.timings) > 0


async def test_who_has_the_answer_finds_it_in_the_statistics(stage: Stage) -> None:
    await serve(stage)
    (instance,) = await stage.ready()
    request = stage.request([floats("A", [[1] * 4] * 3), floats("B", [[1] * 4] * 3)])
    stage.send_batch(instance, [request])
    await stage.answer(request[0])
    assert len(stage.scheduler.of(BatchDone)) == 1
    stage.submitter.bus.send(instance.executor, StatisticsQuery(V1, 77))
    reply = await stage.submitter.first(StatisticsReply)
    (row,) = reply.counters[instance.executor]
    assert (reply.query_id, row.model, row.version, row.generation) == (77, "add_sub", 1, "generation-1")
    assert (row.inference_count, row.execution_count, row.reasons) == (3, 1, {"full": 1})
    assert row.batch_stats[0][:2] == (3, 1)
    heard = await eventually(
        lambda: stage.scheduler.bus.peers[instance.executor].heartbeat.counters, "counters in the heartbeat"
    )
    assert heard == (row,)


async def test_too_many_rows_are_refused_and_the_instance_is_free_again(stage: Stage) -> None:
    await serve(stage)
    (instance,) = await stage.ready()
    request = stage.request([floats("A", [[1] * 4] * 9), floats("B", [[1] * 4] * 9)])
    stage.send_batch(instance, [request])
    answer = await stage.answer(request[0])
    assert answer.message.error == (Code.INTERNAL, "batch size 9 for 'add_sub_0', max allowed is 8")
    assert not answer.message.executed
    assert len(stage.scheduler.of(BatchDone)) == 1


async def test_a_request_past_its_deadline_is_not_executed(stage: Stage) -> None:
    await serve(stage)
    (instance,) = await stage.ready()
    late, in_time = ones(stage, deadline_us=1_000), ones(stage, deadline_us=10_000_000)
    stage.send_batch(instance, [late, in_time], queue_us=5_000)
    refused = (await stage.answer(late[0])).message
    assert refused.error is not None
    assert refused.error[0] == Code.UNAVAILABLE
    assert re.match(r"deadline of 1 ms passed after \d+ ms in the queue of 'add_sub'", refused.error[1])
    assert (await stage.answer(in_time[0])).message.error is None


async def test_a_request_executed_here_before_is_answered_without_a_second_execution(stage: Stage) -> None:
    await serve(stage)
    (instance,) = await stage.ready()
    request = ones(stage)
    stage.send_batch(instance, [request])
    await stage.answer(request[0])
    stage.send_batch(instance, [request])
    await eventually(lambda: len(stage.answers(request[0].counter)) == 2, "the answer again")
    await eventually(lambda: len(stage.scheduler.of(BatchDone)) == 2, "both batches done")
    stage.submitter.bus.send(instance.executor, StatisticsQuery(V1, 1))
    (row,) = (await stage.submitter.first(StatisticsReply)).counters[instance.executor]
    assert row.execution_count == 1


async def test_a_batch_sent_twice_is_executed_once(stage: Stage) -> None:
    await serve(stage)
    (instance,) = await stage.ready()
    request = ones(stage)
    for _ in range(2):
        stage.send_batch(instance, [request], batch_id=5)
    await eventually(lambda: len(stage.scheduler.of(BatchDone)) >= 1, "the batch done")
    stage.submitter.bus.send(instance.executor, StatisticsQuery(V1, 1))
    (row,) = (await stage.submitter.first(StatisticsReply)).counters[instance.executor]
    assert row.execution_count == 1


async def test_a_resend_brings_the_answer_again_or_says_that_it_is_gone(stage: Stage) -> None:
    await serve(stage)
    (instance,) = await stage.ready()
    request = ones(stage)
    stage.send_batch(instance, [request])
    await stage.answer(request[0])
    submitter = stage.submitter.bus.incarnation
    for counter in (request[0].counter, 999):
        stage.scheduler.bus.send(instance.executor, Resend(V1, submitter, counter))
    gone = (await stage.answer(ones(stage, counter=999)[0])).message
    again = stage.answers(request[0].counter)
    assert len(again) == 2
    assert again[0] == again[1]
    assert gone.error is not None
    assert gone.error[0] == Code.UNAVAILABLE


async def test_a_batch_query_repeats_what_is_done_and_lists_what_is_unknown(stage: Stage) -> None:
    await serve(stage)
    (instance,) = await stage.ready()
    request = ones(stage)
    done = stage.send_batch(instance, [request])
    await stage.answer(request[0])
    stage.scheduler.bus.send(instance.executor, BatchQuery(V1, stage.epoch, (done, 12345)))
    assert await stage.scheduler.first(BatchQueryReply) == BatchQueryReply(V1, stage.epoch, (12345,))
    await eventually(lambda: len(stage.answers(request[0].counter)) == 2, "the answer again")
    assert stage.scheduler.of(BatchDone) == [BatchDone(V1, stage.epoch, done, instance.slot)] * 2


async def test_a_batch_for_an_instance_that_is_not_here_never_arrived(stage: Stage) -> None:
    await serve(stage)
    (instance,) = await stage.ready()
    batch = stage.send_batch(instance._replace(slot=40), [ones(stage)])
    assert (await stage.scheduler.first(BatchQueryReply)).unknown == (batch,)


async def test_a_new_owner_gets_a_report_and_the_old_one_is_not_heard_any_more(stage: Stage) -> None:
    await serve(stage)
    (instance,) = await stage.ready()
    request = ones(stage)
    stage.send_batch(instance, [request])
    await stage.answer(request[0])
    heir = await stage.peer("scheduler", owned=lambda: {"models": stage.epoch + 1})
    report = await heir.first(ExecutorReport)
    key = (stage.submitter.bus.incarnation, request[0].counter)
    assert report == ExecutorReport(V2, stage.epoch + 1, (), (key,))
    late = ones(stage)
    stage.send_batch(instance, [late], scheduler=stage.scheduler, epoch=stage.epoch)
    current = ones(stage)
    stage.send_batch(instance, [current], scheduler=heir, epoch=stage.epoch + 1)
    await stage.answer(current[0])
    assert stage.answers(late[0].counter) == []
    assert len(heir.of(BatchDone)) == 1


async def test_a_model_is_described_by_a_child(stage: Stage) -> None:
    await serve(stage)
    await stage.ready()
    (agent,) = [p for p in stage.scheduler.bus.peers.values() if p.role == "agent"]
    assert "onnxruntime" in agent.heartbeat.backends
    config = '{"name": "add_sub", "backend": "onnxruntime"}'
    path = str(stage.directory / "add_sub")
    stage.scheduler.bus.send(agent.incarnation, DescribeModel(V1, 5, "add_sub", 1, path, config, {}))
    reply = await stage.scheduler.first(DescribeReply)
    assert reply.error is None
    assert '"max_batch_size": 4' in reply.config
    stage.scheduler.bus.send(agent.incarnation, DescribeModel(V1, 6, "add_sub", 2, path, config, {}))
    await eventually(lambda: len(stage.scheduler.of(DescribeReply)) == 2, "the second description")
    missing = stage.scheduler.of(DescribeReply)[1]
    assert missing.query_id == 6
    assert missing.error is not None
    assert missing.error[0] == Code.UNAVAILABLE
    assert "unable to find" in missing.error[1]


async def test_a_model_that_cannot_be_loaded_says_why(stage: Stage) -> None:
    await serve(stage, output=[{"name": "PRODUCT", "data_type": "TYPE_FP32", "dims": [4]}])
    (instance,) = await stage.in_state("UNAVAILABLE")
    expected = "Invalid argument: unexpected inference output 'PRODUCT', allowed outputs are: DIFF, SUM"
    assert instance.reason == expected


async def test_all_instances_share_one_process(stage: Stage) -> None:
    await serve(stage, instance_group=[{"name": "add_sub", "kind": "KIND_CPU", "count": 3}])
    instances = await stage.ready(3)
    assert len({instance.executor for instance in instances}) == 1
    assert sorted(instance.slot for instance in instances) == [0, 1, 2]


async def test_an_answer_may_be_larger_than_a_frame(stage: Stage) -> None:
    write_add_sub(stage.directory / "add_sub" / "1" / "model.onnx", dims=("batch", 300_000))
    fields = {side: [{**f, "dims": [300_000]} for f in CONFIG[side]] for side in ("input", "output")}
    await stage.desire({**CONFIG, **fields})
    stage.start_agent()
    (instance,) = await stage.ready()
    request = stage.request([floats("A", [[2] * 300_000]), floats("B", [[1] * 300_000])])
    stage.send_batch(instance, [request])
    answer = await stage.answer(request[0])
    assert answer.outputs["SUM"].shape == (1, 300_000)
    assert set(answer.outputs["SUM"].ravel().tolist()) == {3.0}


async def test_a_second_worker_serves_instances_of_its_own(stage: Stage) -> None:
    await serve(stage)
    stage.start_agent()
    instances = await stage.ready(2)
    assert len({instance.executor for instance in instances}) == 2
    requests = [ones(stage) for _ in instances]
    for instance, request in zip(instances, requests, strict=True):
        stage.send_batch(instance, [request])
    answers = await asyncio.gather(*(stage.answer(request[0]) for request in requests))
    assert all(answer.message.error is None for answer in answers)
