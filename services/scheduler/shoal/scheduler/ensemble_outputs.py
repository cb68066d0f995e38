"""From a step's response to tensors of the ensemble."""

from __future__ import annotations

from shoal.core.errors import InvalidArgument
from shoal.core.messages import SEQUENCE_END, SEQUENCE_START, InferResponse
from shoal.scheduler.claims import Claim
from shoal.scheduler.ensemble_tensors import EnsembleTensor, SequencePlace, data_of
from shoal.scheduler.ensembles import StepRun
from shoal.scheduler.events import StepResponse


def outputs_of(step: StepRun, response: StepResponse, claims: tuple[Claim, ...]) -> dict[str, EnsembleTensor | None]:
    """The step's outputs by the ensemble's names; those that the model did not make are absent."""
    message, wanted = response.message, step.run.plan.steps[step.ready.number].outputs
    place = _place(step, message)
    tensors: dict[str, EnsembleTensor | None] = dict.fromkeys(wanted.values())
    for header in message.outputs:
        if header.name in wanted:
            data = data_of(header, response.payload, is_kept=False)
            tensor = EnsembleTensor(header.datatype, header.shape, step.batch_size, data, place, claims)
            tensors[wanted[header.name]] = tensor
    return tensors


def _place(step: StepRun, message: InferResponse) -> SequencePlace:
    """The sequence that the next steps belong to: the response's parameters override the step's own (scheduling.md 5).
    Raises InvalidArgument, in Triton's words, when they are of other types."""
    parameters = message.parameters
    if not parameters.keys() & {"sequence_id", "sequence_start", "sequence_end"}:
        return step.place
    correlation_id = parameters.get("sequence_id", step.place.correlation_id)
    if isinstance(correlation_id, bool | float):
        raise InvalidArgument(
            "expected parameter 'sequence_id' to be TRITONSERVER_PARAMETER_INT or TRITONSERVER_PARAMETER_STRING"
        )
    flags = 0
    for name, flag in (("sequence_start", SEQUENCE_START), ("sequence_end", SEQUENCE_END)):
        value = parameters.get(name, False)
        if not isinstance(value, bool):
            raise InvalidArgument(f"expect parameter '{name}' to be TRITONSERVER_PARAMETER_BOOL")
        flags |= flag if value else 0
    return SequencePlace(correlation_id, flags)
