"""Suspects run alone: what was executing when its executor ended is tried again one at a time.

A suspect is a batch of its own, and its executor executes nothing else meanwhile: if that ends again, everybody knows
who it was, and nobody else is harmed. Executors of several instances are *reserved* for that: they are sent nothing
more, drain, run the suspects that wait for them one after another, and serve everybody again.

Who waits how long:

* Suspects go before everything else of their model. One that finds an executor empty is sent at once; so nobody waits
  for one that drains while another one is free.
* Others go on meanwhile on the executors that are not reserved. Of several executors of a version one is always left to
  them; so its suspects are spread over the others, and a version with one executor, or with preserve_ordering, runs
  them in a row.
* The other models of a reserved executor wait for one drain and for one execution per suspect. A drain ends when the
  batches end that were executing when it began; nothing bounds those where a model has no execution_timeout. So it is
  given up after 10 s: the next executor is tried, and this one not again before those batches have ended. When that
  leaves none, the suspects are refused. An executor with one instance is never given up: draining it costs nobody
  anything, and a suspect waits there as every request of its model does.
* Versions take turns, so that one whose executors keep ending does not hold up the suspects of another one.
"""

from __future__ import annotations

from shoal.core.errors import Unavailable
from shoal.scheduler.actions import Action, refuse_queued
from shoal.scheduler.batches import BatchRef, InstanceKey
from shoal.scheduler.dispatching import dispatch
from shoal.scheduler.reservations import DRAIN_LIMIT_NS
from shoal.scheduler.retry import named
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State
from shoal.scheduler.waiting import refuse_late, withdraw


def place(state: State, now: int) -> list[Action]:
    """Send suspects to executors that execute nothing. To be called before others of their model are sent."""
    actions = _refuse_late(state, now)
    versions = list(state.suspicious)
    while versions:
        placed = []
        for served in versions:
            instance = _free_instance(state, served)
            if instance is None:
                continue
            actions.append(_send(state, served, instance, now))
            placed.append(served)
        versions = placed
    return actions


def settle(state: State, now: int) -> tuple[list[Action], list[ServedVersion]]:
    """Reserve the executors that suspects need, and no others. To be called after every event, as long as suspects wait
    or reservations are held. With it the versions that may go on: executors are free for everybody again, or their
    suspects have left."""
    suspicious = list(state.suspicious)
    actions = place(state, now)
    released = _give_up_stuck(state, now)
    needed, refused = _plan(state, now)
    released += _reserve(state, needed, now)
    unsuspected = [served for served in suspicious if not served.scheduler.suspects]
    return actions + refused, list(dict.fromkeys([*_readmit(state, released), *unsuspected]))


def reserve_for_running(state: State, executor: str, ref: BatchRef, now: int) -> None:
    """An executor turned out to execute a suspect that an owner before us has sent."""
    state.reservations.run(executor, ref, now)
    _withhold(state, executor)


def _send(state: State, served: ServedVersion, instance: InstanceKey, now: int) -> Action:
    executor, _ = instance
    suspect = served.scheduler.suspects.take()
    served.pool.occupy(instance)
    sent = dispatch(state, served, instance, "retry alone", (suspect,), now=now)
    state.reservations.run(executor, (state.epoch, sent.batch_id), now)
    _withhold(state, executor)
    # The last in turn from now on.
    del state.suspicious[served]
    if served.scheduler.suspects:
        state.suspicious[served] = None
    return sent


def _free_instance(state: State, served: ServedVersion) -> InstanceKey | None:
    """An instance for the next suspect whose executor executes nothing; the reserved executors first."""
    if not served.scheduler.suspects or _must_wait(served):
        return None
    executors = served.pool.executors()
    if _running(state, executors) >= _limit(served, executors):
        return None
    occupied = state.open.executors()
    free = {who: instance for who, instance in executors.items() if instance is not None and who not in occupied}
    reserved = (instance for who, instance in free.items() if who in state.reservations.by_executor)
    return next(reserved, next(iter(free.values()), None))


def _plan(state: State, now: int) -> tuple[dict[str, None], list[Action]]:
    """The executors that have to drain, and the refusals of suspects for which there is none."""
    needed: dict[str, None] = {}
    actions: list[Action] = []
    for served in list(state.suspicious):
        if not served.scheduler.suspects:
            del state.suspicious[served]
            continue
        executors = served.pool.executors()
        running = _running(state, executors)
        usable = [who for who in executors if not _is_unusable(state, who)]
        if executors and not usable and not running:
            actions += _refuse_stuck(state, served, now)
            continue
        if not _must_wait(served):
            usable.sort(key=lambda who: (who not in state.reservations.by_executor, len(state.open.on_executor(who))))
            wanted = min(len(served.scheduler.suspects), _limit(served, executors) - running)
            needed.update(dict.fromkeys(usable[: max(0, wanted)]))
    return needed, actions


def _reserve(state: State, needed: dict[str, None], now: int) -> list[str]:
    """Have these executors drain; the executors that are not reserved any more."""
    reservations = state.reservations
    released: list[str] = []
    for executor, (_, batch) in list(reservations.by_executor.items()):
        is_over = executor not in needed if batch is None else batch not in state.open
        if is_over:
            reservations.remove(executor)
            released.append(executor)
    for executor in needed:
        if executor not in reservations.by_executor:
            reservations.add(executor, now)
            state.timers.ask("suspects", now + DRAIN_LIMIT_NS)
            _withhold(state, executor)
    return [executor for executor in released if executor not in reservations.by_executor]


def _must_wait(served: ServedVersion) -> bool:
    """Whether answers could overtake each other if a suspect was sent now."""
    return served.scheduler.preserves_order and bool(served.pool.busy)


def _limit(served: ServedVersion, executors: dict[str, InstanceKey | None]) -> int:
    """How many executors may be had from the others of this version."""
    return 1 if served.scheduler.preserves_order else max(1, len(executors) - 1)


def _running(state: State, executors: dict[str, InstanceKey | None]) -> int:
    return sum(state.reservations.runs_suspect(executor, state.open) for executor in executors)


def _is_unusable(state: State, executor: str) -> bool:
    """Whether it makes no sense to drain this executor: a suspect runs there, or it was waited for in vain."""
    reservations = state.reservations
    return reservations.runs_suspect(executor, state.open) or reservations.is_stuck(executor, state.open)


def _refuse_late(state: State, now: int) -> list[Action]:
    actions: list[Action] = []
    for served in state.suspicious:
        deadline_ns = served.scheduler.suspects.next_deadline_ns
        if deadline_ns is None:
            continue
        if deadline_ns <= now:
            actions += refuse_late(state, served, now)
        else:
            state.timers.ask("suspects", deadline_ns)
    return actions


def _give_up_stuck(state: State, now: int) -> list[str]:
    """The executors of several instances that were waited for in vain."""
    given_up: list[str] = []
    for executor in state.reservations.overdue(now):
        if state.open.on_executor(executor) and sum(instance[0] == executor for instance in state.pool_of) > 1:
            state.reservations.give_up(executor, state.open)
            given_up.append(executor)
    return given_up


def _refuse_stuck(state: State, served: ServedVersion, now: int) -> list[Action]:
    actions: list[Action] = []
    for entry in withdraw(state, served, list(served.scheduler.suspects)):
        why = entry.deaths[-1] if entry.deaths else f"it was lost {entry.losses} times"
        text = (
            f"{named(*served.key[:2])}: this request could not be tried again alone ({why}), since other executions "
            f"did not end within {DRAIN_LIMIT_NS // 10**9} s; give models an execution_timeout"
        )
        actions.append(refuse_queued(entry, Unavailable(text), now))
    return actions


def _withhold(state: State, executor: str) -> None:
    for instance, pool in state.pool_of.items():
        if instance[0] == executor:
            pool.withhold(executor)


def _readmit(state: State, executors: list[str]) -> list[ServedVersion]:
    pools = {pool.key: pool for instance, pool in state.pool_of.items() if instance[0] in executors}
    for pool in pools.values():
        for executor in executors:
            pool.readmit(executor)
    return [state.served[key] for key in pools if key in state.served]
