"""The repository service as a process, against a real broker and workers that answer from a script."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shoal.bus import Bus, HeartbeatBody, Part, View
from shoal.core import desired
from shoal.core.desired import NO_VERSION, ModelEntry, RepositoryStatus
from shoal.core.messages import V1, DescribeModel, DescribeReply
from shoal.runtime.settings import to_environment

if TYPE_CHECKING:
    from broker_process import Broker

WAIT_S = 30.0
IO = 'input { name: "A" data_type: TYPE_FP32 dims: -1 } output { name: "B" data_type: TYPE_FP32 dims: -1 }'

pytestmark = pytest.mark.slow


def ensemble_of(model: str) -> str:
    """The configuration of an ensemble with one step."""
    return (
        f'platform: "ensemble" {IO} ensemble_scheduling {{ step {{ model_name: "{model}" model_version: -1'
        ' input_map { key: "A" value: "A" } output_map { key: "B" value: "B" } } }'
    )


class Worker:
    """A worker agent that answers with `error`, or with the configuration and `changes` to it; not at all while both
    are missing. `asked` are the questions that came."""

    def __init__(self, bus: Bus, backends: tuple[str, ...], changes: dict[str, Any] | None, error: str) -> None:
        self.bus = bus
        self.asked: list[DescribeModel] = []
        self.changes = changes
        self.error = error
        bus.body = lambda: HeartbeatBody(backends=backends)
        bus.on(DescribeModel, self._answer)

    def _answer(self, sender: str, question: DescribeModel, part: Part) -> None:
        self.asked.append(question)
        if self.error:
            self.bus.send(sender, DescribeReply(V1, question.query_id, "", (1, self.error)))
        elif self.changes is not None:
            config = json.dumps(json.loads(question.config) | self.changes)
            self.bus.send(sender, DescribeReply(V1, question.query_id, config, None))


class World:
    """Repositories, workers and views against one broker; everything ends with the test."""

    def __init__(self, broker: Broker, folder: Path, stack: AsyncExitStack) -> None:
        self.broker = broker
        self.models = folder / "models"
        self.models.mkdir()
        self.processes: list[subprocess.Popen[bytes]] = []
        self._log = folder / "repository.log"
        self._stack = stack
        self._views: dict[str, View] = {}

    def model(self, name: str, config: str, *versions: int, files: dict[str, str] | None = None) -> None:
        (self.models / name).mkdir()
        (self.models / name / "config.pbtxt").write_text(config)
        for path, text in (files or {}).items():
            (self.models / name / path).write_text(text)
        for version in versions:
            (self.models / name / str(version)).mkdir()
            (self.models / name / str(version) / "model.py").write_text("")

    def repository(self, *flags: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "shoal.repository", f"--model-repository={self.models}", *flags],
                env={**os.environ, **to_environment(self.broker.settings())},
                stderr=log,
            )
        self.processes.append(process)
        return process

    async def worker(self, *backends: str, changes: dict[str, Any] | None = None, error: str = "") -> Worker:
        worker = Worker(await self.bus("agent"), backends, changes, error)
        await worker.bus.start()
        return worker

    async def bus(self, role: str, listen_to: tuple[str, ...] = ()) -> Bus:
        bus = await Bus.connect(self.broker.settings(), role, listen_to)
        self._stack.push_async_callback(bus.close)
        return bus

    async def follow(self) -> None:
        """Follow what repositories publish."""
        bus = await self.bus("gateway")
        await bus.start()
        for bucket in ("desired", "repository"):
            self._views[bucket] = await View.open(bus, bucket)
            self._stack.push_async_callback(self._views[bucket].close)

    def entry(self, model: str) -> ModelEntry | None:
        found = self._views["desired"].get(model)
        return None if found is None else desired.decode_model(found)

    def reason(self, model: str) -> str:
        entry = self.entry(model)
        return "" if entry is None else entry.reason

    def versions(self, model: str) -> list[int]:
        entry = self.entry(model)
        return [] if entry is None else sorted(entry.versions)

    def in_store(self, model: str) -> bool:
        return self._views["desired"].revision(model) > 0

    def status(self) -> RepositoryStatus | None:
        found = self._views["repository"].get("status")
        return None if found is None else desired.decode_status(found)

    def is_settled(self) -> bool:
        status = self.status()
        return status is not None and status.settled

    async def until(self, condition: Callable[[], object]) -> None:
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, self._log.read_text() if self._log.exists() else ""
            await asyncio.sleep(0.02)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
async def world(broker: Broker, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        world = World(broker, tmp_path, stack)
        stack.callback(world.end)
        await world.follow()
        yield world


async def test_models_are_completed_and_published(world: World) -> None:
    config = (
        'backend: "python" version_policy { all { } }'
        ' output { name: "B" data_type: TYPE_FP32 dims: 2 label_filename: "labels.txt" }'
    )
    world.model("good", config, 1, 2, files={"labels.txt": "cat\ndog\n"})
    worker = await world.worker("python", changes={"max_batch_size": 6, "dynamic_batching": {}})
    world.repository("--backend-config=python,shm=1")
    await world.until(world.is_settled)
    entry = world.entry("good")
    assert entry is not None
    assert (entry.backend, entry.path, entry.reason) == ("python", str(world.models / "good"), "")
    assert entry.backend_config == {"shm": "1"}
    assert sorted(entry.versions) == [1, 2]
    assert entry.versions[2].config["dynamic_batching"]["preferred_batch_size"] == [6]
    assert entry.versions[2].labels == {"B": ["cat", "dog"]}
    assert {(question.model, question.version) for question in worker.asked} == {("good", 1), ("good", 2)}
    assert world.status() == RepositoryStatus(V1, True, ("good",), "")


async def test_failures_are_told_and_stop_nobody(world: World) -> None:
    world.model("good", f'backend: "python" {IO}', 1)
    world.model("syntax", 'backend: "python"\nno_such_field: 1\n', 1)
    world.model("reshape", f'backend: "python" {IO.replace("dims: -1", "dims: 4 reshape { shape: 3 }", 1)}', 1)
    world.model("no_version", f'backend: "python" {IO}')
    world.model("parts", f'platform: "ensemble" {IO} ensemble_scheduling {{ step {{ model_name: "gone" }} }}', 1)
    world.model("whole", ensemble_of("reshape"), 1)
    second = world.models.parent / "second"
    for folder in (world.models / "twice", second / "twice"):
        folder.mkdir(parents=True)
    await world.worker("python", changes={})
    world.repository(f"--model-repository={second}")
    await world.until(world.is_settled)
    status = world.status()
    assert status is not None
    assert status.models == ("good", "parts", "reshape", "syntax", "twice", "whole")
    assert world.versions("good") == [1]
    assert world.reason("syntax").startswith("Invalid argument: syntax/config.pbtxt:2:1: ")
    assert world.reason("reshape") == (
        "Invalid argument: model input 'A' has different size for dims and reshape for reshape (reshape/config.pbtxt:1)"
    )
    assert "at least one version must be available" in world.reason("no_version")
    assert "must specify 'input_map' in step 0 of ensemble 'parts'" in world.reason("parts")
    assert world.reason("whole").startswith(
        "Invalid argument: ensemble 'whole' depends on 'reshape' which has no loaded version. Model 'reshape' loading "
        "failed with error: Invalid argument: model input 'A' has different size for dims and reshape"
    )
    assert [entry.failed_versions for name in ("syntax", "reshape", "twice") if (entry := world.entry(name))] == [
        (),
        (1,),
        (NO_VERSION,),
    ]


async def test_ensembles_are_served_with_what_they_are_composed_of(world: World) -> None:
    world.model("good", f'backend: "python" {IO} model_transaction_policy {{ decoupled: true }}', 1)
    world.model("inner", ensemble_of("good"), 1)
    world.model("alone", ensemble_of("inner"), 1)
    await world.worker("python", changes={})
    world.repository()
    await world.until(world.is_settled)
    for name in ("good", "inner", "alone"):
        assert world.versions(name) == [1]
        entry = world.entry(name)
        assert entry is not None and entry.versions[1].config["model_transaction_policy"] == {"decoupled": True}


async def test_a_backends_refusal_becomes_the_reason(world: World) -> None:
    world.model("m", f'backend: "python" {IO}', 1)
    await world.worker("python", error="ModuleNotFoundError: No module named 'gone'")
    world.repository()
    await world.until(world.is_settled)
    entry = world.entry("m")
    assert entry is not None
    assert (entry.failed_versions, entry.versions) == ((1,), {})
    assert entry.reason == "Internal: ModuleNotFoundError: No module named 'gone'"


async def test_nobody_is_asked_when_completion_is_off(world: World) -> None:
    world.model("m", f'backend: "python" {IO}', 1)
    worker = await world.worker("python", changes={})
    world.repository("--disable-auto-complete-config")
    await world.until(world.is_settled)
    assert world.versions("m") == [1]
    assert worker.asked == []


async def test_a_worker_that_comes_late_is_used(world: World) -> None:
    world.model("m", f'backend: "mine" {IO}', 1)
    await world.worker("python", changes={})
    world.repository("--worker-wait=0.5")
    await world.until(world.is_settled)
    assert world.reason("m") == (
        "Invalid argument: unable to find backend library for backend 'mine', try specifying runtime on the model"
        " configuration. No worker with this backend came within 0.5 s; backends of the workers: python"
    )
    await world.worker("mine", changes={})
    await world.until(lambda: world.versions("m") == [1])
    assert world.reason("m") == ""


async def test_another_worker_is_asked_when_one_leaves(world: World) -> None:
    world.model("m", f'backend: "python" {IO}', 1)
    silent = await world.worker("python")
    world.repository()
    await world.until(lambda: silent.asked)
    assert world.versions("m") == []
    other = await world.worker("python", changes={})
    await silent.bus.close()
    await world.until(lambda: world.versions("m") == [1])
    assert len(other.asked) == 1


async def test_a_question_survives_the_brokers_restart(world: World) -> None:
    world.model("m", f'backend: "python" {IO}', 1)
    worker = await world.worker("python")
    world.repository()
    await world.until(lambda: worker.asked)
    world.broker.kill()
    worker.changes = {}
    world.broker.start()
    await world.until(lambda: world.versions("m") == [1])
    await world.until(world.is_settled)


async def test_everything_is_written_again_into_an_empty_store(world: World) -> None:
    world.model("m", f'backend: "python" {IO}', 1)
    await world.worker("python", changes={})
    world.repository()
    await world.until(world.is_settled)
    world.broker.kill()
    world.broker.start(empty=True)
    await world.until(lambda: not world.in_store("m"))
    await world.until(lambda: world.in_store("m"))
    assert world.versions("m") == [1]


async def test_a_standby_takes_over_without_touching_what_is_served(world: World) -> None:
    world.model("m", f'backend: "python" {IO}', 1)
    worker = await world.worker("python", changes={})
    world.repository()
    await world.until(world.is_settled)
    before = world.entry("m")
    watcher = await world.bus("gateway", ("repository",))
    await watcher.start()
    world.repository()
    await world.until(lambda: len(watcher.peers) == 2)
    world.model("gone_bad", 'backend: "python" nothing: 1', 1)
    world.processes[0].kill()
    await world.until(lambda: world.reason("gone_bad"))
    assert world.entry("m") == before
    assert len(worker.asked) == 1


async def test_entries_of_models_that_are_gone_are_removed(world: World) -> None:
    world.model("m", f'backend: "python" {IO}', 1)
    await world.worker("python", changes={})
    first = world.repository()
    await world.until(world.is_settled)
    first.terminate()
    assert await asyncio.to_thread(first.wait, WAIT_S) == 0
    (world.models / "m").rename(world.models / "n")
    world.repository()
    await world.until(lambda: world.versions("n") == [1] and world.entry("m") is None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_whatever_it_does(world: World, number: signal.Signals) -> None:
    world.model("m", f'backend: "python" {IO}', 1)
    worker = await world.worker("python")
    process = world.repository()
    await world.until(lambda: worker.asked)
    process.send_signal(number)
    assert await asyncio.to_thread(process.wait, WAIT_S) == 0


async def test_a_missing_repository_ends_the_start(world: World) -> None:
    process = world.repository("--model-repository=/no/such/folder")
    assert await asyncio.to_thread(process.wait, WAIT_S) == 3
