"""The scheduler's decisions: `handle(event, now) -> [action]`, without sockets, tasks, clocks or logging.

`now` is integer nanoseconds of one monotonic clock and never runs backwards. A core lives for one epoch of ownership;
it begins by adopting what executors hold from owners before it (see `adoption`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from shoal.scheduler import alone, ensemble_turn, instances, intake, models, outcomes
from shoal.scheduler.actions import Action, Fault
from shoal.scheduler.adoption import ADOPTION_NS, UNREPORTED_NS, Adoption, adopt
from shoal.scheduler.awaited import Awaited
from shoal.scheduler.batches import VersionKey
from shoal.scheduler.ensemble_turn import settle
from shoal.scheduler.events import (
    AdoptionBegan,
    AnswersTaken,
    BatchesLost,
    BatchFinished,
    CancelRequested,
    Event,
    ExecutorGone,
    ExecutorReported,
    HoldsAsked,
    HostChanged,
    InstanceDraining,
    InstanceReady,
    LinkChanged,
    ModelConfigured,
    ModelRemoved,
    OutlookChanged,
    OwnershipRenewed,
    ReconcileAsked,
    RepeatAsked,
    RequestsArrived,
    StepsAnswered,
    SubmitterLeft,
    TimerFired,
)
from shoal.scheduler.reconcile import answer
from shoal.scheduler.sending import advance
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.snapshot import CoreSnapshot, take_snapshot
from shoal.scheduler.state import Chore, State


class SchedulerCore:
    """Schedules all models for one epoch. `handle` is the only door of change; call it from one thread."""

    def __init__(self, epoch: int, own: str, counters: Iterator[int]) -> None:
        """`own` is our incarnation, which submits the steps of ensembles; `counters` number them, no two of one
        incarnation alike."""
        self._state = State(epoch, own, counters)
        self._suspicious, self._reserved = self._state.suspicious, self._state.reservations.by_executor
        self._adoption: Adoption | None = Adoption()
        self._handlers: dict[type[Event], Callable[[Any, int], list[Action]]] = {
            RequestsArrived: self._requests_arrived,
            CancelRequested: self._cancel_requested,
            SubmitterLeft: self._submitter_left,
            BatchFinished: self._batch_finished,
            BatchesLost: self._batches_lost,
            LinkChanged: self._link_changed,
            InstanceReady: self._instance_ready,
            InstanceDraining: self._instance_draining,
            ExecutorGone: self._executor_gone,
            OutlookChanged: self._outlook_changed,
            ModelConfigured: self._model_configured,
            ModelRemoved: self._model_removed,
            ReconcileAsked: self._reconcile_asked,
            OwnershipRenewed: self._ownership_renewed,
            AdoptionBegan: self._adoption_began,
            ExecutorReported: self._executor_reported,
            StepsAnswered: self._steps_answered,
            AnswersTaken: self._answers_taken,
            RepeatAsked: self._repeat_asked,
            HoldsAsked: self._holds_asked,
            HostChanged: self._host_changed,
            TimerFired: self._timer_fired,
        }

        self._chores: dict[Chore, Callable[[int], list[Action]]] = {
            "adoption": lambda now: self._finish_adoption(now, is_time_over=True),
            "awaited": lambda now: intake.refuse_unknown(self._state, now),
            "ensembles": lambda now: ensemble_turn.tend(self._state, now),
            "open batches": lambda now: outcomes.ask_after_old(self._state, now),
            "resting": self._go_on_rested,
            "suspects": lambda now: [],  # they are settled after every event
        }

    @property
    def epoch(self) -> int:
        return self._state.epoch

    @property
    def is_adopting(self) -> bool:
        """Whether what executors hold is still being found out; nothing is dispatched meanwhile."""
        return self._adoption is not None

    @property
    def open_count(self) -> int:
        """Requests that wait, batches that execute, and ensemble requests under way."""
        collected = self._adoption.request_count if self._adoption else 0
        state = self._state
        return len(state.queued) + len(state.awaited) + len(state.open) + len(state.ensembles.runs) + collected

    def handle(self, event: Event, now: int) -> list[Action]:
        """What to do about an event, in order. Never raises: an event that cannot be dealt with is a `Fault`, and no
        other one depends on it, the end of the adoption included. What was lost with it is found by asking, as
        everything that is lost."""
        try:
            actions = settle(self._state, self._handlers[type(event)](event, now), now)
            if self._suspicious or self._reserved:
                actions += settle(self._state, self._settle_suspects(now), now)
        except Exception as error:  # ours, and told; without the timer below everything would stand still for it
            actions = [Fault(type(event).__name__, error)]
        timer = self._state.timers.change()
        if timer is not None:
            actions.append(timer)
        return actions

    def snapshot(self, now: int) -> CoreSnapshot:
        """What waits and what runs, for people."""
        return take_snapshot(self._state, self.is_adopting, now)

    def has_older(self, at_ns: int) -> bool:
        """Whether anything is in our hands that came before this time; costs time in proportion to what is there."""
        return self.is_adopting or self._state.has_older(at_ns)

    def _requests_arrived(self, event: RequestsArrived, now: int) -> list[Action]:
        if self._adoption is not None:
            return self._adoption.collect(event.arrivals, now)
        return intake.receive(self._state, [Awaited(arrival, now) for arrival in event.arrivals], now)

    def _cancel_requested(self, event: CancelRequested, now: int) -> list[Action]:
        keys = [(event.submitter, counter) for counter in event.counters]
        actions = intake.cancel(self._state, keys, now)
        if self._adoption is not None:
            actions += self._adoption.cancel(key for key in keys if not self._state.has(key))
        return actions

    def _submitter_left(self, event: SubmitterLeft, now: int) -> list[Action]:
        if self._adoption is not None:
            self._adoption.forget(event.submitter)
        self._state.open.forget_submitter(event.submitter)
        return intake.cancel_all_of(self._state, event.submitter, now)

    def _batch_finished(self, event: BatchFinished, now: int) -> list[Action]:
        closed, served = outcomes.finished(self._state, event)
        actions = self._go_on(served, now)
        return closed + actions if closed else actions

    def _batches_lost(self, event: BatchesLost, now: int) -> list[Action]:
        actions, versions = outcomes.lost(self._state, event, now)
        return actions + self._go_on_all(versions, now)

    def _link_changed(self, event: LinkChanged, now: int) -> list[Action]:
        return outcomes.ask_after_link(self._state, event) + ensemble_turn.doubt(self._state)

    def _instance_ready(self, event: InstanceReady, now: int) -> list[Action]:
        return self._go_on(instances.ready(self._state, event, now), now)

    def _instance_draining(self, event: InstanceDraining, now: int) -> list[Action]:
        return self._go_on(instances.draining(self._state, event, now), now)

    def _executor_gone(self, event: ExecutorGone, now: int) -> list[Action]:
        actions, versions = instances.executor_gone(self._state, event, now)
        actions += self._go_on_all(versions, now)
        # Answers that it has given and that did not come are lost with it.
        actions += ensemble_turn.doubt(self._state)
        if self._adoption is None:
            return actions
        self._adoption.reported(event.executor)
        return actions + self._finish_adoption(now)

    def _outlook_changed(self, event: OutlookChanged, now: int) -> list[Action]:
        return self._go_on(instances.outlook(self._state, event, now), now)

    def _model_configured(self, event: ModelConfigured, now: int) -> list[Action]:
        actions = self._go_on_all(models.configured(self._state, event, now), now)
        return actions + intake.receive(self._state, self._state.awaited.take(event.model), now)

    def _model_removed(self, event: ModelRemoved, now: int) -> list[Action]:
        return self._go_on_all(models.removed(self._state, event), now)

    def _reconcile_asked(self, event: ReconcileAsked, now: int) -> list[Action]:
        if self._adoption is not None:
            self._adoption.ask(event)
            return []
        return answer(self._state, event, now)

    def _ownership_renewed(self, event: OwnershipRenewed, now: int) -> list[Action]:
        self._state.epoch = event.epoch
        # Executors that saw the new epoch first have dropped what we sent under the old one.
        return self._link_changed(LinkChanged(None), now)

    def _adoption_began(self, event: AdoptionBegan, now: int) -> list[Action]:
        if self._adoption is None:
            return []
        self._state.timers.ask("adoption", now + ADOPTION_NS)
        self._adoption.begin(executor for executor, _ in self._state.pool_of)
        return self._finish_adoption(now)

    def _executor_reported(self, event: ExecutorReported, now: int) -> list[Action]:
        actions = adopt(self._state, event, now)
        if self._state.finished.is_dead(event.executor):
            # The news of its end was faster than its report, so that nobody would tell us again.
            gone = ExecutorGone(event.executor, f"executor {event.executor} ended", None)
            return actions + self._executor_gone(gone, now)
        if self._adoption is None:
            return actions + self._go_on_all(list(self._state.served.values()), now)
        self._adoption.reported(event.executor)
        return actions + self._finish_adoption(now)

    def _finish_adoption(self, now: int, is_time_over: bool = False) -> list[Action]:
        """Begin to schedule, when everyone has reported or the time is over."""
        adoption = self._adoption
        if adoption is None or not (is_time_over or adoption.is_complete):
            return []
        self._adoption = None
        self._state.unreported = adoption.unreported
        self._state.unreported_until_ns = now + UNREPORTED_NS
        requests, cancelled, questions = adoption.close()
        actions = intake.receive(self._state, requests, now)
        actions += intake.cancel(self._state, cancelled, now)
        for question in questions:
            actions += answer(self._state, question, now)
        return actions

    def _steps_answered(self, event: StepsAnswered, now: int) -> list[Action]:
        return ensemble_turn.answered(self._state, event, now)

    def _answers_taken(self, event: AnswersTaken, now: int) -> list[Action]:
        return ensemble_turn.answers_taken(self._state, event)

    def _repeat_asked(self, event: RepeatAsked, now: int) -> list[Action]:
        return ensemble_turn.repeat_asked(self._state, event)

    def _holds_asked(self, event: HoldsAsked, now: int) -> list[Action]:
        return ensemble_turn.holds_asked(self._state, event)

    def _host_changed(self, event: HostChanged, now: int) -> list[Action]:
        self._state.hosts.put(event.executor, event.host)
        return []

    def _timer_fired(self, event: TimerFired, now: int) -> list[Action]:
        actions: list[Action] = []
        for target in self._state.timers.due(now):
            try:
                actions += self._look_at(target, now)
            except (
                Exception
            ) as error:  # as in `handle`: the others, whose time has come as well, are not asked for again
                actions.append(Fault(f"timer of {target}", error))
        return actions

    def _look_at(self, target: VersionKey | Chore, now: int) -> list[Action]:
        if isinstance(target, tuple):
            return self._go_on(self._state.served.get(target), now)
        return self._chores[target](now)

    def _go_on_rested(self, now: int) -> list[Action]:
        return self._go_on_all(outcomes.rested(self._state, now), now)

    def _settle_suspects(self, now: int) -> list[Action]:
        actions, versions = alone.settle(self._state, now)
        return actions + self._go_on_all(versions, now)

    def _go_on(self, served: ServedVersion | None, now: int) -> list[Action]:
        return [] if served is None else advance(self._state, served, now)

    def _go_on_all(self, versions: Iterable[ServedVersion], now: int) -> list[Action]:
        return [action for served in list(versions) for action in advance(self._state, served, now)]
