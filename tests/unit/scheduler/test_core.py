"""The core as a whole: exact actions including timers, and what holds whatever happens in whatever order."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scheduler_stage import MS, S, Stage, arrival, batch, config, dynamic
from shoal.core.errors import Code
from shoal.core.messages import ReconcileReply, Stale
from shoal.core.model_config import ModelConfig
from shoal.scheduler.actions import Action, Dispatch, Refuse, SetTimer, Tell
from shoal.scheduler.core import SchedulerCore
from shoal.scheduler.events import (
    AdoptionBegan,
    BatchesLost,
    BatchFinished,
    CancelRequested,
    InstanceReady,
    ModelConfigured,
    ReconcileAsked,
    RequestsArrived,
    TimerFired,
)


def test_the_timer_is_set_with_the_action_that_needs_it() -> None:
    core = SchedulerCore(1, "own", count(1))
    assert core.handle(AdoptionBegan(), 0) == [SetTimer(1 * S)]
    core.handle(ModelConfigured("m", "g", {1: dynamic(max_queue_delay_microseconds=100)}), 0)
    core.handle(InstanceReady("m", 1, "g", "e", 0, "m_0_0"), 0)
    assert core.handle(RequestsArrived((arrival(1),)), 5) == [SetTimer(100_005)]
    assert core.handle(TimerFired(), 100_000) == [SetTimer(100_005)]
    assert core.handle(TimerFired(), 100_005) == [batch(1, "delay expired", [1], queue_us=100), SetTimer(1 * S)]


def test_open_work_is_counted_until_it_is_done() -> None:
    stage = Stage(config())
    stage.arrive(1, 2)
    stage.arrive(3, model="nobody")
    assert stage.core.open_count == 3
    stage.done(1)
    stage.done(2)
    stage.wait(1 * S)
    assert stage.core.open_count == 0


def test_whether_anything_is_left_of_what_came_before_a_time() -> None:
    stage = Stage(config())
    stage.arrive(1, 2)
    stage.arrive(3, model="nobody")
    stage.pass_ns(1 * MS)
    stage.arrive(4)
    assert (stage.core.has_older(0), stage.core.has_older(1)) == (False, True)
    stage.wait(1 * S)
    stage.done(1)
    assert stage.core.has_older(1)
    stage.done(2)
    assert (stage.core.has_older(1 * MS), stage.core.has_older(1 * MS + 1)) == (False, True)
    assert Stage().core.has_older(0), "while adopting nobody knows"


MODELS: dict[str, ModelConfig] = {
    "default": config(),
    "dynamic": dynamic(max_batch_size=4),
    "delayed": dynamic(max_batch_size=4, preferred_batch_size=[2, 3], max_queue_delay_microseconds=2000),
    "ordered": dynamic(max_batch_size=2, preserve_ordering=True),
    "levels": dynamic(
        max_batch_size=4,
        priority_levels=2,
        default_priority_level=2,
        max_queue_delay_microseconds=1000,
        default_queue_policy={"max_queue_size": 5},
        priority_queue_policy={"1": {"default_timeout_microseconds": 3000, "allow_timeout_override": True}},
    ),
    "put back": dynamic(
        max_batch_size=3, default_queue_policy={"default_timeout_microseconds": 1500, "timeout_action": "DELAY"}
    ),
}


class Interleavings(RuleBasedStateMachine):
    """Arrivals, cancels, finished, lost and dying batches, deadlines and reconciling submitters in any order.

    `_answers` counts for each request how often it was answered, by its executor or by a refusal.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stage: Stage | None = None
        self._answers: Counter[int] = Counter()
        self._levels: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._open: dict[int, Dispatch] = {}
        self._last_counter = 0
        self._last_instance = 0
        self._sent_once: set[int] = set()
        self._last_first_try: dict[int, int] = {}

    @property
    def stage(self) -> Stage:
        assert self._stage is not None
        return self._stage

    @precondition(lambda self: self._stage is None)
    @rule(name=st.sampled_from(sorted(MODELS)), instances=st.integers(1, 3))
    def begin(self, name: str, instances: int) -> None:
        self._model = MODELS[name]
        self._is_strict = name != "put back"
        self._stage = Stage(self._model, instances=0)
        for _ in range(instances):
            self._add_instance()

    @precondition(lambda self: self._stage is not None)
    @rule(
        count=st.integers(1, 6),
        size=st.integers(1, 3),
        priority=st.integers(0, 3),
        timeout_us=st.sampled_from([0, 500]),
        deadline_us=st.sampled_from([None, None, 1500, 20_000]),
    )
    def arrive(self, count: int, **fields: Any) -> None:
        size = min(fields.pop("size"), self._model.max_batch_size)
        counters = range(self._last_counter + 1, self._last_counter + 1 + count)
        self._last_counter += count
        for counter in counters:
            self._answers[counter] = 0
            self._levels[counter] = self._level(fields["priority"])
            self._sizes[counter] = size
        self._perform(self.stage.arrive(*counters, batch_size=size, **fields))

    @precondition(lambda self: self._open)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self._finish(data.draw(st.sampled_from(sorted(self._open))))

    @precondition(lambda self: self._open)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        sent = self._open.pop(data.draw(st.sampled_from(sorted(self._open))))
        self._perform(self.stage.handle(BatchesLost(sent.executor, 1, (sent.batch_id,))))

    @precondition(lambda self: self._open)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        sent = self._open.pop(data.draw(st.sampled_from(sorted(self._open))))
        self._perform(self.stage.gone(sent.executor))
        self._add_instance()

    @precondition(lambda self: self._last_counter)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        counter = data.draw(st.integers(1, self._last_counter))
        self._perform(self.stage.handle(CancelRequested("s", (counter,))))

    @precondition(lambda self: self._stage is not None)
    @rule(duration_us=st.integers(1, 5000))
    def wait(self, duration_us: int) -> None:
        self._perform(self.stage.wait(duration_us * 1000))

    @precondition(lambda self: self._last_counter)
    @rule()
    def reconcile(self) -> None:
        unanswered = tuple(counter for counter, answers in self._answers.items() if not answers)
        (reply,) = self.stage.handle(ReconcileAsked("s", unanswered))
        assert isinstance(reply, Tell)
        assert reply.message == ReconcileReply(1, 1, (), ())

    @invariant()
    def no_request_is_answered_twice(self) -> None:
        assert all(answers <= 1 for answers in self._answers.values())

    def teardown(self) -> None:
        """Whatever happened, every request is answered exactly once in the end."""
        if self._stage is None:
            return
        for _ in range(10 * self._last_counter + 10):
            if not self._open:
                self._perform(self.stage.wait(100 * MS))
            while self._open:
                self._finish(min(self._open))
        assert all(answers == 1 for answers in self._answers.values())
        assert self.stage.core.open_count == 0

    def _finish(self, batch_id: int) -> None:
        sent = self._open.pop(batch_id)
        for item in sent.items:
            self._answers[item.key[1]] += 1
        self._perform(self.stage.handle(BatchFinished(sent.executor, 1, sent.batch_id)))

    def _add_instance(self) -> None:
        self._last_instance += 1
        self._perform(self.stage.ready(0, executor=f"e{self._last_instance}"))

    def _level(self, priority: int) -> int:
        batching = self._model.dynamic_batching
        if batching is None or not batching.priority_levels:
            return 0
        return priority if 0 < priority <= batching.priority_levels else batching.default_priority_level

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Dispatch():
                    self._check_batch(action)
                    self._open[action.batch_id] = action
                case Refuse((_, counter), (code, _)):
                    assert code in (Code.UNAVAILABLE, Code.CANCELLED)
                    self._answers[counter] += 1
                case Tell(_, message):
                    assert not isinstance(message, Stale)

    def _check_batch(self, sent: Dispatch) -> None:
        same_instance = [found for found in self._open.values() if found[:2] == sent[:2]]
        assert not same_instance, "an instance got a second batch"
        batching = self._model.dynamic_batching
        if batching is not None and batching.preserve_ordering:
            assert not self._open, "a batch could overtake another"
        if batching is None:
            assert len(sent.items) == 1
        counters = [item.key[1] for item in sent.items]
        assert sum(self._sizes[counter] for counter in counters) <= self._model.max_batch_size
        if self._is_strict:
            self._check_order(counters)

    def _check_order(self, counters: list[int]) -> None:
        """First tries of a level leave in order of arrival; levels inside a batch do not alternate."""
        first_tries = [counter for counter in counters if counter not in self._sent_once]
        for counter in first_tries:
            level = self._levels[counter]
            assert counter > self._last_first_try.get(level, 0)
            self._last_first_try[level] = counter
        assert [self._levels[counter] for counter in counters] == sorted(self._levels[counter] for counter in counters)
        self._sent_once.update(counters)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
