"""What ensembles answer, and what becomes of the answers until their receivers have taken them.

The memory of an answer's outputs is the executors', held by us until the receiver has copied it (`Taken`). An answer
that is not confirmed is sent again, which brings the confirmation, whatever was lost; one of which nothing lies in
shared memory is forgotten after a while.
"""

from __future__ import annotations

from shoal.core.errors import Unavailable
from shoal.core.messages import (
    NO_TIMINGS,
    OUT_OF_ORDER,
    SEQUENCE_END,
    SEQUENCE_START,
    V1,
    V2,
    InferResponse,
    Parameter,
    ReconcileReply,
    RequestKey,
    Timings,
)
from shoal.scheduler.actions import Answer, CountExecution, Tell
from shoal.scheduler.ensemble_tensors import EnsembleTensor, NamedTensor, pack, shape_for
from shoal.scheduler.ensembles import EnsembleRun, Given
from shoal.scheduler.state import State

#: An answer whose outputs lie in shared memory is sent again when it was not confirmed for this long, and that often.
REPEAT_NS = 5_000_000_000
#: Other answers are kept for this long, as executors keep theirs.
KEEP_NS = 30_000_000_000


def respond(state: State, run: EnsembleRun, outputs: dict[str, EnsembleTensor], now: int, *, is_final: bool) -> None:
    """Give a response of an ensemble. It uses the claims of its outputs from now on."""
    headers, buffers = pack([NamedTensor(name, _shape(run, name, tensor), tensor) for name, tensor in outputs.items()])
    message = InferResponse(
        schema=V2,
        counter=run.request.counter,
        response_index=run.given,
        final=is_final,
        executed=True,
        error=None,
        outputs=headers,
        parameters=_parameters(outputs),
        timings=_timings(run) if is_final else NO_TIMINGS,
        is_empty=False,
    )
    claims = tuple([claim for tensor in outputs.values() for claim in tensor.claims])
    _give(state, run, Given(message, tuple(buffers), claims, now))


def end_with(state: State, run: EnsembleRun, error: tuple[int, str] | None, now: int) -> None:
    """Give the last response of an ensemble: an error, or nothing more than that it is over."""
    timings = _timings(run)
    message = InferResponse(
        V2, run.request.counter, run.given, True, run.has_executed, error, (), {}, timings, error is None
    )
    _give(state, run, Given(message, (), (), now))


def taken(state: State, key: RequestKey, index: int) -> None:
    """The receiver has taken every answer to this request up to this one."""
    given = state.ensembles.given.get(key)
    if given is None:
        return
    for known in [known for known in given if known <= index]:
        state.ensembles.claims.drop(given.pop(known).claims)
    if not given:
        del state.ensembles.given[key]


def desert(state: State, submitter: str) -> None:
    """A submitter is gone: what it was given is not used any more."""
    for key, given in list(state.ensembles.given.items()):
        if key[0] == submitter:
            taken(state, key, max(given))


def repeat(state: State, key: RequestKey, *, is_begun: bool = False) -> None:
    """A submitter asks for the answers to a request that is ours: those that it has not taken are sent again. When the
    last one is not kept any longer it is told so; `is_begun`: it has had some of several."""
    ensembles = state.ensembles
    given = ensembles.given.get(key)
    if given is not None:
        ensembles.actions += [Answer(key[0], found.message, found.buffers) for _, found in sorted(given.items())]
    elif key in ensembles.runs:
        return
    elif is_begun:
        error = Unavailable("the ensemble was executed, but its answer was lost on the way and is no longer kept")
        message = InferResponse(V2, key[1], OUT_OF_ORDER, True, True, error.to_wire(), (), {}, NO_TIMINGS, False)
        ensembles.actions.append(Answer(key[0], message, ()))
    else:
        ensembles.actions.append(Tell(key[0], ReconcileReply(V1, state.epoch, (), (key[1],))))


def tend(state: State, now: int) -> None:
    """Send again what was not confirmed, forget what need not be; to be called about once a second."""
    ensembles = state.ensembles
    for key, given in list(ensembles.given.items()):
        if key[0] == ensembles.own:
            continue  # what an outer ensemble was given does not get lost
        for index, found in list(given.items()):
            age_ns = now - found.since_ns
            if found.has_blocks:
                if age_ns >= REPEAT_NS:
                    given[index] = found._replace(since_ns=now)
                    ensembles.actions.append(Answer(key[0], found.message, found.buffers))
            elif age_ns >= KEEP_NS:
                ensembles.claims.drop(given.pop(index).claims)
        if not given:
            del ensembles.given[key]


def _give(state: State, run: EnsembleRun, given: Given) -> None:
    ensembles, message = state.ensembles, given.message
    run.given += 1
    run.is_over = message.final
    if message.final and message.error is None:
        # Before the answer: whoever has that finds it in the statistics.
        size = max(1, run.request.batch_size)
        ensembles.actions.append(CountExecution(run.served.key, size, message.timings))
    if run.is_deserted:
        ensembles.claims.drop(given.claims)
        return
    ensembles.actions.append(Answer(run.key[0], message, given.buffers))
    if message.error is None:
        ensembles.given.setdefault(run.key, {})[message.response_index] = given


def _timings(run: EnsembleRun) -> Timings:
    # An ensemble does not wait in a queue, but it was accepted.
    return run.timings._replace(queue_ns=max(1, run.timings.queue_ns))


def _shape(run: EnsembleRun, name: str, tensor: EnsembleTensor) -> tuple[int, ...]:
    expected = run.served.config.output(name)
    if expected is None:
        return tensor.shape
    dims = expected.dims if expected.reshape is None else expected.reshape
    return shape_for(tensor, dims, run.request.batch_size != 0)


def _parameters(outputs: dict[str, EnsembleTensor]) -> dict[str, Parameter]:
    """The sequence that the outputs belong to is told with them (scheduling.md 5)."""
    places = [tensor.sequence for tensor in outputs.values() if tensor.sequence is not None]
    if not places:
        return {}
    correlation_id, flags = places[-1]
    return {
        "sequence_id": correlation_id,
        "sequence_start": bool(flags & SEQUENCE_START),
        "sequence_end": bool(flags & SEQUENCE_END),
    }
