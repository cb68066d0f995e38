"""One execution of one batch on one instance, from waiting items to answers and times; on the instance's thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from shoal.core.errors import InternalError, ShoalError
from shoal.core.messages import NO_TIMINGS, Timings
from shoal.workers.backend import Backend, Execution, Response
from shoal.workers.board import SlotBoard
from shoal.workers.executor.item import Item


class Running(NamedTuple):
    """Where it is shown that a batch is being executed, and which."""

    board: SlotBoard
    epoch: int
    batch_id: int


class Result(NamedTuple):
    """The answer to one item. `executed` is False for an item that was refused when its turn came."""

    item: Item
    response: Response
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
    """`results` in the order of the items; `computed` is None when nothing was left to execute."""

    results: list[Result]
    computed: Computed | None


def execute(
    backend: Backend, instance: str, max_batch_size: int, items: Sequence[Item], running: Running | None = None
) -> Outcome:
    """Answer every item of a batch: those given up or past their deadline by a refusal, the others by one call of
    `backend.execute`. Never raises: an exception of the backend becomes the error of every request it was given.
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
    executed, computed = _execute_live(backend, live, size, start_ns, running)
    return Outcome(results + executed, computed)


def _execute_live(
    backend: Backend, live: list[Item], size: int, start_ns: int, running: Running | None
) -> tuple[list[Result], Computed]:
    requests = [item.request for item in live]
    called_ns = time.monotonic_ns()
    if running:
        running.board.start(running.epoch, running.batch_id)
    try:
        execution = _checked(backend.execute(requests), len(requests))
    except BaseException as error:  # the model's code: whatever it raises is the answer of its requests
        return _failed(live, size, start_ns, called_ns, error)
    finally:
        if running:
            running.board.returned()
    end_ns = time.monotonic_ns()
    input_ns = execution.input_end_ns - start_ns
    infer_ns = execution.output_start_ns - execution.input_end_ns
    output_ns = end_ns - execution.output_start_ns
    results = [
        Result(item, response, True, Timings(item.waited_ns(start_ns), input_ns, infer_ns, output_ns))
        for item, response in zip(live, execution.responses, strict=True)
    ]
    return results, Computed(size, size, input_ns, infer_ns, output_ns)


def _checked(execution: Execution, expected: int) -> Execution:
    if len(execution.responses) != expected:
        raise InternalError(f"the backend gave {len(execution.responses)} responses to {expected} requests")
    return execution


def _failed(
    live: list[Item], size: int, start_ns: int, called_ns: int, error: BaseException
) -> tuple[list[Result], Computed]:
    """Triton counts a failed execution as an execution, but none of its requests as an inference."""
    raised_ns = time.monotonic_ns()
    shown = error if isinstance(error, ShoalError) else InternalError(str(error) or type(error).__name__)
    response = Response((), {}, shown)
    results = [Result(item, response, True, _queued(item, start_ns)) for item in live]
    end_ns = time.monotonic_ns()
    return results, Computed(size, 0, called_ns - start_ns, raised_ns - called_ns, end_ns - raised_ns)


def _refused(item: Item, error: ShoalError, now_ns: int) -> Result:
    return Result(item, Response((), {}, error), False, _queued(item, now_ns))


def _queued(item: Item, now_ns: int) -> Timings:
    return NO_TIMINGS._replace(queue_ns=item.waited_ns(now_ns))
