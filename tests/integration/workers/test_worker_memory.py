"""Tensors between a worker and its submitter in shared memory: who may read what until when, and what becomes of it."""

from __future__ import annotations

import asyncio
import os
import signal
import textwrap
from typing import Any

import numpy as np
import pytest

from onnx_models import write_add_sub
from shoal.core.errors import Code
from shoal.core.messages import V1, HoldQuery, InferRequest, InferResponse, InstanceStatus, Release, Resend
from shoal.core.tensors import ArenaRef, Inline, Tensor
from worker_stage import Peer, Stage, eventually, floats

Request = tuple[InferRequest, list[bytes]]

#: 1 MB of FP32.
COUNT = 250_000

PREAMBLE = """
import os, sys, time
import numpy as np
import triton_python_backend_utils as pb_utils

def array_of(request):
    return pb_utils.get_input_tensor_by_name(request, "A").as_numpy()

def answer(array):
    return pb_utils.InferenceResponse([pb_utils.Tensor("X", array)])
"""

IDENTITY = """
class TritonPythonModel:
    def execute(self, requests):
        return [answer(array_of(request)) for request in requests]
"""


TRIPLE = """
class TritonPythonModel:
    def execute(self, requests):
        return [answer(np.repeat(array_of(request), 3, axis=1)) for request in requests]
"""


async def serve(stage: Stage, source: str = IDENTITY) -> InstanceStatus:
    directory = stage.directory / "m" / "1"
    directory.mkdir(parents=True)
    (directory / "model.py").write_text(PREAMBLE + textwrap.dedent(source))
    config = {
        "name": "m",
        "backend": "python",
        "max_batch_size": 4,
        "input": [{"name": "A", "data_type": "TYPE_FP32", "dims": [-1]}],
        "output": [{"name": "X", "data_type": "TYPE_FP32", "dims": [-1]}],
        "instance_group": [{"name": "m", "kind": "KIND_CPU", "count": 1}],
    }
    await stage.desire(config)
    stage.start_agent()
    (instance,) = await stage.ready()
    return instance


def row(value: float, count: int = COUNT) -> Tensor:
    return floats("A", [[value] * count])


def request(stage: Stage, value: float = 1.0, **fields: Any) -> Request:
    """A request whose input lies in the submitter's arena, and whose answer may lie in the worker's."""
    known = {"model": "m", "arena": stage.arena, "host": stage.arena.host}
    return stage.request([row(value)], **(known | fields))


def release(stage: Stage, instance: InstanceStatus, *answers: InferResponse, by: Peer | None = None) -> None:
    (by or stage.submitter).bus.send(instance.executor, Release(V1, tuple(map(generation, answers))))


def generation(message: InferResponse) -> int:
    return reference(message).generation


def reference(message: InferResponse) -> ArenaRef:
    ref = message.outputs[0].ref
    assert isinstance(ref, ArenaRef)
    return ref


async def freed(stage: Stage, message: InferResponse) -> None:
    await eventually(lambda: not stage.reader.is_current(reference(message)), "the answer's block freed")


async def test_large_tensors_travel_in_shared_memory_both_ways(stage: Stage) -> None:
    instance = await serve(stage)
    one, two = request(stage, 1.5), request(stage, 2.5)
    assert one[1] == [b""]
    stage.send_batch(instance, [one, two])
    for asked, value in ((one, 1.5), (two, 2.5)):
        answer = await stage.answer(asked[0])
        assert reference(answer.message).segment in stage.segments(instance)
        assert answer.outputs["X"].shape == (1, COUNT)
        assert set(answer.outputs["X"].ravel().tolist()) == {value}
        assert stage.answers(asked[0].counter)[0].payload == b""


async def test_a_batch_of_shared_inputs_is_gathered_for_a_framework(stage: Stage) -> None:
    write_add_sub(stage.directory / "add_sub" / "1" / "model.onnx", dims=("batch", COUNT))
    config = {
        "name": "add_sub",
        "backend": "onnxruntime",
        "max_batch_size": 8,
        "input": [{"name": name, "data_type": "TYPE_FP32", "dims": [COUNT]} for name in "AB"],
        "output": [{"name": name, "data_type": "TYPE_FP32", "dims": [COUNT]} for name in ("SUM", "DIFF")],
        "instance_group": [{"name": "add_sub", "kind": "KIND_CPU", "count": 1}],
    }
    await stage.desire(config)
    stage.start_agent()
    (instance,) = await stage.ready()
    fields = {"arena": stage.arena, "host": stage.arena.host}
    requests = [stage.request([row(v), row(1.0)._replace(name="B")], **fields) for v in (1.0, 2.0, 3.0)]
    stage.send_batch(instance, requests[:1])
    stage.send_batch(instance, requests[1:])
    for asked, value in zip(requests, (1.0, 2.0, 3.0), strict=True):
        answer = await stage.answer(asked[0])
        assert len({header.ref.generation for header in answer.message.outputs}) == 1  # type: ignore[union-attr]
        assert set(answer.outputs["SUM"].ravel().tolist()) == {value + 1}
        assert set(answer.outputs["DIFF"].ravel().tolist()) == {value - 1}


async def test_what_a_model_writes_to_its_inputs_another_execution_does_not_see(stage: Stage) -> None:
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            for request in requests:
                array_of(request)[:] *= 2
            return [answer(array_of(request)) for request in requests]
    """
    instance = await serve(stage, source)
    first = request(stage, 3.0)
    again = (first[0]._replace(counter=first[0].counter + 1000), first[1])
    for asked in (first, again):
        stage.send_batch(instance, [asked])
        assert set((await stage.answer(asked[0])).outputs["X"].ravel().tolist()) == {6.0}


async def test_what_a_model_keeps_of_its_inputs_stays_what_it_was(stage: Stage) -> None:
    source = """
    class TritonPythonModel:
        kept = ()
        def execute(self, requests):
            if not self.kept:
                self.kept = (requests[0], requests[1].inputs()[0], array_of(requests[2])[:, ::2])
                return [answer(np.zeros((1, 1), np.float32)) for _ in requests]
            arrays = [array_of(self.kept[0]), self.kept[1].as_numpy(), self.kept[2]]
            return [answer(np.array([[array.min(), array.max()]])) for array in arrays]
    """
    instance = await serve(stage, source)
    first = [request(stage, value) for value in (1.0, 2.0, 3.0)]
    stage.send_batch(instance, first)
    await asyncio.gather(*[stage.answer(asked[0]) for asked in first])
    for block in stage.arena.held():
        np.frombuffer(block.memory, np.float32)[:] = 9.0
        stage.arena.free(block.generation)
    second = [request(stage, 8.0) for _ in first]
    stage.send_batch(instance, second)
    found = [(await stage.answer(asked[0])).raw["X"] for asked in second]
    assert [np.frombuffer(raw, np.float32).tolist() for raw in found] == [[v, v] for v in (1.0, 2.0, 3.0)]


async def test_a_released_answer_is_gone_and_its_memory_is_used_again(stage: Stage) -> None:
    instance = await serve(stage)
    asked = request(stage)
    stage.send_batch(instance, [asked])
    answer = (await stage.answer(asked[0])).message
    release(stage, instance, answer)
    await freed(stage, answer)
    stage.scheduler.bus.send(instance.executor, Resend(V1, stage.submitter.bus.incarnation, asked[0].counter))
    gone = (await eventually(lambda: stage.answers(asked[0].counter)[1:], "a second answer"))[0].message
    assert isinstance(gone, InferResponse)
    assert gone.error is not None
    assert gone.error[0] == Code.UNAVAILABLE
    before = stage.segments(instance)
    for _ in range(20):
        asked = request(stage)
        stage.send_batch(instance, [asked])
        release(stage, instance, (await stage.answer(asked[0])).message)
    assert stage.segments(instance) == before


async def test_nobody_but_the_holder_can_release(stage: Stage) -> None:
    instance = await serve(stage)
    asked, other = request(stage), request(stage)
    stage.send_batch(instance, [asked])
    answer = (await stage.answer(asked[0])).message
    release(stage, instance, answer, by=stage.scheduler)
    stage.send_batch(instance, [other])
    await stage.answer(other[0])
    assert stage.reader.is_current(reference(answer))


async def test_an_answer_given_again_refers_to_the_same_block(stage: Stage) -> None:
    instance = await serve(stage)
    asked = request(stage)
    stage.send_batch(instance, [asked])
    await stage.answer(asked[0])
    stage.scheduler.bus.send(instance.executor, Resend(V1, stage.submitter.bus.incarnation, asked[0].counter))
    await eventually(lambda: len(stage.answers(asked[0].counter)) == 2, "the answer again")
    first, second = (received.message for received in stage.answers(asked[0].counter))
    assert first == second


async def test_the_answers_of_a_submitter_that_left_are_freed(stage: Stage) -> None:
    instance = await serve(stage)
    gateway = await stage.peer("gateway")
    asked = request(stage, submitter=gateway.bus.incarnation)
    await asyncio.sleep(0.5)  # its first heartbeats
    stage.send_batch(instance, [asked])
    answer = await gateway.first(InferResponse)
    assert stage.reader.is_current(reference(answer))
    await gateway.bus.close()
    await freed(stage, answer)


@pytest.mark.slow
async def test_a_holder_is_asked_for_answers_that_it_does_not_release(stage: Stage) -> None:
    instance = await serve(stage)
    asked = request(stage)
    stage.send_batch(instance, [asked])
    answer = (await stage.answer(asked[0])).message
    question = await stage.submitter.first(HoldQuery)
    assert question.generations == (generation(answer),)
    assert stage.reader.is_current(reference(answer))
    release(stage, instance, answer)
    await freed(stage, answer)


@pytest.mark.slow
async def test_the_answers_of_a_submitter_that_nobody_heard_of_are_freed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_SHM_LIMIT", str(4 * 2**20))
    instance = await serve(stage, TRIPLE)
    stage.send_batch(instance, [request(stage, submitter="gateway-unheard")])

    async def is_served() -> bool:
        asked = request(stage)
        stage.send_batch(instance, [asked])
        return (await stage.answer(asked[0])).message.error is None

    assert not await is_served()
    await asyncio.sleep(12.0)
    assert await is_served()


async def test_a_full_arena_refuses_large_answers_until_others_are_released(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_SHM_LIMIT", str(4 * 2**20))
    instance = await serve(stage, TRIPLE)
    one, two, small = request(stage), request(stage), stage.request([row(1.0, 10_000)], model="m")
    stage.send_batch(instance, [one])
    first = (await stage.answer(one[0])).message
    stage.send_batch(instance, [two])
    refused = (await stage.answer(two[0])).message
    assert refused.error is not None
    assert refused.error[0] == Code.UNAVAILABLE
    assert "model 'm', 3000000 bytes of outputs: shared memory is full" in refused.error[1]
    stage.send_batch(instance, [small])
    (output,) = (await stage.answer(small[0])).message.outputs
    assert isinstance(output.ref, Inline)
    release(stage, instance, first)
    await freed(stage, first)
    third = request(stage)
    stage.send_batch(instance, [third])
    assert (await stage.answer(third[0])).message.error is None


async def test_an_answer_for_another_host_travels_in_the_message(stage: Stage) -> None:
    instance = await serve(stage)
    asked = stage.request([row(4.0)], model="m", host="0123456789abcdef")
    stage.send_batch(instance, [asked])
    answer = await stage.answer(asked[0])
    assert isinstance(answer.message.outputs[0].ref, Inline)
    assert set(answer.outputs["X"].ravel().tolist()) == {4.0}
    assert stage.segments(instance) == []


async def test_an_input_taken_back_while_the_model_executes_is_an_error(stage: Stage) -> None:
    source = f"""
    class TritonPythonModel:
        def execute(self, requests):
            open({str(stage.directory / "executing")!r}, "w").close()
            while not os.path.exists({str(stage.directory / "go")!r}):
                time.sleep(0.005)
            return [answer(array_of(request)) for request in requests]
    """
    instance = await serve(stage, source)
    lost, fine = request(stage), request(stage)
    stage.send_batch(instance, [lost, fine])
    await eventually((stage.directory / "executing").exists, "the execution")
    stage.arena.free(stage.arena.held()[0].generation)
    (stage.directory / "go").touch()
    error = (await stage.answer(lost[0])).message.error
    assert error is not None
    assert error[0] == Code.UNAVAILABLE
    assert "model 'm', input 'A': its 1000000 bytes of shared memory were taken back" in error[1]
    assert (await stage.answer(fine[0])).message.error is None


async def test_an_input_that_is_gone_when_it_arrives_is_an_error_of_its_request_alone(stage: Stage) -> None:
    instance = await serve(stage)
    lost, fine = request(stage), request(stage)
    stage.arena.free(stage.arena.held()[0].generation)
    stage.send_batch(instance, [lost, fine])
    message = (await stage.answer(lost[0])).message
    assert message.error is not None
    assert (message.error[0], message.executed) == (Code.UNAVAILABLE, False)
    assert "model 'm', input 'A': its 1000000 bytes of shared memory cannot be read" in message.error[1]
    assert (await stage.answer(fine[0])).message.error is None


async def test_a_drain_waits_until_its_answers_were_read_and_leaves_nothing(stage: Stage) -> None:
    instance = await serve(stage)
    (agent,) = stage.agents
    asked = request(stage)
    stage.send_batch(instance, [asked])
    message = (await stage.answer(asked[0])).message
    agent.send_signal(signal.SIGTERM)
    await asyncio.sleep(1.0)
    assert agent.poll() is None
    assert stage.segments(instance)
    release(stage, instance, message)
    assert await asyncio.to_thread(agent.wait, 10) == 0
    assert stage.segments(instance) == []


async def test_the_memory_of_a_killed_executor_is_removed_by_the_next(stage: Stage) -> None:
    instance = await serve(stage)
    await stage.known(instance)
    asked = request(stage)
    stage.send_batch(instance, [asked])
    await stage.answer(asked[0])
    assert stage.segments(instance)
    os.kill(stage.executor_pid(instance), signal.SIGKILL)
    await eventually(lambda: not stage.segments(instance), "the segments gone")
