"""One loaded instance on its own thread: load, batches one after the other, unload."""

from __future__ import annotations

import gc
import queue
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from shoal.core.errors import InternalError, ShoalError
from shoal.core.model_config import from_json
from shoal.telemetry.logs import get_logger
from shoal.workers.backend import Backend, InstanceSpec, ModelSource
from shoal.workers.board import SlotBoard
from shoal.workers.control import Load
from shoal.workers.executor.counters import CountedModel
from shoal.workers.executor.execution import Outcome, Running, execute
from shoal.workers.executor.host_memory import HostMemory
from shoal.workers.executor.item import Item

#: Batches that may wait behind the running one. The scheduler sends at most one ahead; more is its fault.
WAITING_LIMIT = 16

_log = get_logger("executor")


class Work(NamedTuple):
    """A batch as an instance executes it, decoded already; `reason` says why it was sent."""

    epoch: int
    batch_id: int
    reason: str
    items: list[Item]


class Surroundings(NamedTuple):
    """What the instances of a process share. `post` hands a call over to the loop's thread; it must be callable from
    any thread."""

    board_fd: int
    memory: HostMemory
    post: Callable[[Callable[[], None]], object]


class Reports(Protocol):
    """Who hears of an instance's life; called on the loop's thread."""

    def loaded(self, instance: Instance, error: ShoalError | None) -> None: ...
    def executed(self, instance: Instance, work: Work, outcome: Outcome) -> None: ...
    def unloaded(self, instance: Instance) -> None: ...


class Instance:
    """`run` is the body of the instance's thread; `offer`, `finish` and `end` are called by the loop's thread."""

    def __init__(self, load: Load, backend: type[Backend], surroundings: Surroundings, reports: Reports) -> None:
        config = from_json(load.config)
        self.slot = load.slot
        self.name = load.instance
        self.counted = CountedModel(load.model, load.version, load.generation)
        self._source = ModelSource(load.model, load.version, load.directory, config, load.backend_config)
        self._spec = InstanceSpec(load.instance, load.kind, load.device_id)
        self._backend = backend()
        self._board = SlotBoard(surroundings.board_fd, load.slot)
        self._memory = surroundings.memory
        self._post = surroundings.post
        self._reports = reports
        self._waiting = 0
        self._is_finishing = self._is_ending = False
        self._jobs: queue.SimpleQueue[Work | None] = queue.SimpleQueue()

    def offer(self, work: Work) -> bool:
        """Have a batch executed after those that wait; False when it is not taken, because the instance is to be
        unloaded or too many wait."""
        if self._is_finishing or self._waiting >= WAITING_LIMIT:
            return False
        self._waiting += 1
        self._jobs.put(work)
        return True

    @property
    def is_finishing(self) -> bool:
        """Whether it is to be unloaded, as soon as what it has taken is answered."""
        return self._is_finishing

    def finish(self) -> None:
        """Take nothing more."""
        self._is_finishing = True

    def end(self) -> None:
        """Unload and end the thread, once what waits is executed."""
        if not self._is_ending:
            self._is_ending = True
            self._jobs.put(None)

    def run(self) -> None:
        error = self._load()
        self._post(lambda: self._reports.loaded(self, error))
        if error is not None:
            return
        while (work := self._jobs.get()) is not None:
            self._post(self._report_of(work, self._execute(work)))
            # The next batch may be long in coming: nothing of this one is to live until then.
            del work
        self._unload()
        self._post(lambda: self._reports.unloaded(self))

    def _execute(self, work: Work) -> Outcome:
        running = Running(self._board, work.epoch, work.batch_id)
        limit = self._source.config.max_batch_size
        return execute(self._backend, self.name, limit, work.items, self._memory, running=running)

    def _report_of(self, work: Work, outcome: Outcome) -> Callable[[], None]:
        def report() -> None:
            self._waiting -= 1
            self._reports.executed(self, work, outcome)

        return report

    def _load(self) -> ShoalError | None:
        started = time.monotonic()
        try:
            self._backend.load(self._source, self._spec)
        except ShoalError as error:
            return error
        except BaseException as error:  # user code; whatever it raises is why the model cannot be served
            _log.exception("load failed", model=self._source.name, instance=self.name)
            return InternalError(f"{type(error).__name__}: {error}")
        # What was imported and loaded stays: collections of garbage need not look at it again and again.
        gc.freeze()
        _log.debug("instance loaded", instance=self.name, load_s=round(time.monotonic() - started, 3))
        return None

    def _unload(self) -> None:
        try:
            self._backend.unload()
        except BaseException:  # the instance is gone either way
            _log.exception("finalize failed", model=self._source.name, instance=self.name)
