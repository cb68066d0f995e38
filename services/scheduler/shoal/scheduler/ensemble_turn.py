"""The scheduler as the submitter of ensembles' steps: what it would tell itself is heard here, within the same event.

To everything else the steps of an ensemble are requests like those of gateways, and what becomes of them is told to
their submitter, which is us. `settle` hands that over, queues the steps that follow from it, and so on until nothing
more follows.
"""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.messages import V1, Closed, ReconcileReply, Release, Resend, Retried, Stale, Taken
from shoal.scheduler import ensemble_answers, ensemble_responses, ensemble_runs
from shoal.scheduler.actions import Action, Answer, Refuse, Tell
from shoal.scheduler.claims import Block
from shoal.scheduler.ensemble_steps import overdue
from shoal.scheduler.ensembles import StepRun
from shoal.scheduler.events import AnswersTaken, HoldsAsked, RepeatAsked, StepResponse, StepsAnswered
from shoal.scheduler.intake import cancel, receive
from shoal.scheduler.outcomes import ASK_AGE_NS, ASK_INTERVAL_NS
from shoal.scheduler.reconcile import answer_again
from shoal.scheduler.state import State


def settle(state: State, actions: list[Action], now: int) -> list[Action]:
    """The actions for others, with all that follows from those for ourselves. To be called after every event."""
    ensembles = state.ensembles
    own = ensembles.own
    others: list[Action] = []
    while True:
        for action in actions:
            if isinstance(action, Refuse):
                is_ours = action.key[0] == own
            else:
                is_ours = isinstance(action, Tell | Answer) and action.to == own
            if is_ours:
                _hear(state, action, now)
            else:
                others.append(action)
        if ensembles.has_news:
            actions = _follow(state, now)
        elif ensembles.is_in_doubt:
            ensembles.is_in_doubt = False
            actions = ask(state, now)
        else:
            return others


def answered(state: State, event: StepsAnswered, now: int) -> list[Action]:
    for response in event.responses:
        ensemble_responses.responded(state, response, now)
    return []


def answers_taken(state: State, event: AnswersTaken) -> list[Action]:
    for counter, index in event.answers:
        ensemble_answers.taken(state, (event.submitter, counter), index)
    return []


def repeat_asked(state: State, event: RepeatAsked) -> list[Action]:
    ensemble_answers.repeat(state, (event.submitter, event.counter), is_begun=True)
    return []


def holds_asked(state: State, event: HoldsAsked) -> list[Action]:
    """Which blocks are not used. One whose answer got lost will come again: our question for that comes before the
    executor's."""
    claims = state.ensembles.claims
    unused = tuple(found for found in event.generations if not claims.has(Block(event.owner, found)))
    return [Tell(event.owner, Release(V1, unused))] if unused else []


def doubt(state: State) -> list[Action]:
    """Messages may have been lost: when all that this event means is known, every step is asked after."""
    state.ensembles.is_in_doubt = True
    return []


def ask(state: State, now: int, began_by: int | None = None) -> list[Action]:
    """Ask after the steps that were made by then (None: all): where they are, or what became of their answers."""
    actions: list[Action] = []
    for step in list(state.ensembles.steps.values()):
        if began_by is not None and step.began_ns > began_by:
            break
        if not (step.is_waiting or step.is_answered or state.has((state.ensembles.own, step.counter))):
            actions += _ask_after(state, step, now, began_by)
    return actions


def tend(state: State, now: int) -> list[Action]:
    """Look after what has been there for long, and be here again while anything is."""
    ensembles = state.ensembles
    ensemble_answers.tend(state, now)
    for step in overdue(state, now):
        ensemble_runs.go_ahead(state, step, now)
    ensemble_runs.expire(state, now)
    if ensembles.steps or ensembles.given:
        state.timers.ask("ensembles", now + ASK_INTERVAL_NS)
    return ask(state, now, now - ASK_AGE_NS)


def _ask_after(state: State, step: StepRun, now: int, heard_by: int | None) -> list[Action]:
    """A step is in nobody's hands, so that somebody has answered it, or will."""
    key = (state.ensembles.own, step.counter)
    executor = step.stream.answerer if step.stream is not None else state.finished.executor_of(key)
    if executor is None:
        ensemble_responses.unknown(state, step.counter, now)
    elif state.finished.is_dead(executor):
        ensemble_responses.lost(state, step.counter, now)
    elif not (step.stream is not None or step.served.config.decoupled):
        return answer_again(state, key, executor, now)
    elif heard_by is None or step.heard_ns <= heard_by:
        # It may give responses for as long as it likes, and be silent between two.
        step.heard_ns = now
        return [Tell(executor, Resend(V1, *key))]
    return []


def _follow(state: State, now: int) -> list[Action]:
    """What the ensembles want done."""
    ensembles = state.ensembles
    actions, ensembles.actions = ensembles.actions, []
    arrivals, ensembles.arrivals = ensembles.arrivals, []
    cancelled, ensembles.cancelled = ensembles.cancelled, []
    actions += _give_back(state)
    if arrivals:
        actions += receive(state, arrivals, now)
    if cancelled:
        actions += cancel(state, cancelled, now)
    return actions


def _give_back(state: State) -> Iterable[Action]:
    """Tell whoever lent us something that is not used any more, each once for all of this turn."""
    over = state.ensembles.claims.take_over()
    if not over:
        return []
    blocks: dict[str, list[int]] = {}
    taken: dict[str, dict[int, int]] = {}
    for thing in over:
        if isinstance(thing, Block):
            blocks.setdefault(thing.owner, []).append(thing.generation)
        elif thing.stream.finish(thing.number):
            taken.setdefault(thing.stream.answerer, {})[thing.stream.counter] = thing.stream.taken
    releases: list[Action] = [Tell(owner, Release(V1, tuple(sorted(found)))) for owner, found in blocks.items()]
    return releases + [Tell(who, Taken(V1, tuple(found.items()))) for who, found in taken.items()]


def _hear(state: State, action: Action, now: int) -> None:
    if isinstance(action, Refuse):
        ensemble_responses.refused(state, action, now)
    elif isinstance(action, Answer):
        payload = memoryview(b"".join(action.buffers))
        ensemble_responses.responded(state, StepResponse(action.to, action.message, payload), now)
    elif isinstance(action, Tell):
        _hear_message(state, action, now)


def _hear_message(state: State, action: Tell, now: int) -> None:
    match action.message:
        case Closed(_, counters):
            for counter in counters:
                ensemble_responses.closed(state, counter, now)
        case Stale(_, counters):
            for counter in counters:
                ensemble_responses.stale(state, counter, now)
        case ReconcileReply(_, _, unknown, lost):
            for counter in unknown:
                ensemble_responses.unknown(state, counter, now)
            for counter in lost:
                ensemble_responses.lost(state, counter, now)
        case Retried(_, deaths):
            for counter, causes in deaths:
                ensemble_responses.retried(state, counter, causes)
        case Taken(_, answers):
            answers_taken(state, AnswersTaken(action.to, answers))
