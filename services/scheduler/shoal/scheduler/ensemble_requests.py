"""The requests of ensembles' steps: which version they go to, and how they are made from the ensemble's own request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shoal.core import encoding
from shoal.core.datatypes import BYTE_SIZE, element_count
from shoal.core.input_checks import batch_size_of, check_count, check_datatype_and_shape, configured, refusal
from shoal.core.messages import V3, InferRequest
from shoal.core.model_config import ModelConfig
from shoal.core.tensors import TensorHeader
from shoal.scheduler.ensemble_tensors import Buffer, NamedTensor, SequencePlace, pack, shape_for
from shoal.scheduler.ensembles import StepRun
from shoal.scheduler.events import Arrival
from shoal.scheduler.served import ServedVersion, unknown_model, unknown_version
from shoal.scheduler.state import State


class StepPart(NamedTuple):
    """A step's request as if it had come as a message."""

    header: memoryview
    payload: memoryview


def resolve(state: State, model: str, version: int) -> ServedVersion:
    """The version that a step's request goes to; -1: the highest that can serve, else the highest, where it waits for
    an instance. Raises NotFound, in Triton's words, when it is not served."""
    generation = state.generations.get(model)
    if generation is None:
        raise unknown_model(model)
    numbers = state.versions.get(model, ()) if version == -1 else (version,)
    found = [served for number in numbers if (served := state.served.get((model, number, generation))) is not None]
    if not found:
        raise unknown_version(model, version)
    return next((served for served in found if served.can_serve), found[0])


def make_request(state: State, step: StepRun, now: int) -> Arrival:
    """The step's request, checked as a gateway checks those of clients. Raises InvalidArgument in Triton's words."""
    run, config = step.run, step.served.config
    request, number = run.request, step.ready.number
    step.place = _place(step)
    named = [NamedTensor(name, _shape(name, step, config), tensor) for name, tensor in step.ready.inputs.items()]
    headers, buffers = pack(named)
    step.batch_size = _check(request.request_id, headers, config)
    deadline_ns = run.entry.deadline_ns
    model, version, generation = step.served.key
    message = InferRequest(
        schema=V3,
        counter=step.counter,
        submitter=state.ensembles.own,
        model=model,
        version=version,
        generation=generation,
        request_id=request.request_id,
        correlation_id=step.place.correlation_id,
        flags=step.place.flags,
        priority=request.priority,
        timeout_us=request.timeout_us,
        deadline_us=None if deadline_ns is None else max(0, (deadline_ns - now) // 1000),
        batch_size=step.batch_size,
        inputs=headers,
        outputs=tuple(run.plan.steps[number].outputs),
        parameters=request.parameters,
        traceparent=request.traceparent,
        deaths=step.deaths,
        host=request.host if state.hosts.are_only(request.host) else "",
    )
    return Arrival(message, StepPart(memoryview(encoding.encode(message)), _joined(buffers)))


def _shape(name: str, step: StepRun, config: ModelConfig) -> tuple[int, ...]:
    tensor, expected = step.ready.inputs[name], config.input(name)
    return tensor.shape if expected is None else shape_for(tensor, expected.dims, config.max_batch_size > 0)


def _place(step: StepRun) -> SequencePlace:
    """Correlation id and flags: the ensemble's, unless the answer that an input comes from says otherwise; of several
    the first one (scheduling.md 5)."""
    request = step.run.request
    places = (tensor.sequence for tensor in step.ready.inputs.values() if tensor.sequence is not None)
    return next(places, SequencePlace(request.correlation_id, request.flags))


def _check(request_id: str, inputs: Sequence[TensorHeader], config: ModelConfig) -> int:
    """The batch size. Sizes are checked where the content need not be looked at."""
    check_count(request_id, inputs, config)
    batch_size = batch_size_of(request_id, inputs, config)
    for tensor in reversed(inputs):
        check_datatype_and_shape(request_id, tensor, configured(tensor.name, config), config)
        if tensor.datatype == "BYTES":
            continue
        expected = element_count(tensor.shape) * BYTE_SIZE[tensor.datatype]
        if tensor.ref.nbytes != expected:
            raise refusal(
                request_id,
                f"input byte size mismatch for input '{tensor.name}' for model '{config.name}'. "
                f"Expected {expected}, got {tensor.ref.nbytes}",
            )
    return batch_size


def _joined(buffers: list[Buffer]) -> memoryview:
    return memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers))
