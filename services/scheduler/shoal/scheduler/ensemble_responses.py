"""What becomes of a step: its responses, its refusal, and whatever else a submitter hears of its requests.

We are the submitter of all steps, and do what a gateway does: responses are taken in order, those that come twice are
dropped, what got lost is asked for. Tensors are not looked into; what they are made of is claimed (`claims`).
"""

from __future__ import annotations

from shoal.core.errors import ShoalError, Unavailable
from shoal.core.messages import (
    OUT_OF_ORDER,
    V1,
    V2,
    Cancel,
    InferResponse,
    Release,
    Resend,
    Retried,
    Taken,
    Timings,
)
from shoal.core.tensors import ArenaRef
from shoal.scheduler.actions import CountAnswer, Refuse, Tell
from shoal.scheduler.claims import Block, Bytes, Claim, Credit, Stream
from shoal.scheduler.ensemble_outputs import outputs_of
from shoal.scheduler.ensemble_runs import conclude, end_if_over, end_step, fail, proceed
from shoal.scheduler.ensemble_steps import LOSS_LIMIT, let_go, repin, send
from shoal.scheduler.ensembles import KEPT_LIMIT_NBYTES, StepRun
from shoal.scheduler.events import StepResponse
from shoal.scheduler.state import State

#: A missing response is asked for this often; those after it keep coming meanwhile.
MISSED_INTERVAL_NS = 1_000_000_000


def responded(state: State, response: StepResponse, now: int) -> None:
    """A response has come."""
    message = response.message
    step = state.ensembles.steps.get(message.counter)
    if step is None or step.is_answered or _came_before(step, message):
        _disown(state, response)
        return
    if message.response_index > step.next_index:
        _ask_for_missing(state, step, response.sender, now)
        return
    step.next_index += 1
    step.heard_ns = now
    if message.final:
        _count(state, step, message, now)
        # Over before it is proceeded from, so that the ensemble's last response is known to be that.
        step.is_answered = True
    inherited = step.credits
    state.ensembles.claims.hold(inherited)
    claims = _claim(state, step, response)
    if message.final:
        end_if_over(state, step, now)
    _take(state, step, response, (*claims, *inherited), now)
    state.ensembles.claims.drop(claims)
    state.ensembles.claims.drop(inherited)
    conclude(state, step.run, now)


def refused(state: State, refusal: Refuse, now: int) -> None:
    """The scheduler itself refuses a step, which is in nobody's hands any more."""
    (_, counter), error, queue_ns, executed = refusal
    step = state.ensembles.steps.get(counter)
    if step is not None and step.is_answered:
        end_if_over(state, step, now)
        conclude(state, step.run, now)
        return
    timings = Timings(queue_ns, 0, 0, 0)
    message = InferResponse(V2, counter, OUT_OF_ORDER, True, executed, error, (), {}, timings, False)
    responded(state, StepResponse("", message, memoryview(b"")), now)


def closed(state: State, counter: int, now: int) -> None:
    """Nobody reads the inputs of a step any more."""
    step = state.ensembles.steps.get(counter)
    if step is None:
        return
    if step.is_answered:
        end_if_over(state, step, now)
        conclude(state, step.run, now)
    elif step.served.config.decoupled:
        let_go(state, step)


def stale(state: State, counter: int, now: int) -> None:
    """The generation that a step was made for cannot serve it any more."""
    step = state.ensembles.steps.get(counter)
    if step is None or step.is_answered:
        return
    try:
        repin(state, step)
        send(state, step, now)
    except ShoalError as error:
        _failed(state, step, error, now)


def unknown(state: State, counter: int, now: int) -> None:
    """A step is in nobody's hands: it is sent again, unless that does not help."""
    step = state.ensembles.steps.get(counter)
    if step is None or step.is_answered:
        return
    step.losses += 1
    name = step.served.config.name
    try:
        if step.next_index:
            raise Unavailable(f"request for model '{name}' gave {step.next_index} responses, and the rest was lost")
        if step.losses > LOSS_LIMIT:
            raise Unavailable(f"request for model '{name}' was sent {step.losses} times and did not arrive")
        send(state, step, now)
    except ShoalError as error:
        _failed(state, step, error, now)


def lost(state: State, counter: int, now: int) -> None:
    """The answer of a step is gone for good."""
    step = state.ensembles.steps.get(counter)
    if step is None or step.is_answered:
        return
    text = (
        f"request for model '{step.served.config.name}' was executed, but its answer was lost with the process that "
        "held it; it may be sent again"
    )
    _failed(state, step, Unavailable(text), now)


def retried(state: State, counter: int, causes: tuple[str, ...]) -> None:
    """Executions of a step ended with their executors. Who sent the ensemble remembers it as well: should that be run
    anew after a takeover, no step of it is tried more often."""
    step = state.ensembles.steps.get(counter)
    if step is None:
        return
    step.deaths = causes
    submitter, number = step.run.key
    if not step.run.is_deserted:
        state.ensembles.actions.append(Tell(submitter, Retried(V1, ((number, causes),))))


def _ask_for_missing(state: State, step: StepRun, answerer: str, now: int) -> None:
    """What is missing will be sent again, and after it what came too early; those that follow need not ask as well."""
    if step.missed_ns is None or now - step.missed_ns >= MISSED_INTERVAL_NS:
        step.missed_ns = now
        state.ensembles.actions.append(Tell(answerer, Resend(V1, state.ensembles.own, step.counter)))


def _came_before(step: StepRun, message: InferResponse) -> bool:
    return OUT_OF_ORDER != message.response_index < step.next_index


def _count(state: State, step: StepRun, message: InferResponse, now: int) -> None:
    run, served = step.run, step.served
    run.add_timings(message.timings)
    run.has_executed = run.has_executed or message.executed
    is_ensemble = served.ensemble is not None
    state.ensembles.actions.append(CountAnswer(served.key, is_ensemble, message, now - step.began_ns))


def _claim(state: State, step: StepRun, response: StepResponse) -> tuple[Claim, ...]:
    """The claims of a response, used by us: its blocks, its place in the stream, its bytes."""
    sender, message, _ = response
    ensembles = state.ensembles
    claims = ensembles.claims
    is_ours = sender == ensembles.own
    found: list[Claim] = []
    if not is_ours:
        blocks = {Block(sender, out.ref.generation) for out in message.outputs if isinstance(out.ref, ArenaRef)}
        found += [claims.begin(block) for block in blocks]
    is_confirmed = is_ours and message.error is None
    if is_confirmed or not message.final or message.response_index > 0:
        if step.stream is None:
            step.stream = Stream(sender, step.counter)
        found.append(claims.begin(Credit(step.stream, step.next_index - 1)))
    nbytes = sum(out.ref.nbytes for out in message.outputs if not isinstance(out.ref, ArenaRef))
    if nbytes:
        found.append(claims.begin(Bytes(nbytes)))
    return tuple(found)


def _take(state: State, step: StepRun, response: StepResponse, claims: tuple[Claim, ...], now: int) -> None:
    """Go on with what a response brought."""
    run, message = step.run, response.message
    if message.error is not None:
        fail(state, run, message.error)
    elif state.ensembles.claims.nbytes > KEPT_LIMIT_NBYTES:
        text = (
            f"the answer of model '{step.served.config.name}' did not come in shared memory, and the scheduler keeps "
            f"{KEPT_LIMIT_NBYTES} bytes of such answers at most; try again later, or raise --shm-limit"
        )
        fail(state, run, Unavailable(text).to_wire())
    if run.error is not None or message.is_empty or run.flow is None:
        return
    try:
        tensors = outputs_of(step, response, claims)
    except ShoalError as error:
        fail(state, run, error.to_wire())
        return
    iteration = None if step.served.config.decoupled else step.ready.iteration
    proceed(state, run, run.flow.put(tensors, iteration), now)


def _failed(state: State, step: StepRun, error: ShoalError, now: int) -> None:
    """A step that nobody has is over, without an answer."""
    fail(state, step.run, error.to_wire())
    end_step(state, step, now)
    conclude(state, step.run, now)


def _disown(state: State, response: StepResponse) -> None:
    """A response that nobody waits for, or that came twice: what it refers to is not used, unless by the first one."""
    sender, message, _ = response
    ensembles = state.ensembles
    if sender != ensembles.own:
        blocks = {out.ref.generation for out in message.outputs if isinstance(out.ref, ArenaRef)}
        unused = sorted(found for found in blocks if not ensembles.claims.has(Block(sender, found)))
        if unused:
            ensembles.actions.append(Tell(sender, Release(V1, tuple(unused))))
    if sender == ensembles.own or not message.final or message.response_index > 0:
        step = ensembles.steps.get(message.counter)
        if step is None and not message.final:
            ensembles.actions.append(Tell(sender, Cancel(V1, ensembles.own, (message.counter,))))
            return
        upto = message.response_index if step is None or step.stream is None else step.stream.taken
        if upto >= 0:
            ensembles.actions.append(Tell(sender, Taken(V1, ((message.counter, upto),))))
