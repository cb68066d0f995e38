"""One execution of one batch on one instance, from waiting items to answers and times; on the instance's thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from shoal.core.errors import InternalError, ShoalError, from_wire
from shoal.core.messages import NO_TIMINGS, Timings
from shoal.workers.backend import Backend, Execution, Request, Response
from shoal.workers.board import SlotBoard
from shoal.workers.executor.answered import Answered, failed, placed
from shoal.workers.executor.host_memory import HostMemory
from shoal.workers.executor.item import Item


class Running(NamedTuple):
    """Where it is shown that a batch is being executed, and which."""

    board: SlotBoard
    epoch: int
    batch_id: int


class Result(NamedTuple):
    """The answer to one item. `executed` is False for an item that was refused when its turn came."""

    item: Item
    answered: Answered
    executed: bool
    timings: Timings


class Computed(NamedTuple):
    """What one execution cost, for the counters: nanoseconds of its stages, the batch's size (rows, or requests of a
    model without batching), and `inferences`, the rows that were not lost to a failed execution."""

    batch_size: int
    inferences: int
    input_ns: int
    infer_ns: int
    output_ns: int


class Outcome(NamedTuple):
    """`results` in the order of the items, without those that have senders; `computed` is None when nothing was left to
    execute."""

    results: list[Result]
    computed: Computed | None


def execute(
    backend: Backend,
    instance: str,
    max_batch_size: int,
    items: Sequence[Item],
    memory: HostMemory,
    *,
    running: Running | None = None,
) -> Outcome:
    """Answer every item of one batch: those given up, unreadable or past their deadline by a refusal, the others by one
    call of `backend.execute`, or by senders, then or later. Never raises: an exception of the backend becomes the error
    of every request it was given. When this returns, nothing reads the inputs' shared memory any more.
    """
    start_ns = time.monotonic_ns()
    refusals = {item.key: refusal for item in items if (refusal := item.refusal(start_ns)) is not None}
    live = [item for item in items if item.key not in refusals] if refusals else list(items)
    results = [_refused(item, refusals[item.key], start_ns) for item in items if item.key in refusals]
    if not live:
        return Outcome(results, None)
    size = sum(item.header.batch_size or 1 for item in live)
    if size != 1 and size > max_batch_size:
        error = InternalError(f"batch size {size} for '{instance}', max allowed is {max_batch_size}")
        return Outcome(results + [_refused(item, error, start_ns) for item in live], None)
    if running:
        running.board.start(running.epoch, running.batch_id)
    try:
        executed, computed = _execute_live(backend, live, size, start_ns, memory)
    finally:
        if running:
            running.board.returned()
    return Outcome(results + executed, computed)


def _execute_live(
    backend: Backend, live: list[Item], size: int, start_ns: int, memory: HostMemory
) -> tuple[list[Result], Computed]:
    called_ns = time.monotonic_ns()
    course = live[0].course
    course.begin(start_ns, called_ns)
    given = _call(backend, [item.request for item in live])
    course.close()
    if isinstance(given, ShoalError):
        return _failed(backend, live, given, Computed(size, 0, called_ns - start_ns, _ns_since(called_ns), 0))
    _, input_end_ns, output_start_ns = given
    answers = [_answered(memory, item, response) for item, response in zip(live, given.responses, strict=True)]
    # What models and frameworks do not refer to themselves is gone now, and costs nothing to let go.
    del given
    if _let_go(backend, live):
        answers = [_checked(memory, item, answered) for item, answered in zip(live, answers, strict=True)]
    input_ns = input_end_ns - start_ns
    infer_ns = output_start_ns - input_end_ns
    output_ns = _ns_since(output_start_ns)
    course.end(input_ns, infer_ns, output_ns)
    results = [
        Result(item, answered, True, Timings(item.waited_ns(start_ns), input_ns, infer_ns, output_ns))
        for item, answered in zip(live, answers, strict=True)
        if answered is not None
    ]
    return results, Computed(size, size, input_ns, infer_ns, output_ns)


def _call(backend: Backend, requests: list[Request]) -> Execution | ShoalError:
    """What the backend gave, or the error of all requests: without a traceback, which would keep the inputs alive."""
    try:
        execution = backend.execute(requests)
    except ShoalError as error:
        return from_wire(error.to_wire())
    except BaseException as error:  # the model's code: whatever it raises is the answer of its requests
        return InternalError(str(error) or type(error).__name__)
    if len(execution.responses) != len(requests):
        return InternalError(f"the backend gave {len(execution.responses)} responses to {len(requests)} requests")
    return execution


def _answered(memory: HostMemory, item: Item, response: Response | None) -> Answered | None:
    """What the backend gave; None where a sender answers."""
    stream = item.stream
    if stream is None:
        if response is None:
            return failed(InternalError("the backend gave a request no response"))
        return placed(memory, item.header, response, item.is_borrowed)
    if response is not None:
        stream.end(InternalError("the backend gave a response to a request that it answers by a sender"))
    # It may go on for long, and needs the inputs no more.
    item.let_go()
    return None


def _let_go(backend: Backend, live: list[Item]) -> bool:
    """Whether there were inputs in shared memory; nothing refers to them after this."""
    borrowing = [item for item in live if item.is_borrowed]
    if borrowing:
        backend.let_go()
        for item in borrowing:
            item.let_go()
            if item.stream is not None:
                item.stream.let_go()
    return bool(borrowing)


def _checked(memory: HostMemory, item: Item, answered: Answered | None) -> Answered | None:
    """The answer, or why it must not be given: it was made of inputs that were not there until now."""
    gone = memory.gone(item.header) if item.is_borrowed else None
    if gone is None or answered is None:
        return answered
    if answered.outputs.block is not None:
        memory.free(answered.outputs.block.generation)
    return failed(gone)


def _failed(backend: Backend, live: list[Item], error: ShoalError, computed: Computed) -> tuple[list[Result], Computed]:
    """Triton counts a failed execution as an execution, but none of its requests as an inference."""
    started_ns = time.monotonic_ns()
    for item in live:
        if item.stream is not None:
            item.stream.end(error)
    _let_go(backend, live)
    answered = failed(error)
    results = [Result(item, answered, True, _queued(item, started_ns)) for item in live if item.stream is None]
    return results, computed._replace(output_ns=_ns_since(started_ns))


def _refused(item: Item, error: ShoalError, now_ns: int) -> Result:
    return Result(item, failed(error), False, _queued(item, now_ns))


def _queued(item: Item, now_ns: int) -> Timings:
    return NO_TIMINGS._replace(queue_ns=item.waited_ns(now_ns))


def _ns_since(start_ns: int) -> int:
    return time.monotonic_ns() - start_ns
