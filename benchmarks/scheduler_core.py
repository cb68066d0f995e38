"""CPU time of the scheduler's core per request: `python benchmarks/scheduler_core.py`.

Closed loops of requests through `SchedulerCore.handle`, without a bus: every answered request is followed by a new
one, as under load from a fixed number of clients. The budget for the whole scheduler is 12 us per request.
"""

from __future__ import annotations

import argparse
import time
from itertools import count
from typing import Any, NamedTuple

from shoal.core.messages import V3, InferRequest
from shoal.core.model_config import ModelConfig, from_json
from shoal.core.tensors import ARENA, INLINE, ArenaRef, Inline, TensorHeader
from shoal.scheduler.actions import Action, Dispatch
from shoal.scheduler.core import SchedulerCore
from shoal.scheduler.events import (
    AdoptionBegan,
    Arrival,
    BatchFinished,
    InstanceReady,
    ModelConfigured,
    RequestsArrived,
)

_MODEL, _GENERATION, _SUBMITTER, _EXECUTOR = (
    "digits",
    "0123456789abcdef",
    "gateway-0123456789ab",
    "executor-0123456789ab",
)


class Part(NamedTuple):
    header: memoryview
    payload: memoryview


_PART = Part(memoryview(bytes(180)), memoryview(bytes(64)))
_INLINE = (TensorHeader("x", "FP32", (1, 16), Inline(INLINE, 0, 64)),)
_IN_ARENA = (TensorHeader("x", "FP32", (1, 16), ArenaRef(ARENA, "0123456789abcdef", "segment", 0, 65536, 1)),)


def _config(**fields: Any) -> ModelConfig:
    inputs = [{"name": "x", "data_type": "TYPE_FP32", "dims": [16]}]
    return from_json({"name": _MODEL, "max_batch_size": 16, "input": inputs, **fields})


def _arrival(counter: int, inputs: tuple[TensorHeader, ...]) -> Arrival:
    request = InferRequest(
        V3, counter, _SUBMITTER, _MODEL, 1, _GENERATION, "", 0, 0, 0, 0, None, 1, inputs, (), {}, "", (), ""
    )
    return Arrival(request, _PART)


class _Loop:
    """Feeds the core; `instances` answer each batch at once, `clients` send one request each at a time."""

    def __init__(self, config: ModelConfig, instances: int, clients: int) -> None:
        self._core = SchedulerCore(1, "own", count(1))
        self._now = 0
        self._clients = clients
        self._handle(AdoptionBegan())
        self._handle(ModelConfigured(_MODEL, _GENERATION, {1: config}))
        for slot in range(instances):
            self._handle(InstanceReady(_MODEL, 1, _GENERATION, _EXECUTOR, slot, f"digits_{slot}"))

    def _handle(self, event: Any) -> list[Action]:
        self._now += 1000
        return self._core.handle(event, self._now)

    def run(self, arrivals: list[Arrival]) -> tuple[float, int]:
        """Seconds of CPU time, and batches sent, until every request is answered."""
        sent: list[Dispatch] = []
        batches = 0
        began = time.process_time()
        position = self._clients
        sent += self._dispatches(self._handle(RequestsArrived(tuple(arrivals[:position]))))
        while sent:
            batch = sent.pop(0)
            batches += 1
            sent += self._dispatches(self._handle(BatchFinished(_EXECUTOR, 1, batch.batch_id)))
            following = tuple(arrivals[position : position + len(batch.items)])
            position += len(batch.items)
            if following:
                sent += self._dispatches(self._handle(RequestsArrived(following)))
        return time.process_time() - began, batches

    def _dispatches(self, actions: list[Action]) -> list[Dispatch]:
        return [action for action in actions if isinstance(action, Dispatch)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="requests per measurement (default 100,000)")
    count: int = parser.parse_args().requests
    measurements = (
        ("default scheduler, 4 instances, 16 clients", _config(), 4, 16, _INLINE),
        ("dynamic batcher up to 16, 1 instance, 32 clients", _config(dynamic_batching={}), 1, 32, _INLINE),
        ("the same, inputs in shared memory", _config(dynamic_batching={}), 1, 32, _IN_ARENA),
        ("dynamic batcher up to 16, 1 instance, 1 client", _config(dynamic_batching={}), 1, 1, _INLINE),
        ("the same, inputs in shared memory", _config(dynamic_batching={}), 1, 1, _IN_ARENA),
    )
    for name, config, instances, clients, inputs in measurements:
        arrivals = [_arrival(counter, inputs) for counter in range(count)]
        seconds, batches = _Loop(config, instances, clients).run(arrivals)
        print(f"{name:<50} {seconds / count * 1e6:6.2f} us/request, average batch {count / batches:5.2f}")


if __name__ == "__main__":
    main()
