"""What holds whatever fails in whatever order, seen by one submitter and by the executors.

Two models share executors. Executors end (and their agent knows what they were executing, or nobody does), are believed
to have ended and finish all the same, do not get what was sent to them; the scheduler is replaced.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scheduler_stage import MS, S, Stage, arrival, config, dynamic, in_arena, key
from shoal.core.messages import BatchQuery, Closed, ReconcileReply, Resend, RunningBatch
from shoal.core.model_config import ModelConfig
from shoal.scheduler.actions import Action, Dispatch, Refuse, Tell
from shoal.scheduler.batches import BatchRef
from shoal.scheduler.events import (
    AdoptionBegan,
    BatchesLost,
    CancelRequested,
    ExecutorReported,
    InstanceReady,
    ModelConfigured,
    ReconcileAsked,
    RequestsArrived,
)

#: Slots of each executor by model.
SLOTS = {"m": (0, 1), "n": (2,)}
MODELS: dict[str, dict[str, ModelConfig]] = {
    "plain": {"m": config(), "n": config(name="n")},
    "dynamic": {"m": dynamic(max_batch_size=4), "n": config(name="n")},
    "ordered": {"m": dynamic(max_batch_size=2, preserve_ordering=True), "n": config(name="n")},
}


class Sent(NamedTuple):
    """A batch as its executor has it."""

    executor: str
    slot: int
    counters: tuple[int, ...]
    deaths: tuple[int, ...]
    is_suspect: bool


class Faults(RuleBasedStateMachine):
    """`_held`: the requests whose inputs the scheduler may have somebody read, as the submitter sees it. `_ghosts`: the
    batches of executors that are believed to have ended."""

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 1
        self._models: dict[str, ModelConfig] | None = None
        self._executors: list[str] = []
        self._last_executor = 0
        self._lost_from_sight: list[str] = []
        self._last_counter = 0
        self._model_of: dict[int, str] = {}
        self._in_arena: set[int] = set()
        self._open: dict[BatchRef, Sent] = {}
        self._started: set[BatchRef] = set()
        self._ghosts: dict[BatchRef, Sent] = {}
        self._kept: dict[str, set[int]] = {}
        self._answers: Counter[int] = Counter()
        self._executions: Counter[int] = Counter()
        self._haunted: set[int] = set()
        self._deaths: dict[int, tuple[str, ...]] = {}
        self._held: set[int] = set()
        self._adopted: set[int] = set()

    @precondition(lambda self: self._models is None)
    @rule(name=st.sampled_from(sorted(MODELS)), executors=st.integers(1, 3))
    def begin(self, name: str, executors: int) -> None:
        self._models = MODELS[name]
        self._stage = Stage(epoch=1)
        self._stage.handle(AdoptionBegan())
        self._configure()
        for _ in range(executors):
            self._add_executor()

    @precondition(lambda self: self._models is not None)
    @rule(
        count=st.integers(1, 5),
        model=st.sampled_from("mn"),
        has_memory=st.sampled_from([True, True, False]),
        deadline_us=st.sampled_from([None, None, None, 3000]),
    )
    def arrive(self, count: int, model: str, has_memory: bool, deadline_us: int | None) -> None:
        counters = range(self._last_counter + 1, self._last_counter + 1 + count)
        self._last_counter += count
        for counter in counters:
            self._model_of[counter] = model
            self._held.add(counter)
        self._in_arena.update(counters if has_memory else ())
        self._send(counters, deadline_us)

    @precondition(lambda self: self._open)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        self._start(data.draw(st.sampled_from(sorted(self._open))))

    @precondition(lambda self: self._open)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self._finish(data.draw(st.sampled_from(sorted(self._open))))

    @precondition(lambda self: self._ghosts)
    @rule(data=st.data())
    def finish_after_all(self, data: st.DataObject) -> None:
        self._finish_ghost(data.draw(st.sampled_from(sorted(self._ghosts))))

    @precondition(lambda self: self._open.keys() - self._started)
    @rule(data=st.data(), is_noticed_late=st.booleans())
    def lose(self, data: st.DataObject, is_noticed_late: bool) -> None:
        ref = data.draw(st.sampled_from(sorted(self._open.keys() - self._started)))
        if is_noticed_late:
            self._wait(5 * S)
        sent = self._open.pop(ref)
        self._perform(self._stage.handle(BatchesLost(sent.executor, ref[0], (ref[1],))))

    @precondition(lambda self: self._executors)
    @rule(data=st.data(), is_seen=st.booleans(), is_executing=st.booleans(), is_restarted=st.booleans())
    def die(self, data: st.DataObject, is_seen: bool, is_executing: bool, is_restarted: bool) -> None:
        busy = sorted({sent.executor for sent in self._open.values()})
        executor = data.draw(st.sampled_from(busy or self._executors))
        held = [ref for ref, sent in self._open.items() if sent.executor == executor]
        for ref in held if is_executing else ():
            self._start(ref)
        self._executors.remove(executor)
        del self._kept[executor]
        executing = tuple(ref for ref in held if ref in self._started) if is_seen else None
        for ref in held:
            del self._open[ref]
        self._perform(self._stage.gone(executor, executing=executing))
        if is_restarted or not self._executors:
            self._add_executor()

    @precondition(lambda self: self._executors)
    @rule(data=st.data())
    def be_believed_dead(self, data: st.DataObject) -> None:
        executor = data.draw(st.sampled_from(self._executors))
        self._executors.remove(executor)
        self._lost_from_sight.append(executor)
        for ref, sent in list(self._open.items()):
            if sent.executor == executor:
                self._start(ref)
                self._ghosts[ref] = self._open.pop(ref)
                self._haunted.update(sent.counters)
        self._perform(self._stage.gone(executor))

    @precondition(lambda self: self._last_counter)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        counter = data.draw(st.integers(1, self._last_counter))
        self._perform(self._stage.handle(CancelRequested("s", (counter,))))

    @precondition(lambda self: self._models is not None)
    @rule(duration_us=st.integers(1, 5000))
    def wait(self, duration_us: int) -> None:
        self._wait(duration_us * 1000)

    @precondition(lambda self: self._models is not None)
    @rule()
    def reconcile(self) -> None:
        self._reconcile()

    @precondition(lambda self: self._models is not None)
    @rule(are_ghosts_late=st.booleans())
    def take_over(self, are_ghosts_late: bool) -> None:
        """Another scheduler owns the models: executors report, those that were believed to have ended among them, and
        the submitter asks, who knows of the requests that wait for their second try."""
        # What was only lost before is nothing that executors could tell of.
        for batches in (self._open, self._ghosts):
            batches.update({ref: sent._replace(is_suspect=any(sent.deaths)) for ref, sent in batches.items()})
        self._epoch += 1
        before, self._stage = self._stage, Stage(epoch=self._epoch)
        self._stage.now_ns = before.now_ns
        self._configure()
        for executor in self._executors:
            self._announce(executor)
        self._perform(self._stage.handle(AdoptionBegan()))
        if not are_ghosts_late:
            self._see_again()
        self._reconcile()
        for executor in self._executors:
            self._report(executor)
        self._see_again()
        self._reconcile()

    @invariant()
    def a_request_is_answered_once(self) -> None:
        for counter, answers in self._answers.items():
            assert answers <= 1 or counter in self._haunted

    @invariant()
    def a_request_is_executed_twice_at_most(self) -> None:
        for counter, executions in self._executions.items():
            assert executions <= 2 or counter in self._haunted

    def teardown(self) -> None:
        """Whatever happened, every request is answered in the end, and no memory is kept."""
        if self._models is None:
            return
        for ref in sorted(self._ghosts):
            self._finish_ghost(ref)
        for _ in range(10 * self._last_counter + 20):
            if not self._executors:
                self._add_executor()
            if not self._open:
                self._wait(100 * MS)
                self._reconcile()
            while self._open:
                self._finish(min(self._open))
        assert all(self._answers[counter] for counter in self._model_of)
        assert self._stage.core.open_count == 0
        assert not self._held & self._in_arena

    def _configure(self) -> None:
        for name, model in (self._models or {}).items():
            self._perform(self._stage.handle(ModelConfigured(name, "g", {1: model})))

    def _add_executor(self) -> None:
        self._last_executor += 1
        executor = f"e{self._last_executor}"
        self._executors.append(executor)
        self._kept[executor] = set()
        self._announce(executor)

    def _announce(self, executor: str) -> None:
        for name, slots in SLOTS.items():
            for slot in slots:
                self._perform(self._stage.handle(InstanceReady(name, 1, "g", executor, slot, f"{name}_0_{slot}")))

    def _see_again(self) -> None:
        """Executors that were believed to have ended are heard of again."""
        self._open.update(self._ghosts)
        self._ghosts.clear()
        seen, self._lost_from_sight = self._lost_from_sight, []
        self._executors += seen
        for executor in seen:
            self._report(executor)
        for executor in seen:
            self._announce(executor)

    def _report(self, executor: str) -> None:
        running = tuple(
            RunningBatch(*ref, sent.slot, tuple(map(key, sent.counters)), sent.deaths)
            for ref, sent in self._open.items()
            if sent.executor == executor
        )
        self._adopted.update(counter for batch in running for _, counter in batch.keys)
        kept = tuple(map(key, sorted(self._kept[executor])))
        self._perform(self._stage.handle(ExecutorReported(executor, running, kept)))

    def _send(self, counters: range | tuple[int, ...], deadline_us: int | None = None) -> None:
        arrivals = [
            arrival(
                counter,
                model=self._model_of[counter],
                inputs=(in_arena(),) if counter in self._in_arena else (),
                deadline_us=deadline_us,
                deaths=self._deaths.get(counter, ()),
            )
            for counter in counters
        ]
        self._perform(self._stage.handle(RequestsArrived(tuple(arrivals))))

    def _reconcile(self) -> None:
        unanswered = tuple(counter for counter in self._model_of if not self._answers[counter])
        closing = tuple(counter for counter in sorted(self._held & self._in_arena) if self._answers[counter])
        self._perform(self._stage.handle(ReconcileAsked("s", unanswered, closing)))

    def _wait(self, duration_ns: int) -> None:
        self._perform(self._stage.wait(duration_ns))

    def _start(self, ref: BatchRef) -> None:
        if ref not in self._started:
            self._started.add(ref)
            self._executions.update(self._open[ref].counters)

    def _finish(self, ref: BatchRef) -> None:
        self._start(ref)
        sent = self._open.pop(ref)
        self._answer(sent)
        self._perform(self._stage.done(ref[1], sent.executor, ref[0]))

    def _finish_ghost(self, ref: BatchRef) -> None:
        sent = self._ghosts.pop(ref)
        self._answer(sent)
        self._perform(self._stage.done(ref[1], sent.executor, ref[0]))

    def _answer(self, sent: Sent) -> None:
        self._answers.update(sent.counters)
        self._kept[sent.executor].update(sent.counters)

    def _perform(self, actions: list[Action]) -> None:
        self._deaths.update(self._stage.deaths)
        for action in actions:
            match action:
                case Dispatch():
                    self._take(action)
                case Refuse((_, counter)):
                    self._answers[counter] += 1
                    self._held.discard(counter)
                case Tell(_, message):
                    self._hear(message)

    def _hear(self, message: object) -> None:
        match message:
            case Closed(_, counters):
                for counter in counters:
                    self._close(counter)
            case ReconcileReply(_, _, unknown, lost):
                open_unknown = tuple(counter for counter in unknown if not self._answers[counter])
                self._held -= set(unknown)
                self._held |= set(open_unknown)
                self._answers.update(counter for counter in lost if not self._answers[counter])
                self._send(open_unknown)
            case Resend(_, _, counter):
                self._answers[counter] = max(1, self._answers[counter])
            case _:
                assert type(message).__name__ in (BatchQuery.__name__, "Cancel")

    def _close(self, counter: int) -> None:
        assert counter in self._in_arena | self._adopted, "nobody has to be told of what is inline"
        assert counter in self._held or counter in self._adopted, "told twice"
        assert not any(counter in sent.counters for sent in self._open.values()), "closed while a batch of it is open"
        self._held.discard(counter)

    def _take(self, dispatch: Dispatch) -> None:
        sent = Sent(
            dispatch.executor,
            dispatch.slot,
            tuple(item.key[1] for item in dispatch.items),
            tuple(item.deaths for item in dispatch.items),
            dispatch.reason == "retry alone",
        )
        beside = [found for found in self._open.values() if found.executor == sent.executor]
        assert sent.executor in self._executors
        assert sent.slot in SLOTS[self._model_of[sent.counters[0]]]
        assert all(found.slot != sent.slot for found in beside), "an instance got a second batch"
        assert not any(found.is_suspect for found in beside), "a suspect is not alone"
        if any(sent.deaths):
            assert sent.is_suspect
        if sent.is_suspect:
            assert len(sent.counters) == 1 and not beside
        assert not any(set(sent.counters) & set(found.counters) for found in self._open.values())
        self._open[self._epoch, dispatch.batch_id] = sent


TestFaults = Faults.TestCase
TestFaults.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
