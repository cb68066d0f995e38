"""The scheduler's decisions: `handle(event, now) -> [action]`, without sockets, tasks, clocks or logging.

`now` is integer nanoseconds of one monotonic clock and never runs backwards. A core lives for one epoch of ownership;
it begins by adopting what executors hold from owners before it (see `adoption`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from shoal.scheduler import instances, intake, models, outcomes
from shoal.scheduler.actions import Action
from shoal.scheduler.adoption import ADOPTION_NS, Adoption, adopt
from shoal.scheduler.awaited import Awaited
from shoal.scheduler.events import (
    AdoptionBegan,
    BatchesLost,
    BatchFinished,
    CancelRequested,
    Event,
    ExecutorGone,
    ExecutorReported,
    InstanceDraining,
    InstanceGone,
    InstanceReady,
    LinkChanged,
    ModelConfigured,
    ModelRemoved,
    OutlookChanged,
    OwnershipRenewed,
    ReconcileAsked,
    RequestsArrived,
    SubmitterLeft,
    TimerFired,
)
from shoal.scheduler.reconcile import answer
from shoal.scheduler.sending import advance
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.snapshot import CoreSnapshot, take_snapshot
from shoal.scheduler.state import State


class SchedulerCore:
    """Schedules all models for one epoch. `handle` is the only door of change; call it from one thread."""

    def __init__(self, epoch: int) -> None:
        self._state = State(epoch)
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
            InstanceGone: self._instance_gone,
            ExecutorGone: self._executor_gone,
            OutlookChanged: self._outlook_changed,
            ModelConfigured: self._model_configured,
            ModelRemoved: self._model_removed,
            ReconcileAsked: self._reconcile_asked,
            OwnershipRenewed: self._ownership_renewed,
            AdoptionBegan: self._adoption_began,
            ExecutorReported: self._executor_reported,
            TimerFired: self._timer_fired,
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
        """Requests that wait, and batches that execute."""
        collected = self._adoption.request_count if self._adoption else 0
        return len(self._state.queued) + len(self._state.awaited) + len(self._state.open) + collected

    def handle(self, event: Event, now: int) -> list[Action]:
        """What to do about an event, in order."""
        actions = self._handlers[type(event)](event, now)
        timer = self._state.timers.change()
        if timer is not None:
            actions.append(timer)
        return actions

    def snapshot(self, now: int) -> CoreSnapshot:
        """What waits and what runs, for people."""
        return take_snapshot(self._state, self.is_adopting, now)

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
        return intake.cancel_all_of(self._state, event.submitter, now)

    def _batch_finished(self, event: BatchFinished, now: int) -> list[Action]:
        return self._go_on(outcomes.finished(self._state, event), now)

    def _batches_lost(self, event: BatchesLost, now: int) -> list[Action]:
        actions, versions = outcomes.lost(self._state, event, now)
        return actions + self._go_on_all(versions, now)

    def _link_changed(self, event: LinkChanged, now: int) -> list[Action]:
        return outcomes.ask_after_link(self._state, event)

    def _instance_ready(self, event: InstanceReady, now: int) -> list[Action]:
        return self._go_on(instances.ready(self._state, event, now), now)

    def _instance_draining(self, event: InstanceDraining, now: int) -> list[Action]:
        return self._go_on(instances.draining(self._state, event, now), now)

    def _instance_gone(self, event: InstanceGone, now: int) -> list[Action]:
        actions, versions = instances.gone(self._state, event, now)
        return actions + self._go_on_without(event.executor, versions, now)

    def _executor_gone(self, event: ExecutorGone, now: int) -> list[Action]:
        actions, versions = instances.executor_gone(self._state, event, now)
        return actions + self._go_on_without(event.executor, versions, now)

    def _go_on_without(self, executor: str, versions: Iterable[ServedVersion], now: int) -> list[Action]:
        actions = self._go_on_all(versions, now)
        if self._adoption is not None and self._state.finished.is_dead(executor):
            self._adoption.reported(executor)
            actions += self._finish_adoption(now)
        return actions

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
        return answer(self._state, event)

    def _ownership_renewed(self, event: OwnershipRenewed, now: int) -> list[Action]:
        self._state.epoch = event.epoch
        # Executors that saw the new epoch first have dropped what we sent under the old one.
        return outcomes.ask_after_link(self._state, LinkChanged(None))

    def _adoption_began(self, event: AdoptionBegan, now: int) -> list[Action]:
        if self._adoption is None:
            return []
        self._adoption.begin(executor for executor, _ in self._state.pool_of)
        self._state.timers.ask("adoption", now + ADOPTION_NS)
        return self._finish_adoption(now)

    def _executor_reported(self, event: ExecutorReported, now: int) -> list[Action]:
        actions = adopt(self._state, event, now)
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
        requests, cancelled, questions = adoption.close()
        actions = intake.receive(self._state, requests, now)
        actions += intake.cancel(self._state, cancelled, now)
        for question in questions:
            actions += answer(self._state, question)
        return actions

    def _timer_fired(self, event: TimerFired, now: int) -> list[Action]:
        actions: list[Action] = []
        for target in self._state.timers.due(now):
            if target == "adoption":
                actions += self._finish_adoption(now, is_time_over=True)
            elif target == "awaited":
                actions += intake.refuse_unknown(self._state, now)
            elif target == "open batches":
                actions += outcomes.ask_after_old(self._state, now)
            elif target == "resting":
                actions += self._go_on_all(outcomes.rested(self._state, now), now)
            else:
                actions += self._go_on(self._state.served.get(target), now)
        return actions

    def _go_on(self, served: ServedVersion | None, now: int) -> list[Action]:
        return [] if served is None else advance(self._state, served, now)

    def _go_on_all(self, versions: Iterable[ServedVersion], now: int) -> list[Action]:
        return [action for served in list(versions) for action in advance(self._state, served, now)]
