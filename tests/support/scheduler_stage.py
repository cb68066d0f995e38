"""A scheduler core on a manual clock, and short forms of the events and actions of its tests.

Unless a test says otherwise there is model `m`, version 1, generation `g`, and the instances `(e, 0)`, `(e, 1)`, ...;
requests come from submitter `s` and are told apart by their counters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import count
from typing import Any, NamedTuple

from shoal.core.errors import Code
from shoal.core.messages import V1, V3, Closed, InferRequest, RequestKey, Retried
from shoal.core.model_config import ModelConfig, from_json
from shoal.core.tensors import ARENA, INLINE, ArenaRef, Inline, TensorHeader
from shoal.scheduler.actions import Action, BatchReason, Dispatch, DispatchItem, Fault, Refuse, SetTimer, Tell
from shoal.scheduler.batches import BatchRef
from shoal.scheduler.core import SchedulerCore
from shoal.scheduler.events import (
    AdoptionBegan,
    Arrival,
    BatchFinished,
    Event,
    ExecutorGone,
    InstanceReady,
    ModelConfigured,
    RequestsArrived,
    TimerFired,
)
from shoal.scheduler.queued_request import QueuedRequest, accept

MODEL, VERSION, GENERATION = "m", 1, "g"
EXECUTOR, SUBMITTER, OWN = "e", "s", "own"

US = 1_000
MS = 1_000_000
S = 1_000_000_000


class Part(NamedTuple):
    """Bytes of a request; `header` only tells requests apart."""

    header: memoryview
    payload: memoryview


def part(counter: int, payload: bytes = b"") -> Part:
    return Part(memoryview(b"%d" % counter), memoryview(payload))


def key(counter: int, submitter: str = SUBMITTER) -> RequestKey:
    return submitter, counter


def tensor(name: str, *shape: int, at: int = 0, nbytes: int = 0) -> TensorHeader:
    return TensorHeader(name, "FP32", shape, Inline(INLINE, at, nbytes))


def in_arena(name: str = "x") -> TensorHeader:
    """A tensor in the submitter's shared memory."""
    return TensorHeader(name, "FP32", (1, 4096), ArenaRef(ARENA, "host", "segment", 0, 16384, 1))


def request(counter: int, **fields: Any) -> InferRequest:
    plain = InferRequest(
        schema=V3,
        counter=counter,
        submitter=SUBMITTER,
        model=MODEL,
        version=VERSION,
        generation=GENERATION,
        request_id="",
        correlation_id=0,
        flags=0,
        priority=0,
        timeout_us=0,
        deadline_us=None,
        batch_size=1,
        inputs=(),
        outputs=(),
        parameters={},
        traceparent="",
        deaths=(),
        host="",
    )
    return plain._replace(**fields)


def arrival(counter: int, payload: bytes = b"", **fields: Any) -> Arrival:
    return Arrival(request(counter, **fields), part(counter, payload))


def entry(counter: int, at_ns: int = 0, payload: bytes = b"", **fields: Any) -> QueuedRequest:
    """A request as a queue holds it."""
    wanted = request(counter, **fields)
    return accept(wanted.key, wanted, part(counter, payload), at_ns)


def config(max_batch_size: int = 8, **fields: Any) -> ModelConfig:
    """A configuration without inputs and with the default scheduler, unless `fields` (JSON form) say otherwise."""
    return from_json({"name": MODEL, "max_batch_size": max_batch_size, **fields})


def dynamic(
    max_batch_size: int = 8, inputs: Sequence[dict[str, Any]] = (), name: str = MODEL, **batching: Any
) -> ModelConfig:
    """A configuration with a dynamic batcher; `batching` are its fields."""
    return config(max_batch_size, name=name, input=list(inputs), dynamic_batching=batching)


def alone(
    batch_id: int, counter: int, *, slot: int = 0, queue_us: int = 0, executor: str = EXECUTOR, deaths: int = 1
) -> Dispatch:
    """The dispatch of a suspect."""
    return batch(batch_id, "retry alone", [counter], slot=slot, queue_us=queue_us, executor=executor, deaths=deaths)


def closed(*counters: int, submitter: str = SUBMITTER) -> Tell:
    """What a submitter is told when nobody reads the inputs of these requests any more."""
    return Tell(submitter, Closed(V1, counters))


def refusal(counter: int, code: Code, text: str, queue_ns: int = 0, executed: bool = False) -> Refuse:
    return Refuse(key(counter), (int(code), text), queue_ns, executed)


def too_late(counter: int, deadline_ms: int, waited_ms: int, ahead: str) -> Refuse:
    """The refusal of a request at its client's deadline; `ahead` as "2 executions"."""
    text = (
        f"deadline of {deadline_ms} ms passed after {waited_ms} ms in the queue of '{MODEL}' ({ahead} ahead); "
        "the request was not started"
    )
    return refusal(counter, Code.UNAVAILABLE, text, queue_ns=max(1, waited_ms * MS))


def batch(
    batch_id: int,
    reason: BatchReason,
    counters: Iterable[int],
    *,
    slot: int = 0,
    queue_us: int | Sequence[int] = 0,
    executor: str = EXECUTOR,
    deaths: int = 0,
) -> Dispatch:
    """A dispatch of requests without payload; `queue_us` for each, or the same for all."""
    members = list(counters)
    waited = [queue_us] * len(members) if isinstance(queue_us, int) else queue_us
    items = tuple(DispatchItem(key(c), part(c), us, deaths) for c, us in zip(members, waited, strict=True))
    return Dispatch(executor, slot, batch_id, reason, items)


class Stage:
    """`handle` gives a core an event at the time of the clock and returns its actions, but for two kinds: the timer
    that the core has set last is `timer_ns`, and what submitters were told of their requests' deaths is `deaths`."""

    def __init__(
        self,
        model: ModelConfig | None = None,
        instances: int = 1,
        epoch: int = 1,
        executors: Iterable[str] = (EXECUTOR,),
    ) -> None:
        """With a model, it is configured, has so many instances on each executor and is ready to schedule."""
        self.core = SchedulerCore(epoch, OWN, count(1))
        self.now_ns = 0
        self.timer_ns: int | None = None
        self.deaths: dict[int, tuple[str, ...]] = {}
        if model is not None:
            self.handle(AdoptionBegan())
            self.handle(ModelConfigured(MODEL, GENERATION, {VERSION: model}))
            for executor in executors:
                for slot in range(instances):
                    self.ready(slot, executor)

    def handle(self, event: Event) -> list[Action]:
        actions = self.core.handle(event, self.now_ns)
        for fault in actions:
            if isinstance(fault, Fault):
                raise fault.error
        timers = [action.at_ns for action in actions if isinstance(action, SetTimer)]
        assert len(timers) <= 1
        for at_ns in timers:
            self.timer_ns = at_ns
        return [action for action in actions if not isinstance(action, SetTimer) and not self._notes_deaths(action)]

    def _notes_deaths(self, action: Action) -> bool:
        if isinstance(action, Tell) and isinstance(action.message, Retried):
            self.deaths.update(action.message.deaths)
            return True
        return False

    def wait(self, duration_ns: int) -> list[Action]:
        """Let time pass, with the timer firing whenever it is due; what the core did meanwhile."""
        end_ns = self.now_ns + duration_ns
        actions: list[Action] = []
        while self.timer_ns is not None and self.timer_ns <= end_ns:
            self.now_ns = max(self.now_ns, self.timer_ns)
            self.timer_ns = None
            actions += self.handle(TimerFired())
        self.now_ns = end_ns
        return actions

    def pass_ns(self, duration_ns: int) -> None:
        """Let time pass without the timer firing."""
        self.now_ns += duration_ns

    def arrive(self, *counters: int, **fields: Any) -> list[Action]:
        """Requests of one turn, all with these fields."""
        return self.handle(RequestsArrived(tuple(arrival(counter, **fields) for counter in counters)))

    def ready(self, slot: int = 0, executor: str = EXECUTOR, generation: str = GENERATION) -> list[Action]:
        return self.handle(InstanceReady(MODEL, VERSION, generation, executor, slot, f"m_0_{slot}"))

    def gone(
        self, executor: str = EXECUTOR, cause: str = "signal 9", executing: Collection[BatchRef] | None = None
    ) -> list[Action]:
        """An executor has ended; without `executing` nobody knows what it was executing."""
        return self.handle(ExecutorGone(executor, cause, executing))

    def done(self, batch_id: int, executor: str = EXECUTOR, epoch: int = 1) -> list[Action]:
        return self.handle(BatchFinished(executor, epoch, batch_id))
