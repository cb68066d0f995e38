"""The steps of ensembles from when they are made until they are over: queued like any request, unless their ensemble
bounds how many of them are in flight (`max_inflight_requests`)."""

from __future__ import annotations

from shoal.core.errors import Unavailable
from shoal.scheduler.actions import Fault
from shoal.scheduler.awaited import Awaited
from shoal.scheduler.claims import Claim, Credit
from shoal.scheduler.ensemble_flow import ReadyStep
from shoal.scheduler.ensemble_requests import make_request, resolve
from shoal.scheduler.ensembles import EnsembleRun, StepLimit, StepRun
from shoal.scheduler.events import Arrival
from shoal.scheduler.outcomes import ASK_AGE_NS
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State

#: A step that waits for others of its kind goes ahead all the same after this long, as in Triton.
INFLIGHT_WAIT_NS = 300_000_000_000
#: A step that did not arrive this often does not get lost by accident.
LOSS_LIMIT = 9


def make(state: State, run: EnsembleRun, ready: ReadyStep, now: int) -> tuple[StepRun, Arrival]:
    """A step with its request, neither of them known to anybody. Raises what `make_request` does."""
    step = StepRun(next(state.ensembles.counters), run, ready, run.pinned[ready.number], now)
    return step, make_request(state, step, now)


def begin(state: State, step: StepRun, arrival: Arrival, now: int) -> None:
    """A step is in flight: queued, or waiting for others of its kind."""
    ensembles = state.ensembles
    ensembles.steps[step.counter] = step
    step.run.steps[step.counter] = step
    state.timers.ask("ensembles", now + ASK_AGE_NS)
    limit = _limit(state, step)
    if limit is None:
        ensembles.arrivals.append(Awaited(arrival, now))
        return
    if limit.in_flight < _max_inflight(step):
        limit.in_flight += 1
        ensembles.arrivals.append(Awaited(arrival, now))
        return
    step.is_waiting = True
    limit.waiting.append(step)
    deadline_ns = step.run.entry.deadline_ns
    if deadline_ns is not None:
        state.timers.ask("ensembles", deadline_ns)


def end(state: State, step: StepRun, now: int) -> StepRun | None:
    """A step is over. Returns another one that takes its place among those in flight, to be sent by `send`."""
    ensembles = state.ensembles
    del ensembles.steps[step.counter]
    del step.run.steps[step.counter]
    ensembles.claims.drop(step.claims)
    step.claims = []
    limit = _limit(state, step)
    if limit is None:
        return None
    if step.is_waiting:
        limit.waiting.remove(step)
        return None
    limit.in_flight -= 1
    return _next_waiting(state, step, limit)


def let_go(state: State, step: StepRun) -> None:
    """Nobody reads the inputs of a step any more, though it may go on giving responses made of them."""
    done: list[Claim] = [claim for claim in step.claims if not isinstance(claim.thing, Credit)]
    step.claims = step.credits
    state.ensembles.claims.drop(done)


def send(state: State, step: StepRun, now: int) -> None:
    """Queue a step, for the first time after it waited or once more. Raises NotFound or InvalidArgument when the
    version that would serve it now does not fit."""
    served = step.served
    if served.retired is not None and not served.can_serve:
        # The generation that the ensemble's request began with is gone: better the one that took its place than none.
        repin(state, step)
    state.ensembles.arrivals.append(Awaited(make_request(state, step, now), now))


def repin(state: State, step: StepRun) -> None:
    """Have a step run on the version that is served now. Raises NotFound."""
    wanted = step.run.plan.steps[step.ready.number]
    served = resolve(state, wanted.model, wanted.version)
    served.pins += 1
    unpin(state, step.run.pinned[step.ready.number])
    step.served = step.run.pinned[step.ready.number] = served


def unpin(state: State, served: ServedVersion) -> None:
    """An ensemble request has no use for this version any more."""
    served.pins -= 1
    if served.retired is not None:
        state.forget_if_done(served)


def overdue(state: State, now: int) -> list[StepRun]:
    """The steps that have waited for others of their kind for too long, to be sent by `send`."""
    found: list[StepRun] = []
    for limit in state.ensembles.limits.values():
        while limit.waiting and now - limit.waiting[0].began_ns >= INFLIGHT_WAIT_NS:
            step = _take_waiting(limit)
            found.append(step)
            run = step.run
            text = (
                f"step {step.ready.number} of ensemble '{run.served.config.name}' waited for "
                f"{INFLIGHT_WAIT_NS // 10**9} s while {limit.in_flight - 1} requests for it were in flight, of "
                f"{_max_inflight(step)} that max_inflight_requests allows; it goes ahead"
            )
            state.ensembles.actions.append(Fault("max_inflight_requests", Unavailable(text)))
    return found


def _next_waiting(state: State, over: StepRun, limit: StepLimit) -> StepRun | None:
    if limit.waiting and limit.in_flight < _max_inflight(over):
        return _take_waiting(limit)
    if not limit.waiting and not limit.in_flight:
        del state.ensembles.limits[_limit_key(over)]
    return None


def _take_waiting(limit: StepLimit) -> StepRun:
    step = limit.waiting.popleft()
    step.is_waiting = False
    limit.in_flight += 1
    return step


def _limit(state: State, step: StepRun) -> StepLimit | None:
    return state.ensembles.limits.setdefault(_limit_key(step), StepLimit()) if _max_inflight(step) else None


def _limit_key(step: StepRun) -> tuple[tuple[str, int, str], int]:
    return step.run.served.key, step.ready.number


def _max_inflight(step: StepRun) -> int:
    scheduling = step.run.served.ensemble
    return 0 if scheduling is None else scheduling.max_inflight_requests
