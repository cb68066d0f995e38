"""A scheduler core with an ensemble and the models of its steps, whose executors do what a test says.

Each model has one executor, named after it: `x-<model>`. A block of an executor is named by its generation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scheduler_stage import GENERATION, OWN, SUBMITTER, Part, Stage, request
from shoal.core import encoding
from shoal.core.messages import (
    NO_TIMINGS,
    V2,
    Cancel,
    InferRequest,
    InferResponse,
    Parameter,
    Release,
    Taken,
    Timings,
)
from shoal.core.model_config import ModelConfig, from_json
from shoal.core.tensors import ARENA, INLINE, ArenaRef, Inline, Reference, TensorHeader
from shoal.scheduler.actions import Action, Answer, CountAnswer, CountExecution, Dispatch, Fault, SetTimer, Tell
from shoal.scheduler.events import (
    AdoptionBegan,
    AnswersTaken,
    Arrival,
    BatchFinished,
    CancelRequested,
    Event,
    ExecutorGone,
    HostChanged,
    InstanceReady,
    ModelConfigured,
    RequestsArrived,
    StepResponse,
    StepsAnswered,
)

ENSEMBLE, HOST = "ens", "host"
LARGE_NBYTES = 8192
_INFER_REQUEST, _ = encoding.SCHEMA[InferRequest]


def step(model: str, inputs: str, outputs: str, version: int = -1) -> dict[str, Any]:
    """`inputs` and `outputs` as "X=in Y=mid": tensor of the model = tensor of the ensemble."""
    return {
        "model_name": model,
        "model_version": version,
        "input_map": _mapping(inputs),
        "output_map": _mapping(outputs),
    }


def tensors(*names: str, dims: Sequence[int] = (-1,), optional: bool = False) -> list[dict[str, Any]]:
    return [{"name": name, "data_type": "TYPE_FP32", "dims": list(dims), "optional": optional} for name in names]


def model(
    name: str, inputs: str = "X", outputs: str = "Y", *, optional: str = "", decoupled: bool = False, **fields: Any
) -> ModelConfig:
    """A model without batching of FP32 vectors, unless `fields` say otherwise."""
    return from_json(
        {
            "name": name,
            "max_batch_size": 0,
            "input": tensors(*inputs.split()) + tensors(*optional.split(), optional=True),
            "output": tensors(*outputs.split()),
            "model_transaction_policy": {"decoupled": decoupled},
            **fields,
        }
    )


def ensemble(
    *steps: dict[str, Any], inputs: str = "IN", outputs: str = "OUT", name: str = ENSEMBLE, limit: int = 0, **more: Any
) -> ModelConfig:
    scheduling = {"step": list(steps), "max_inflight_requests": limit}
    return model(name, inputs, outputs, ensemble_scheduling=scheduling, **more)


def line(*models: str) -> ModelConfig:
    """An ensemble of models one after the other, IN to OUT."""
    names = ["IN", *(f"mid{number}" for number in range(1, len(models))), "OUT"]
    return ensemble(*(step(m, f"X={a}", f"Y={b}") for m, a, b in zip(models, names, names[1:], strict=False)))


class Step(NamedTuple):
    """A request that an executor was sent, and where."""

    executor: str
    batch_id: int
    request: InferRequest
    payload: bytes

    @property
    def inputs(self) -> dict[str, Reference]:
        return {tensor.name: tensor.ref for tensor in self.request.inputs}


class EnsembleStage(Stage):
    """`steps` are those that executors have, in the order in which they came; `answers` what submitters were given,
    `counts` what was counted. `held` are the blocks that were given and not released, `releases` counts those that
    were."""

    def __init__(self, *configs: ModelConfig, instances: int = 1) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.answers: list[Answer] = []
        self.counts: list[CountAnswer | CountExecution] = []
        self.held: set[tuple[str, int]] = set()
        self.releases: Counter[tuple[str, int]] = Counter()
        self.taken: dict[tuple[str, int], int] = {}
        self.cancelled: list[int] = []
        self._last_generation = 0
        self.handle(AdoptionBegan())
        for config in configs:
            self.handle(ModelConfigured(config.name, GENERATION, {1: config}))
            if not config.is_ensemble:
                for slot in range(instances):
                    self.add_instance(config.name, slot)

    def add_instance(self, name: str, slot: int = 0, version: int = 1, generation: str = GENERATION) -> None:
        executor = f"x-{name}"
        self.handle(HostChanged(executor, HOST))
        self.handle(InstanceReady(name, version, generation, executor, slot, f"{name}_0_{slot}"))

    def handle(self, event: Event) -> list[Action]:
        """As of a `Stage`, but steps, answers and what concerns blocks and streams are kept here instead."""
        return [action for action in super().handle(event) if not self._keeps(action)]

    def ask(self, counter: int, *, deadline_us: int | None = None, **inputs: Any) -> list[Action]:
        """A request for the ensemble; `inputs` by name, inline bytes or a number of bytes in the submitter's arena."""
        return self.arrive_with(counter, inputs, deadline_us=deadline_us)

    def arrive_with(self, counter: int, inputs: Mapping[str, Any], **fields: Any) -> list[Action]:
        headers, payload = [], b""
        batch = (fields["batch_size"],) if fields.get("batch_size") else ()
        for name, data in inputs.items():
            nbytes = data if isinstance(data, int) else len(data)
            ref: Reference = ArenaRef(ARENA, HOST, "gateway", 0, nbytes, counter)
            if not isinstance(data, int):
                ref = Inline(INLINE, len(payload), nbytes)
                payload += data
            headers.append(TensorHeader(name, "FP32", (*batch, nbytes // 4 // (batch[0] if batch else 1)), ref))
        wanted = {"model": ENSEMBLE, "host": HOST, "batch_size": 0, "inputs": tuple(headers)} | fields
        message = request(counter, **wanted)
        return self.handle(RequestsArrived((Arrival(message, Part(memoryview(b""), memoryview(payload))),)))

    def at(self, name: str) -> Step:
        """The oldest step that this model has."""
        return next(found for found in self.steps if found.request.model == name)

    def finish(
        self,
        name: str,
        outputs: Mapping[str, Any] | None = None,
        *,
        error: tuple[int, str] | None = None,
        parameters: dict[str, Parameter] | None = None,
        timings: Timings = NO_TIMINGS,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> list[Action]:
        """The model is done with its oldest step. Outputs (by default `Y`, in an arena) as inputs of `ask`; None: the
        model did not make it."""
        found = self.at(name)
        done = self.done_with(found)
        message = self.response(found, outputs, error=error, parameters=parameters, timings=timings, shapes=shapes)
        return done + self.give(found, *message)

    def done_with(self, found: Step) -> list[Action]:
        """The batch of a step is done; its answer is still to come."""
        self.steps.remove(found)
        return self.handle(BatchFinished(found.executor, 1, found.batch_id))

    def response(
        self,
        found: Step,
        outputs: Mapping[str, Any] | None = None,
        *,
        index: int = 0,
        final: bool = True,
        error: tuple[int, str] | None = None,
        parameters: dict[str, Parameter] | None = None,
        timings: Timings = NO_TIMINGS,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        is_empty: bool = False,
    ) -> tuple[InferResponse, bytes]:
        """A response of the executor that has a step."""
        if outputs is None:
            outputs = {} if error or is_empty else {"Y": LARGE_NBYTES}
        headers, payload = [], b""
        generation = self._last_generation + 1
        for name, data in outputs.items():
            if data is None:
                continue
            nbytes = data if isinstance(data, int) else len(data)
            shape = (shapes or {}).get(name, (nbytes // 4,))
            if isinstance(data, int):
                self._last_generation = generation
                ref: Reference = ArenaRef(ARENA, HOST, found.executor, 0, data, generation)
                self.held.add((found.executor, generation))
            else:
                ref = Inline(INLINE, len(payload), len(data))
                payload += data
            headers.append(TensorHeader(name, "FP32", shape, ref))
        counter = found.request.counter
        message = InferResponse(
            V2, counter, index, final, True, error, tuple(headers), parameters or {}, timings, is_empty
        )
        return message, payload

    def give(self, found: Step, message: InferResponse, payload: bytes = b"") -> list[Action]:
        return self.handle(StepsAnswered((StepResponse(found.executor, message, memoryview(payload)),)))

    def stream(self, found: Step, index: int, **fields: Any) -> list[Action]:
        """One of several responses to a step."""
        return self.give(found, *self.response(found, index=index, **{"final": False, **fields}))

    def take(self, counter: int, index: int = 0, submitter: str = SUBMITTER) -> list[Action]:
        return self.handle(AnswersTaken(submitter, ((counter, index),)))

    def cancel(self, *counters: int) -> list[Action]:
        return self.handle(CancelRequested(SUBMITTER, counters))

    def kill(self, name: str, *executing: Step) -> list[Action]:
        """The executor of a model ends while it executes these; what it holds besides was not started."""
        executor = f"x-{name}"
        self.steps = [found for found in self.steps if found.executor != executor]
        self.held = {block for block in self.held if block[0] != executor}
        return self.handle(ExecutorGone(executor, "signal 9", [(1, found.batch_id) for found in executing]))

    @property
    def answer(self) -> Answer:
        """The only answer so far."""
        (found,) = self.answers
        return found

    def _keeps(self, action: Action) -> bool:
        if isinstance(action, Dispatch):
            for item in action.items:
                found = encoding.decode(_INFER_REQUEST, item.part.header)
                assert isinstance(found, InferRequest)
                assert found.submitter == OWN
                self.steps.append(Step(action.executor, action.batch_id, found, bytes(item.part.payload)))
            return True
        if isinstance(action, Answer):
            self.answers.append(action)
        elif isinstance(action, CountAnswer | CountExecution):
            self.counts.append(action)
        elif isinstance(action, Tell):
            return self._keeps_message(action)
        else:
            assert not isinstance(action, SetTimer | Fault)
            return False
        return True

    def _keeps_message(self, action: Tell) -> bool:
        assert action.to != OWN, "what is for ourselves is heard within the event"
        match action.message:
            case Release(_, generations):
                for generation in generations:
                    self.releases[action.to, generation] += 1
                    self.held.discard((action.to, generation))
            case Taken(_, answers):
                self.taken.update({(action.to, counter): index for counter, index in answers})
            case Cancel(_, submitter, counters):
                assert submitter == OWN
                self.cancelled += counters
            case _:
                return False
        return True


def _mapping(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())
