"""A worker with python models: what their processes may do, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from python_worker import DOUBLE, configuration, serve_model, write_model
from shoal.core.errors import Code
from shoal.core.messages import (
    LOADING,
    READY,
    UNAVAILABLE,
    V1,
    BatchDone,
    Cancel,
    DescribeModel,
    DescribeReply,
    ExecutorReport,
    InferRequest,
)
from worker_stage import Stage, children_of, eventually, floats

Request = tuple[InferRequest, list[bytes]]


async def agent_of(stage: Stage) -> str:
    """The only agent's incarnation, once it was heard."""

    def agents() -> list[str]:
        return [p.incarnation for p in stage.scheduler.bus.peers.values() if p.role == "agent"]

    (agent,) = await eventually(agents, "the agent")
    return agent


def request(stage: Stage, value: float = 1.0, **fields: Any) -> Request:
    return stage.request([floats("A", [[value]])], model="double", **fields)


async def test_each_instance_has_a_process_of_its_own(stage: Stage) -> None:
    await serve_model(stage, DOUBLE, count=2)
    instances = await stage.ready(2)
    assert len({instance.executor for instance in instances}) == 2
    for instance in instances:
        asked = request(stage, 4.0)
        stage.send_batch(instance, [asked])
        assert (await stage.answer(asked[0])).outputs["X"].tolist() == [[8.0]]


async def test_a_load_failure_is_the_models_own_text(stage: Stage) -> None:
    source = """
    class TritonPythonModel:
        def initialize(self, args):
            raise pb_utils.TritonModelException("no weights today")
    """
    await serve_model(stage, source)
    (instance,) = await stage.in_state(UNAVAILABLE)
    assert instance.reason.startswith("Internal: ")
    assert "no weights today" in instance.reason


async def test_a_model_that_prints_does_not_disturb_the_control_pipe(stage: Stage) -> None:
    source = """
    import ctypes, subprocess
    libc = ctypes.CDLL(None)

    class TritonPythonModel:
        def initialize(self, args):
            print("loading")
            os.write(1, b"\\xff\\xff\\xff\\xff raw bytes on standard output\\n")
        def execute(self, requests):
            print("executing", flush=True)
            libc.printf(b"printed by C\\n")
            libc.fflush(None)
            subprocess.run(["echo", "printed by a program"], check=True)
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source)
    (instance,) = await stage.ready()
    for _ in range(2):
        asked = request(stage)
        stage.send_batch(instance, [asked])
        assert (await stage.answer(asked[0])).message.error is None
    log = stage.directory / "agent.log"
    printed = ("raw bytes on standard output\n", "executing\n", "printed by C\n", "printed by a program\n")
    await eventually(lambda: all(p in log.read_text("utf-8", "replace") for p in printed), "what the model printed")
    assert [status.executor for status in await stage.ready()] == [instance.executor]


async def test_a_model_that_closes_its_standard_streams_serves_and_stops_as_others(stage: Stage) -> None:
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            for number in (0, 1, 2):
                os.close(number)
            return [answer(request) for request in requests]
        def finalize(self):
            print("finalized in spite of it", flush=True)
    """
    await serve_model(stage, source)
    (instance,) = await stage.ready()
    rows = [floats("A", [[1.0]] * 4) for _ in range(2)]
    for asked in (stage.request([r], model="double") for r in rows):
        stage.send_batch(instance, [asked])
        assert (await stage.answer(asked[0])).message.error is None
    await stage.view.delete("double")
    await eventually(lambda: not stage.instances(), "the instance gone")
    log = stage.directory / "agent.log"
    await eventually(lambda: "finalized in spite of it\n" in log.read_text("utf-8", "replace"), "what was printed")


async def test_a_killed_executor_is_started_again_and_serves(stage: Stage) -> None:
    await serve_model(stage, DOUBLE)
    (instance,) = await stage.ready()
    await stage.known(instance)
    os.kill(stage.executor_pid(instance), signal.SIGKILL)
    await stage.in_state(LOADING)
    (restarted,) = await stage.ready()
    assert restarted.executor != instance.executor
    asked = request(stage)
    stage.send_batch(restarted, [asked])
    assert (await stage.answer(asked[0])).message.error is None


@pytest.mark.slow
async def test_a_process_that_never_comes_up_is_given_up_with_its_last_words(stage: Stage) -> None:
    source = """
    class TritonPythonModel:
        def initialize(self, args):
            sys.stderr.write("the licence server is on fire\\n")
            sys.stderr.flush()
            os._exit(17)
    """
    await serve_model(stage, source)
    (instance,) = await stage.in_state(UNAVAILABLE)
    assert "ended 5 times without a successful execution in between, the last time: exit code 17" in instance.reason
    assert instance.reason.startswith("Internal: the process of instance 'double_0'")
    assert "the licence server is on fire" in instance.reason


async def test_an_unfinished_batch_is_reported_to_a_new_owner(stage: Stage) -> None:
    source = f"""
    class TritonPythonModel:
        def execute(self, requests):
            while not os.path.exists({str(stage.directory / "go")!r}):
                time.sleep(0.01)
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source)
    (instance,) = await stage.ready()
    asked = request(stage)
    batch = stage.send_batch(instance, [asked])
    await eventually(lambda: stage.scheduler.of(ExecutorReport), "the first owner's report")
    heir = await stage.peer("scheduler", owned=lambda: {"models": stage.epoch + 1})
    (running,) = (await heir.first(ExecutorReport)).running
    key = (stage.submitter.bus.incarnation, asked[0].counter)
    assert running == (stage.epoch, batch, instance.slot, (key,), (0,))
    (stage.directory / "go").touch()
    await stage.answer(asked[0])
    assert heir.of(BatchDone) == [BatchDone(V1, stage.epoch, batch, instance.slot)]
    assert stage.scheduler.of(BatchDone) == []


async def test_a_cancelled_request_tells_the_model_and_one_that_waits_is_not_executed(stage: Stage) -> None:
    source = f"""
    class TritonPythonModel:
        def execute(self, requests):
            open({str(stage.directory / "executing")!r}, "w").close()
            while not requests[0].is_cancelled():
                time.sleep(0.005)
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source)
    (instance,) = await stage.ready()
    running, waiting = request(stage), request(stage)
    stage.send_batch(instance, [running])
    stage.send_batch(instance, [waiting])
    await eventually((stage.directory / "executing").exists, "the execution")
    counters = (waiting[0].counter, running[0].counter)
    stage.scheduler.bus.send(instance.executor, Cancel(V1, stage.submitter.bus.incarnation, counters))
    assert (await stage.answer(running[0])).message.error is None
    refused = (await stage.answer(waiting[0])).message
    assert (refused.error, refused.executed) == ((Code.CANCELLED, ""), False)


@pytest.mark.slow
async def test_a_model_that_holds_the_interpreter_is_busy_and_not_hung(stage: Stage) -> None:
    # A long multiplication of Python integers never lets the side thread run.
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            number = 3 ** 3_000_000
            started = time.monotonic()
            while time.monotonic() - started < 1.5:
                number * number
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source)
    (instance,) = await stage.ready()
    asked = request(stage)
    stage.send_batch(instance, [asked])
    assert (await stage.answer(asked[0])).message.error is None
    assert [status.executor for status in await stage.ready()] == [instance.executor]


@pytest.mark.slow
async def test_an_idle_executor_that_stands_still_is_replaced(stage: Stage) -> None:
    await serve_model(stage, DOUBLE)
    (instance,) = await stage.ready()
    await stage.known(instance)
    os.kill(stage.executor_pid(instance), signal.SIGSTOP)
    await eventually(lambda: [s for s in stage.instances() if s.executor not in ("", instance.executor)], "another")
    await stage.ready()


async def test_a_drain_finishes_what_runs_and_finalizes(stage: Stage) -> None:
    source = f"""
    class TritonPythonModel:
        def execute(self, requests):
            time.sleep(0.5)
            return [answer(request) for request in requests]
        def finalize(self):
            open({str(stage.directory / "finalized")!r}, "w").close()
    """
    await serve_model(stage, source)
    (agent,) = stage.agents
    (instance,) = await stage.ready()
    first, second = request(stage), request(stage)
    stage.send_batch(instance, [first])
    stage.send_batch(instance, [second])
    await asyncio.sleep(0.1)
    agent.terminate()
    for asked in (first, second):
        assert (await stage.answer(asked[0])).message.error is None
    assert await asyncio.to_thread(agent.wait, 10) == 0
    assert (stage.directory / "finalized").exists()
    await eventually(lambda: not stage.scheduler.bus.peers, "the farewells")


async def test_children_do_not_outlive_an_agent_that_was_killed(stage: Stage) -> None:
    await serve_model(stage, DOUBLE)
    (agent,) = stage.agents
    await stage.ready()
    children = children_of(agent.pid)
    assert children
    agent.kill()
    await asyncio.to_thread(agent.wait, 10)
    await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "the end of the children")


async def test_a_removed_model_is_finalized_and_gone(stage: Stage) -> None:
    source = f"""
    class TritonPythonModel:
        def execute(self, requests):
            return [answer(request) for request in requests]
        def finalize(self):
            open({str(stage.directory / "finalized")!r}, "w").close()
    """
    await serve_model(stage, source)
    await stage.ready()
    await stage.view.delete("double")
    await eventually(lambda: not stage.instances(), "the instance gone")
    assert (stage.directory / "finalized").exists()


async def test_a_new_generation_replaces_the_old_one_when_it_is_ready(stage: Stage) -> None:
    await serve_model(stage, DOUBLE)
    await stage.ready()
    await stage.desire(configuration(), generation="generation-2")
    states: set[tuple[str, ...]] = set()

    def replaced() -> bool:
        ready = tuple(s.generation for s in stage.instances() if s.state == READY)
        states.add(ready)
        return ready == ("generation-2",)

    await eventually(replaced, "the new generation alone")
    assert () not in states


async def test_a_worker_outlives_an_absence_of_the_broker(stage: Stage) -> None:
    await serve_model(stage, DOUBLE)
    (instance,) = await stage.ready()
    await stage.known(instance)
    pid = stage.executor_pid(instance)
    stage.broker.kill()
    await asyncio.sleep(1.5)
    stage.broker.start()
    await eventually(lambda: stage.scheduler.bus.is_connected and stage.submitter.bus.is_connected, "our own links")
    peers = stage.scheduler.bus.peers
    await eventually(
        lambda: instance.executor in peers and peers[instance.executor].heartbeat.links > 0, "the executor's link"
    )
    (after,) = await stage.ready()
    assert (after.executor, stage.executor_pid(after)) == (instance.executor, pid)
    asked = request(stage)
    stage.send_batch(after, [asked])
    assert (await stage.answer(asked[0])).message.error is None


async def test_the_working_directory_is_not_on_the_path_of_models(stage: Stage) -> None:
    source = """
    class TritonPythonModel:
        def initialize(self, args):
            assert "" not in sys.path and os.getcwd() not in sys.path, sys.path
        def execute(self, requests):
            return [answer(request) for request in requests]
    """
    await serve_model(stage, source)
    await stage.ready()


async def test_a_description_that_ends_its_process_is_an_error_with_its_last_words(stage: Stage) -> None:
    source = """
    class TritonPythonModel:
        @staticmethod
        def auto_complete_config(config):
            sys.stderr.write("cannot complete\\n")
            sys.stderr.flush()
            os._exit(9)
    """
    write_model(stage, source)
    stage.start_agent()
    agent = await agent_of(stage)
    question = DescribeModel(V1, 1, "double", 1, str(stage.directory / "double"), json.dumps(configuration()), {})
    stage.scheduler.bus.send(agent, question)
    error = (await stage.scheduler.first(DescribeReply)).error
    expected = "the process that described model 'double' ended with exit code 9; its last output was:\ncannot complete"
    assert error == (Code.INTERNAL, expected)


async def test_threads_that_a_model_left_behind_do_not_delay_its_description(stage: Stage) -> None:
    source = """
    import threading
    threading.Thread(target=time.sleep, args=(600,)).start()
    class TritonPythonModel:
        pass
    """
    write_model(stage, source)
    stage.start_agent()
    agent = await agent_of(stage)
    question = DescribeModel(V1, 1, "double", 1, str(stage.directory / "double"), json.dumps(configuration()), {})
    stage.scheduler.bus.send(agent, question)
    assert (await stage.scheduler.first(DescribeReply)).error is None


async def test_an_exception_of_any_text_is_the_reason_of_a_failed_load(stage: Stage) -> None:
    source = """
    class TritonPythonModel:
        def initialize(self, args):
            raise ValueError("file \\udcff " + "x" * 3_000_000)
    """
    await serve_model(stage, source)
    (instance,) = await stage.in_state(UNAVAILABLE)
    assert instance.reason.startswith("Internal: ValueError: file \\udcff xxx")


async def test_an_exception_of_any_text_is_answered(stage: Stage) -> None:
    source = """
    class Unusual(BaseException):
        pass
    class TritonPythonModel:
        def execute(self, requests):
            raise Unusual("file \\udcff")
    """
    await serve_model(stage, source)
    (instance,) = await stage.ready()
    asked = request(stage)
    stage.send_batch(instance, [asked])
    error = (await stage.answer(asked[0])).message.error
    assert error is not None
    assert "Unusual: file \\udcff" in error[1]
    assert [status.executor for status in await stage.ready()] == [instance.executor]
