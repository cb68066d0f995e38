"""What an agent does about executors that end, stop, hang or take too long."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from python_worker import DOUBLE, configuration, end_of, request_for, serve_model, write_model
from shoal.core.messages import READY, UNAVAILABLE, InstanceStatus
from shoal.memory import SHM
from shoal.memory.layout import owner_of
from worker_stage import Stage, eventually


async def ready_known(stage: Stage) -> InstanceStatus:
    """The one instance, ready, its executor heard."""
    (instance,) = await stage.ready()
    await stage.known(instance)
    return instance


async def successor(stage: Stage, instance: InstanceStatus) -> InstanceStatus:
    """The instance, ready again in another executor."""

    def found() -> list[InstanceStatus]:
        return [s for s in stage.instances() if s.state == READY and s.executor != instance.executor]

    return (await eventually(found, "the instance in a new executor"))[0]


async def is_served(stage: Stage, instance: InstanceStatus) -> bool:
    asked = request_for(stage, 4.0)
    stage.send_batch(instance, [asked])
    return bool((await stage.answer(asked[0])).outputs["X"].tolist() == [[8.0]])


async def test_a_stopped_idle_executor_is_replaced_within_two_seconds(stage: Stage) -> None:
    await serve_model(stage, DOUBLE)
    instance = await ready_known(stage)
    os.kill(stage.executor_pid(instance), signal.SIGSTOP)
    stopped_at = time.monotonic()
    end = await end_of(stage, instance.executor)
    assert time.monotonic() - stopped_at < 2.0
    assert (end.cause, end.executing) == ("its process was stopped (SIGSTOP), so it was killed", ())
    assert await is_served(stage, await successor(stage, instance))


async def test_a_stopped_busy_executor_is_replaced_and_what_it_executed_is_named(stage: Stage) -> None:
    source = f"""
    class TritonPythonModel:
        def execute(self, requests):
            if value(requests[0]) == 0:
                open({str(stage.directory / "executing")!r}, "w").close()
                time.sleep(60)
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source)
    instance = await ready_known(stage)
    running = stage.send_batch(instance, [request_for(stage, 0.0)])
    stage.send_batch(instance, [request_for(stage, 1.0)])
    await eventually((stage.directory / "executing").exists, "the execution")
    os.kill(stage.executor_pid(instance), signal.SIGSTOP)
    stopped_at = time.monotonic()
    end = await end_of(stage, instance.executor)
    assert time.monotonic() - stopped_at < 2.0
    # The second batch waited: it was not started.
    assert end.executing == ((stage.epoch, running),)
    assert await is_served(stage, await successor(stage, instance))


@pytest.mark.slow
async def test_an_execution_that_holds_the_interpreter_for_long_is_left_alone(stage: Stage) -> None:
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            ctypes.PyDLL(None).usleep(8_000_000)
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source)
    instance = await ready_known(stage)
    asked = request_for(stage, 4.0)
    stage.send_batch(instance, [asked])
    states = set()
    while not stage.answers(asked[0].counter):
        states.add(tuple((status.state, status.executor) for status in stage.instances()))
        await asyncio.sleep(0.1)
    assert states == {((READY, instance.executor),)}
    assert (await stage.answer(asked[0])).outputs["X"].tolist() == [[8.0]]


async def test_an_execution_that_takes_too_long_ends_its_process(stage: Stage) -> None:
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            while value(requests[0]) == 0:
                pass
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source, execution_timeout="1.5")
    instance = await ready_known(stage)
    running = stage.send_batch(instance, [request_for(stage, 0.0)])
    started_at = time.monotonic()
    end = await end_of(stage, instance.executor)
    assert 1.5 < time.monotonic() - started_at < 3.0
    assert end.cause == (
        "execution of model 'double' (instance double_0) took longer than its shoal.execution_timeout of 1.5 s"
    )
    assert end.executing == ((stage.epoch, running),)
    assert await is_served(stage, await successor(stage, instance))


async def test_a_segmentation_fault_is_told_by_name_with_the_heartbeat_that_drops_the_instance(stage: Stage) -> None:
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            if value(requests[0]) == 0:
                ctypes.string_at(0)
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source)
    instance = await ready_known(stage)
    (agent,) = [peer.incarnation for peer in stage.scheduler.bus.peers.values() if peer.role == "agent"]
    running = stage.send_batch(instance, [request_for(stage, 0.0)])

    def dropped() -> bool:
        return all(status.executor != instance.executor for status in stage.instances())

    await eventually(dropped, "the heartbeat without the instance")
    (end,) = stage.scheduler.bus.peers[agent].heartbeat.ended
    assert end == (instance.executor, "signal 11 (SIGSEGV)", ((stage.epoch, running),))
    assert await is_served(stage, await successor(stage, instance))


async def test_a_kill_by_somebody_else_is_told_as_such(stage: Stage) -> None:
    await serve_model(stage, DOUBLE)
    instance = await ready_known(stage)
    os.kill(stage.executor_pid(instance), signal.SIGKILL)
    end = await end_of(stage, instance.executor)
    assert end.cause.startswith("signal 9 (SIGKILL), not sent by the worker: perhaps by hand, or the machine was out")


async def test_a_model_that_takes_all_the_memory_it_may_fails_and_goes_on(stage: Stage) -> None:
    source = """
    import resource
    class TritonPythonModel:
        def initialize(self, args):
            with open("/proc/self/statm") as file:
                pages = int(file.read().split()[0])
            limit = pages * resource.getpagesize() + (256 << 20)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        def execute(self, requests):
            hoard = []
            while value(requests[0]) == 0:
                hoard.append(bytearray(16 << 20))
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source)
    instance = await ready_known(stage)
    asked = request_for(stage, 0.0)
    stage.send_batch(instance, [asked])
    error = (await stage.answer(asked[0])).message.error
    assert error is not None
    assert "MemoryError" in error[1]
    assert await is_served(stage, (await stage.ready())[0])


async def test_a_load_that_never_ends_does_not_keep_others_from_being_watched(stage: Stage) -> None:
    write_model(stage, "class TritonPythonModel:\n    def initialize(self, args):\n        time.sleep(600)\n", "hangs")
    await serve_model(stage, DOUBLE)
    await stage.desire(configuration("hangs"))
    instance = await ready_known(stage)
    os.kill(stage.executor_pid(instance), signal.SIGSTOP)
    assert await is_served(stage, await successor(stage, instance))


@pytest.mark.slow
async def test_an_agent_without_descriptors_starts_executors_as_soon_as_it_has_some(stage: Stage) -> None:
    await serve_model(stage, DOUBLE)
    (agent,) = stage.agents
    instance = await ready_known(stage)
    limits = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
    in_use = len(os.listdir(f"/proc/{agent.pid}/fd"))
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (in_use - 6, limits[1]))
    os.kill(stage.executor_pid(instance), signal.SIGKILL)
    log = stage.directory / "agent.log"
    await eventually(lambda: log.read_text().count("executor not started") >= 3, "failed starts")
    assert [status.state for status in stage.instances()] != [UNAVAILABLE]
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, limits)
    assert await is_served(stage, await successor(stage, instance))
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
async def test_an_executor_that_was_stopped_together_with_its_agent_is_left_alone(stage: Stage) -> None:
    await serve_model(stage, DOUBLE)
    (agent,) = stage.agents
    instance = await ready_known(stage)
    executor = stage.executor_pid(instance)
    # As a terminal's Ctrl-Z and `fg` do to a whole group, in any order.
    os.kill(executor, signal.SIGSTOP)
    os.kill(agent.pid, signal.SIGSTOP)
    await asyncio.sleep(3.0)
    os.kill(agent.pid, signal.SIGCONT)
    await asyncio.sleep(0.3)
    os.kill(executor, signal.SIGCONT)
    await asyncio.sleep(2.0)
    assert [status.executor for status in await stage.ready()] == [instance.executor]


@pytest.mark.slow
async def test_segments_of_the_dead_are_removed_a_little_after_an_executors_end(stage: Stage) -> None:
    await serve_model(stage, DOUBLE)
    instance = await ready_known(stage)
    owner = "test-agent-faults-dead-owner"
    program = f"""
import os, signal
from shoal.memory import Arena
Arena.open({owner!r}, 1 << 24).allocate(1 << 20, "nobody")
os.kill(os.getpid(), signal.SIGKILL)
"""
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], check=False, timeout=30)

    def left_behind() -> list[str]:
        return [name for name in os.listdir(SHM) if owner_of(name) == owner]

    assert left_behind()
    os.kill(stage.executor_pid(instance), signal.SIGKILL)
    await eventually(lambda: not left_behind(), "the sweep", 15.0)
