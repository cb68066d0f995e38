from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest

from idle_backend import IdleBackend
from requests_to_execute import NO_MEMORY, infer_request, items_of, tensor
from shoal.core.errors import InternalError, InvalidArgument, ShoalError
from shoal.workers import board
from shoal.workers.backend import Execution, InstanceSpec, ModelSource, Request
from shoal.workers.control import Load
from shoal.workers.executor.execution import Outcome
from shoal.workers.executor.instance import WAITING_LIMIT, Instance, Surroundings, Work

LOAD = Load(3, "m", 1, "g1", "/models/m", {"name": "m", "max_batch_size": 8}, {}, "m_0", "CPU", 0)


class Recording(IdleBackend):
    """Notes what is done with it; loading and unloading raise what the test says."""

    done: ClassVar[list[str]] = []
    load_raises: ClassVar[BaseException | None] = None
    unload_raises: ClassVar[BaseException | None] = None

    def load(self, source: ModelSource, instance: InstanceSpec) -> None:
        self.done.append(f"load {instance.name}")
        if self.load_raises:
            raise self.load_raises

    def execute(self, requests: Sequence[Request]) -> Execution:
        self.done.append(f"execute {len(requests)}")
        return super().execute(requests)

    def unload(self) -> None:
        self.done.append("unload")
        if self.unload_raises:
            raise self.unload_raises


class Reported:
    """Collects an instance's reports."""

    def __init__(self) -> None:
        self.reports: list[Any] = []

    def loaded(self, instance: Instance, error: ShoalError | None) -> None:
        self.reports.append(("loaded", error))

    def executed(self, instance: Instance, work: Work, outcome: Outcome) -> None:
        self.reports.append(("executed", work.batch_id, len(outcome.results)))

    def unloaded(self, instance: Instance) -> None:
        self.reports.append(("unloaded",))


class Loop:
    """What the instance posts, to be run by the test's thread."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def run(self, count: int) -> None:
        for _ in range(count):
            self.calls.get(timeout=5)()


@pytest.fixture
def board_fd() -> Iterator[int]:
    fd = board.create()
    yield fd
    os.close(fd)


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> type[Recording]:
    monkeypatch.setattr(Recording, "done", [])
    monkeypatch.setattr(Recording, "load_raises", None)
    monkeypatch.setattr(Recording, "unload_raises", None)
    return Recording


def work(batch_id: int) -> Work:
    return Work(1, batch_id, "full", items_of(infer_request(tensor("A", [[1.0]]))))


def make(board_fd: int) -> tuple[Instance, Loop, Reported]:
    loop, reported = Loop(), Reported()
    return Instance(LOAD, Recording, Surroundings(board_fd, NO_MEMORY, loop.calls.put), reported), loop, reported


def test_an_instance_loads_executes_in_order_and_unloads(board_fd: int) -> None:
    instance, loop, reported = make(board_fd)
    assert all(instance.offer(work(batch_id)) for batch_id in (1, 2))
    instance.finish()
    instance.end()
    thread = threading.Thread(target=instance.run)
    thread.start()
    loop.run(4)
    thread.join(5)
    assert reported.reports == [("loaded", None), ("executed", 1, 1), ("executed", 2, 1), ("unloaded",)]
    assert Recording.done == ["load m_0", "execute 1", "execute 1", "unload"]


@pytest.mark.parametrize("raised", [InvalidArgument("no"), ValueError("bad value"), SystemExit(2), GeneratorExit()])
def test_a_failed_load_is_reported_and_ends_the_thread(board_fd: int, raised: BaseException) -> None:
    Recording.load_raises = raised
    instance, loop, reported = make(board_fd)
    instance.run()
    loop.run(1)
    ((_, error),) = reported.reports
    assert isinstance(error, InvalidArgument if isinstance(raised, InvalidArgument) else InternalError)
    assert Recording.done == ["load m_0"]


@pytest.mark.parametrize("raised", [ValueError("cannot let go"), SystemExit(2), GeneratorExit()])
def test_a_failed_unload_is_an_unload(board_fd: int, raised: BaseException) -> None:
    Recording.unload_raises = raised
    instance, loop, reported = make(board_fd)
    instance.end()
    instance.run()
    loop.run(2)
    assert reported.reports[-1] == ("unloaded",)


def test_nothing_is_taken_after_the_end_was_asked_for(board_fd: int) -> None:
    instance, _, _ = make(board_fd)
    instance.finish()
    assert not instance.offer(work(1))


def test_no_more_waits_than_the_limit(board_fd: int) -> None:
    instance, _, _ = make(board_fd)
    assert [instance.offer(work(n)) for n in range(WAITING_LIMIT + 1)] == [True] * WAITING_LIMIT + [False]
