"""Recycling of python instances under a stream of requests."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from python_worker import request_for, serve_model
from shoal.core.messages import READY, BatchQueryReply, InferRequest, InferResponse, InstanceStatus
from worker_stage import Stage, eventually

COUNTING = """
class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.005)
        return [answer(request) for request in requests]
    def finalize(self):
        open({path!r}, "a").write("x")
"""


class Stream:
    """One batch at a time to whichever instance is listed as READY, as a scheduler would send them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.requests: list[InferRequest] = []
        self.executors: list[str] = []
        self.gaps = 0

    async def run(self) -> None:
        while True:
            ready = [status for status in self._stage.instances() if status.state == READY]
            if not ready:
                self.gaps += 1
                await asyncio.sleep(0.005)
                continue
            await self._ask(ready[0])

    async def _ask(self, instance: InstanceStatus) -> None:
        asked = request_for(self._stage, 4.0)
        self.requests.append(asked[0])
        if instance.executor not in self.executors:
            self.executors.append(instance.executor)
        self._stage.send_batch(instance, [asked])
        await self._stage.answer(asked[0])


async def recycled(stage: Stage, finalized: Path) -> Stream:
    """Stream requests until the second instance was finalized; every one must have been answered."""
    await stage.ready()
    stream = Stream(stage)
    task = asyncio.create_task(stream.run())
    done = asyncio.create_task(
        eventually(lambda: finalized.exists() and len(finalized.read_text()) >= 2, "two recycled instances", 40.0)
    )
    await asyncio.wait({task, done}, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await done
    return stream


async def test_a_stream_of_requests_does_not_notice_that_instances_are_recycled_by_executions(stage: Stage) -> None:
    finalized = stage.directory / "finalized"
    await serve_model(stage, COUNTING.format(path=str(finalized)), recycle_after_executions="50")
    stream = await recycled(stage, finalized)
    answers = [received.message for received in stage.submitter.received]
    errors = [answer.error for answer in answers if isinstance(answer, InferResponse)]
    assert set(errors) == {None}
    assert len(stream.requests) - len(errors) in (0, 1)
    assert len(stream.executors) >= 3
    assert stream.gaps == 0
    assert stage.scheduler.of(BatchQueryReply) == []


async def test_an_instance_that_grows_is_recycled(stage: Stage) -> None:
    source = """
    HOARD = []
    class TritonPythonModel:
        def execute(self, requests):
            HOARD.append(bytearray(b"x") * (64 << 20))
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source, recycle_above_resident_bytes=str(256 << 20))
    (instance,) = await stage.ready()
    while True:
        (current, *_) = [status for status in stage.instances() if status.state == READY]
        if current.executor != instance.executor:
            break
        asked = request_for(stage)
        stage.send_batch(current, [asked])
        await stage.answer(asked[0])
        await asyncio.sleep(0.2)
    assert "bytes, shoal.recycle_above_resident_bytes is 268435456" in (stage.directory / "agent.log").read_text()


async def test_a_fresh_instance_that_cannot_be_loaded_leaves_the_old_one_where_it_is(stage: Stage) -> None:
    marker = stage.directory / "loaded"
    source = f"""
    class TritonPythonModel:
        def initialize(self, args):
            if os.path.exists({str(marker)!r}):
                raise pb_utils.TritonModelException("no second time")
            open({str(marker)!r}, "w").close()
        def execute(self, requests):
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source, recycle_after_executions="1")
    (instance,) = await stage.ready()
    asked = request_for(stage)
    stage.send_batch(instance, [asked])
    await stage.answer(asked[0])
    log = stage.directory / "agent.log"
    await eventually(lambda: "instance not recycled" in log.read_text(), "the failed attempt")
    assert "no second time" in log.read_text()
    assert [status.executor for status in await stage.ready()] == [instance.executor]
