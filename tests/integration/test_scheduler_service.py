"""Real scheduler processes over a real broker, with scripted executors, agents and submitters."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scheduler_peers import Agent, Executor, Submitter, desire, start_scheduler, until
from scheduler_stage import in_arena
from shoal.bus import HeartbeatBody
from shoal.core.errors import Code
from shoal.core.messages import LOADING, V1, Cancel, ModelCounters, ReconcileReply

if TYPE_CHECKING:
    from broker_process import Broker

END_TIMEOUT_S = 15.0


class Scene:
    """One broker with a submitter, an agent with an executor `e`, and as many schedulers as a test starts."""

    def __init__(self, broker: Broker, log: Path, stack: AsyncExitStack) -> None:
        self.broker = broker
        self._log = log
        self._stack = stack
        self._schedulers: list[subprocess.Popen[bytes]] = []

    async def begin(self, schedulers: int = 1, **config: Any) -> None:
        """Everything is up and the owner knows its instance; further schedulers stand by."""
        settings = self.broker.settings()
        self.submitter = await Submitter.join(settings)
        self.agent = await Agent.join(settings)
        self.executor = await self.add_executor()
        for bus in (self.submitter.bus, self.agent.bus):
            self._stack.push_async_callback(bus.close)
        await desire(self.agent.bus, **config)
        self.agent.show(self.executor.status())
        self.start_scheduler()
        await until(lambda: self.submitter.owner)
        for _ in range(schedulers - 1):
            self.start_scheduler()
            await until(lambda: self.submitter.standby)

    async def add_executor(self) -> Executor:
        executor = await Executor.join(self.broker.settings())
        self._stack.push_async_callback(executor.bus.close)
        return executor

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        process = start_scheduler(self.broker.settings(), self._log)
        self._schedulers.append(process)
        return process

    @property
    def owner_process(self) -> subprocess.Popen[bytes]:
        pid = self.submitter.bus.peers[self.submitter.owner].heartbeat.pid
        return next(process for process in self._schedulers if process.pid == pid)

    def answered(self, *counters: int) -> bool:
        """Whether each of these was answered, exactly once and without an error."""
        responses = [self.submitter.responses.get(counter, []) for counter in counters]
        assert all(len(found) <= 1 for found in responses)
        return all(found and found[0].error is None for found in responses)

    def end(self) -> None:
        for process in self._schedulers:
            process.kill()
            process.wait(END_TIMEOUT_S)


@pytest.fixture
async def scene(broker: Broker, tmp_path: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        scene = Scene(broker, tmp_path / "scheduler.log", stack)
        stack.callback(scene.end)
        yield scene


async def test_requests_go_to_an_executor_in_batches_with_their_bytes_untouched(scene: Scene) -> None:
    await scene.begin(dynamic_batching={})
    scene.submitter.send(1, 2, payload=b"abc")
    await until(lambda: scene.executor.held)
    (first,) = scene.executor.held
    scene.submitter.send(3, 4)
    assert first.batch.reason == "instance idle"
    assert first.keys == ((scene.submitter.bus.incarnation, 1), (scene.submitter.bus.incarnation, 2))
    assert first.payloads == (b"abc", b"abc")
    scene.executor.finish(first)
    await until(lambda: scene.executor.held)
    (second,) = scene.executor.held
    assert [found.counter for found in second.requests] == [3, 4]
    scene.executor.finish(second)
    await until(lambda: scene.answered(1, 2, 3, 4))


async def test_a_delay_is_waited_for(scene: Scene) -> None:
    await scene.begin(dynamic_batching={"max_queue_delay_microseconds": 50_000})
    scene.submitter.send(1)
    await until(lambda: scene.executor.held)
    (held,) = scene.executor.held
    assert held.batch.reason == "delay expired"
    assert 50_000 <= held.batch.items[0].queue_us < 1_000_000


async def test_a_deadline_is_refused_while_the_instance_is_busy(scene: Scene) -> None:
    await scene.begin()
    scene.submitter.send(1)
    scene.submitter.send(2, deadline_us=100_000)
    await until(lambda: 2 in scene.submitter.responses)
    (response,) = scene.submitter.responses[2]
    assert response.error is not None
    assert response.error[0] == Code.UNAVAILABLE
    assert response.error[1].startswith("deadline of 100 ms passed after 10")
    assert (response.executed, response.timings.queue_ns >= 100_000_000) == (False, True)


async def test_a_request_that_waits_can_be_cancelled(scene: Scene) -> None:
    await scene.begin()
    scene.submitter.send(1, 2)
    scene.submitter.bus.send(scene.submitter.owner, Cancel(V1, scene.submitter.bus.incarnation, (2,)))
    await until(lambda: 2 in scene.submitter.responses)
    assert scene.submitter.responses[2][0].error == (Code.CANCELLED, "")


async def test_a_dead_executors_batch_goes_to_another_one(scene: Scene) -> None:
    await scene.begin()
    scene.submitter.send(1)
    await until(lambda: scene.executor.held)
    other = await scene.add_executor()
    scene.agent.show(scene.executor.status()._replace(executor="", state=LOADING))
    scene.agent.show(other.status())
    await until(lambda: other.held)
    other.finish(other.held[0])
    await until(lambda: scene.answered(1))


async def test_a_request_whose_executors_end_twice_is_refused_with_both_causes(scene: Scene) -> None:
    await scene.begin(dynamic_batching={})
    second = await scene.add_executor()
    scene.submitter.send(1, 2)
    await until(lambda: scene.executor.held)
    (first,) = scene.executor.held
    scene.agent.show(second.status())
    scene.agent.end(scene.executor, "signal 11 (SIGSEGV)", first)
    await until(lambda: second.held)
    (alone,) = second.held
    assert (alone.batch.reason, len(alone.keys), alone.deaths) == ("retry alone", 1, (1,))
    second.finish(alone)
    await until(lambda: second.held)
    third = await scene.add_executor()
    scene.agent.show(third.status())
    scene.agent.end(second, "execution_timeout of 2 s exceeded", second.held[0])
    await until(lambda: 2 in scene.submitter.responses)
    error = scene.submitter.responses[2][0].error
    assert error is not None
    assert error[0] == Code.UNAVAILABLE
    assert "signal 11 (SIGSEGV); then: " in error[1]
    assert "execution_timeout of 2 s exceeded" in error[1]
    assert scene.answered(1)


async def test_what_an_executor_had_not_started_does_not_run_alone(scene: Scene) -> None:
    await scene.begin()
    scene.submitter.send(1)
    await until(lambda: scene.executor.held)
    other = await scene.add_executor()
    scene.agent.show(other.status())
    scene.agent.end(scene.executor, "signal 9")
    await until(lambda: other.held)
    assert (other.held[0].batch.reason, other.held[0].deaths) == ("instance idle", (0,))


async def test_submitters_learn_when_nobody_reads_their_memory_any_more(scene: Scene) -> None:
    await scene.begin()
    scene.submitter.send(1, 3, inputs=(in_arena(),))
    scene.submitter.send(2)
    for _ in range(3):
        await until(lambda: scene.executor.held)
        assert scene.executor.held[0].requests[0].counter not in scene.submitter.closed
        scene.executor.finish(scene.executor.held[0])
    await until(lambda: scene.answered(1, 2, 3))
    await until(lambda: len(scene.submitter.closed) == 2)
    assert scene.submitter.closed == [1, 3]


async def test_submitters_that_ask_learn_what_is_closed(scene: Scene) -> None:
    await scene.begin()
    scene.submitter.send(1, inputs=(in_arena(),))
    await until(lambda: scene.executor.held)
    scene.submitter.ask(closing=(1, 8, 9))
    await until(lambda: scene.submitter.replies)
    assert scene.submitter.closed == [8, 9]


async def test_a_standby_answers_that_it_is_not_the_owner(scene: Scene) -> None:
    await scene.begin(schedulers=2)
    scene.submitter.send(1, 2, to=scene.submitter.standby)
    await until(lambda: scene.submitter.not_owned == [1, 2])


@pytest.mark.slow
async def test_a_standby_takes_over_within_two_seconds_and_adopts_what_runs(scene: Scene) -> None:
    await scene.begin(schedulers=2)
    submitter, executor = scene.submitter, scene.executor
    submitter.send(1, 2)
    await until(lambda: executor.held)
    owner = submitter.owner
    scene.owner_process.kill()
    killed_at = time.monotonic()
    await until(lambda: submitter.owner not in ("", owner))
    submitter.ask(1, 2)
    submitter.send(3)
    await until(lambda: submitter.replies)
    took_s = time.monotonic() - killed_at
    ((sender, reply),) = submitter.replies
    assert sender == submitter.owner
    assert reply == ReconcileReply(V1, submitter.bus.peers[sender].heartbeat.owned["models"], (2,), ())
    assert took_s < 2.0
    submitter.send(2)
    for counter in (1, 3, 2):
        await until(lambda: executor.held)
        assert [found.counter for found in executor.held[0].requests] == [counter]
        executor.finish(executor.held[0])
    await until(lambda: scene.answered(1, 2, 3))
    assert len(executor.received) == 3


@pytest.mark.slow
async def test_a_death_before_the_takeover_and_one_after_it_are_the_last(scene: Scene) -> None:
    await scene.begin(schedulers=2)
    submitter, second = scene.submitter, await scene.add_executor()
    submitter.send(1, inputs=(in_arena(),))
    await until(lambda: scene.executor.held)
    scene.agent.show(second.status())
    scene.agent.end(scene.executor, "signal 11", scene.executor.held.pop())
    await until(lambda: second.held)
    owner = submitter.owner
    scene.owner_process.kill()
    await until(lambda: submitter.owner not in ("", owner))
    submitter.ask(1, closing=(5,))
    await until(lambda: submitter.replies)
    assert (submitter.replies[0][1].unknown, submitter.closed) == ((), [5])
    scene.agent.end(second, "signal 6", *second.held)
    await until(lambda: 1 in submitter.responses)
    error = submitter.responses[1][0].error
    assert error is not None
    assert "twice (first: an executor ended before the scheduler was replaced; then: " in error[1]


@pytest.mark.slow
async def test_a_lone_scheduler_that_is_to_end_does_not_wait_for_the_last_of_a_steady_stream(scene: Scene) -> None:
    await scene.begin()
    submitter, executor = scene.submitter, scene.executor
    process = scene.owner_process
    submitter.send(1, 2)
    await until(lambda: executor.held)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    counter = 2
    while submitter.owner:
        if executor.held:
            counter += 1
            submitter.send(counter)
            executor.finish(executor.held[0])
        await asyncio.sleep(0.02)
    assert 3.0 <= time.monotonic() - began < 8.0
    await until(lambda: process.poll() == 0)
    assert counter > 20
    assert scene.answered(*range(1, counter - 3))


@pytest.mark.slow
async def test_a_broker_that_comes_back_empty_is_scheduled_for_again(scene: Scene) -> None:
    await scene.begin()
    submitter, executor = scene.submitter, scene.executor
    submitter.send(1, 2)
    await until(lambda: executor.held)
    epoch = submitter.bus.peers[submitter.owner].heartbeat.owned["models"]
    scene.broker.kill()
    scene.broker.start(empty=True)
    await until(lambda: submitter.owner and submitter.bus.peers[submitter.owner].heartbeat.owned["models"] > epoch)
    executor.finish(executor.held[0])
    await until(lambda: executor.held and executor.held[0].requests[0].counter == 2)
    executor.finish(executor.held[0])
    await until(lambda: scene.answered(1, 2))
    submitter.send(3)
    await until(lambda: executor.held)


async def test_what_was_accepted_is_finished_before_the_process_ends(scene: Scene) -> None:
    await scene.begin()
    scene.submitter.send(1, 2)
    await until(lambda: scene.executor.held)
    process = scene.owner_process
    process.send_signal(signal.SIGTERM)
    for _ in (1, 2):
        await until(lambda: scene.executor.held)
        assert process.poll() is None
        scene.executor.finish(scene.executor.held[0])
    await until(lambda: scene.answered(1, 2))
    await until(lambda: process.poll() == 0)


async def test_a_standby_gets_the_models_at_once_when_the_owner_is_to_end(scene: Scene) -> None:
    await scene.begin(schedulers=2)
    scene.submitter.send(1)
    await until(lambda: scene.executor.held)
    owner, process = scene.submitter.owner, scene.owner_process
    process.send_signal(signal.SIGTERM)
    await until(lambda: scene.submitter.owner not in ("", owner), within_s=2.0)
    await until(lambda: process.poll() == 0)
    scene.submitter.ask(1)
    await until(lambda: scene.submitter.replies)
    assert scene.submitter.replies[0][1].unknown == ()
    scene.executor.finish(scene.executor.held[0])
    await until(lambda: scene.answered(1))


async def test_counters_of_processes_that_left_are_remembered(scene: Scene) -> None:
    await scene.begin()
    row = ModelCounters("m", 1, "g", 0, 0, 0, 0, 0, 0, 0, 0, 5, 2, 1, ((3, 1, 1, 1, 1), (2, 1, 1, 1, 1)), {})
    other = await scene.add_executor()
    other.bus.body = lambda: HeartbeatBody(counters=(row,))
    other.bus.beat()
    peers = scene.submitter.bus.peers
    await until(lambda: other.bus.incarnation in peers and peers[other.bus.incarnation].heartbeat.counters)
    await other.bus.close()
    await until(lambda: other.bus.incarnation not in peers)
    scene.submitter.ask_statistics()
    await until(lambda: scene.submitter.statistics)
    (reply,) = scene.submitter.statistics
    assert (reply.query_id, reply.counters) == (7, {other.bus.incarnation: (row,)})
