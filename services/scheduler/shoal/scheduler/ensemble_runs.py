"""One ensemble request from its arrival to its last answer (scheduling.md 5).

The error of an ensemble, as any last answer of it, is given when no step is in flight any more: until then its inputs
may be read. Nothing new is started meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.errors import Cancelled, InvalidArgument, ShoalError, Unavailable
from shoal.core.input_checks import request_prefix
from shoal.core.messages import RequestKey
from shoal.scheduler.actions import Refuse, refuse_full
from shoal.scheduler.ensemble_answers import end_with, respond, taken
from shoal.scheduler.ensemble_flow import EnsembleFlow, Progress
from shoal.scheduler.ensemble_plan import EnsemblePlan
from shoal.scheduler.ensemble_requests import resolve
from shoal.scheduler.ensemble_steps import begin, end, make, send, unpin
from shoal.scheduler.ensemble_tensors import EnsembleTensor, data_of
from shoal.scheduler.ensembles import EnsembleRun, StepRun
from shoal.scheduler.queue import MODEL_LIMIT
from shoal.scheduler.queued_request import QueuedRequest
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State

#: Ways to run an ensemble that are remembered; there is one for each choice of outputs.
_PLANS_LIMIT = 64


def start(state: State, served: ServedVersion, entry: QueuedRequest, now: int) -> Refuse | None:
    """Run an ensemble request, or refuse it: too many are under way."""
    if served.pins >= MODEL_LIMIT:
        return refuse_full(entry.request)
    run = EnsembleRun(entry, served)
    state.ensembles.runs[run.key] = run
    served.pins += 1
    run.timings = run.timings._replace(queue_ns=now - entry.arrived_ns)
    try:
        run.pinned = _pin(state, served)
        run.plan = _plan(run)
        run.flow = EnsembleFlow(run.plan, state.ensembles.claims)
        proceed(state, run, run.flow.put(_inputs(run)), now)
    except ShoalError as error:
        fail(state, run, error.to_wire())
    conclude(state, run, now)
    return None


def proceed(state: State, run: EnsembleRun, progress: Progress, now: int) -> None:
    """Begin the steps that can run, all or (when one does not fit its model) none, and give the responses that are
    complete."""
    made = []
    try:
        for ready in progress.steps:
            made.append(make(state, run, ready, now))
    except ShoalError as error:
        fail(state, run, error.to_wire())
        _drop(state, (ready.inputs for ready in progress.steps))
        _drop(state, progress.responses)
        return
    for step, arrival in made:
        begin(state, step, arrival, now)
    if not run.served.config.decoupled:
        for outputs in progress.responses:
            run.complete = outputs
        return
    last = len(progress.responses) - 1
    for number, outputs in enumerate(progress.responses):
        respond(state, run, outputs, now, is_final=number == last and not run.steps)


def fail(state: State, run: EnsembleRun, error: tuple[int, str]) -> None:
    """Start nothing more; the first error is the ensemble's."""
    if run.error is not None:
        return
    code, text = error
    run.error = (code, f"in ensemble '{run.served.config.name}', {text}")
    if run.flow is not None:
        run.flow.close()
    if run.complete is not None:
        _drop(state, [run.complete])
        run.complete = None


def end_step(state: State, step: StepRun, now: int) -> None:
    """A step is over; one that waited for that goes ahead."""
    waiting = end(state, step, now)
    while waiting is not None:
        waiting = _go_ahead(state, waiting, now)


def end_if_over(state: State, step: StepRun, now: int) -> None:
    """An answered step is over when it is not being tried once more as well; until then its inputs may be read."""
    key = (state.ensembles.own, step.counter)
    if key in state.queued:
        state.ensembles.cancelled.append(key)
    elif not (state.has(key) and step.is_in_arena):
        end_step(state, step, now)


def give_up(state: State, step: StepRun, now: int) -> None:
    """Have a step cancelled. What waits will be refused; of what executes or gives responses nothing more may be heard,
    but that nobody reads its inputs any more."""
    if step.is_answered or step.counter not in state.ensembles.steps:
        return
    if step.is_waiting:
        end_step(state, step, now)
        return
    key = (state.ensembles.own, step.counter)
    state.ensembles.cancelled.append(key)
    if key not in state.queued and key not in state.ensembles.runs:
        step.is_answered = True
        end_if_over(state, step, now)


def go_ahead(state: State, step: StepRun, now: int) -> None:
    """A step that waited is to be sent; one whose ensemble has ended is over instead, and the next one goes ahead."""
    waiting: StepRun | None = step
    while waiting is not None:
        waiting = _go_ahead(state, waiting, now)


def conclude(state: State, run: EnsembleRun, now: int) -> None:
    """Give the last answer when no step is in flight any more. To be called after all that may have ended one."""
    if run.error is not None:
        _give_up(state, run, now)
    if run.steps or state.ensembles.runs.get(run.key) is not run:
        return
    if run.error is None and not run.is_over and run.complete is None and not run.served.config.decoupled:
        text = (
            f"{request_prefix(run.request.request_id)}unexpected deadlock, at least one output is not set while no "
            "more ensemble steps can be made"
        )
        fail(state, run, InvalidArgument(text).to_wire())
    if run.complete is not None:
        respond(state, run, run.complete, now, is_final=True)
    elif not run.is_over:
        end_with(state, run, run.error, now)
    _forget(state, run)


def expire(state: State, now: int) -> None:
    """Give up the runs whose client's deadline has passed while a step waited for others of its kind; those that are
    queued leave by themselves."""
    late: dict[RequestKey, EnsembleRun] = {}
    for limit in state.ensembles.limits.values():
        for step in limit.waiting:
            deadline_ns = step.run.entry.deadline_ns
            if deadline_ns is not None and deadline_ns <= now:
                late[step.run.key] = step.run
            elif deadline_ns is not None:
                state.timers.ask("ensembles", deadline_ns)
    for run in late.values():
        text = (
            f"deadline of {(run.request.deadline_us or 0) / 1000:.0f} ms passed after "
            f"{(now - run.entry.arrived_ns) / 1e6:.0f} ms; a step waited for max_inflight_requests"
        )
        fail(state, run, Unavailable(text).to_wire())
        conclude(state, run, now)


def cancel(state: State, key: RequestKey, now: int) -> None:
    """Nobody waits for this ensemble request any more, nor for its steps."""
    run = state.ensembles.runs[key]
    fail(state, run, Cancelled("").to_wire())
    if key[0] != state.ensembles.own:
        taken(state, key, run.given)  # what an outer ensemble was given its steps may be reading still
    for step in list(run.steps.values()):
        give_up(state, step, now)
    conclude(state, run, now)


def _go_ahead(state: State, step: StepRun, now: int) -> StepRun | None:
    run = step.run
    if run.error is None:
        try:
            send(state, step, now)
            return None
        except ShoalError as error:
            fail(state, run, error.to_wire())
    following = end(state, step, now)
    conclude(state, run, now)
    return following


def _give_up(state: State, run: EnsembleRun, now: int) -> None:
    """End the steps of a failed run that were never sent, and those that might go on giving responses."""
    for step in list(run.steps.values()):
        if step.is_waiting or step.served.config.decoupled:
            give_up(state, step, now)


def _pin(state: State, ensemble: ServedVersion) -> dict[int, ServedVersion]:
    """The versions that the steps run on, to the end of the request."""
    scheduling = ensemble.ensemble
    steps = () if scheduling is None else scheduling.steps
    found = {number: resolve(state, step.model, step.version) for number, step in enumerate(steps)}
    for served in found.values():
        served.pins += 1
    return found


def _plan(run: EnsembleRun) -> EnsemblePlan:
    served, wanted = run.served, run.request.outputs
    is_decoupled = tuple(served.config.decoupled for served in run.pinned.values())
    plan = served.plans.get((wanted, is_decoupled))
    if plan is None:
        names = [output.name for output in served.config.outputs if not wanted or output.name in wanted]
        plan = EnsemblePlan(served.ensemble.steps if served.ensemble else (), names, is_decoupled)
        if len(served.plans) >= _PLANS_LIMIT:
            served.plans.clear()
        served.plans[wanted, is_decoupled] = plan
    return plan


def _inputs(run: EnsembleRun) -> dict[str, EnsembleTensor | None]:
    """The ensemble's inputs; those that were not given are optional, and absent."""
    request, payload = run.request, run.entry.part.payload
    given: dict[str, EnsembleTensor | None] = {tensor.name: None for tensor in run.served.config.inputs}
    for header in request.inputs:
        data = data_of(header, payload, is_kept=True)
        given[header.name] = EnsembleTensor(header.datatype, header.shape, request.batch_size, data, None, ())
    return given


def _drop(state: State, tensors: Iterable[dict[str, EnsembleTensor]]) -> None:
    for named in tensors:
        for tensor in named.values():
            state.ensembles.claims.drop(tensor.claims)


def _forget(state: State, run: EnsembleRun) -> None:
    ensembles = state.ensembles
    del ensembles.runs[run.key]
    if run.flow is not None:
        run.flow.close()
    for served in run.pinned.values():
        unpin(state, served)
    unpin(state, run.served)
    # Should it be asked for once more, it is not run a second time.
    state.finished.add((run.key,), ensembles.own)
