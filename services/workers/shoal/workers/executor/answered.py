"""What a request is answered with, before it is a message: outputs where their submitter finds them, or an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shoal.core.errors import InternalError, ShoalError
from shoal.core.messages import InferRequest, Parameter
from shoal.memory import Packed
from shoal.workers.backend import Response
from shoal.workers.executor.host_memory import HostMemory

_NOTHING = Packed((), [], None)


class Answered(NamedTuple):
    """Outputs that were asked for, or `error`; neither, when the request only ends."""

    outputs: Packed
    parameters: Mapping[str, Parameter]
    error: ShoalError | None


NO_RESPONSE = Answered(_NOTHING, {}, None)


def failed(error: ShoalError) -> Answered:
    return Answered(_NOTHING, {}, error)


def placed(memory: HostMemory, header: InferRequest, response: Response, is_borrowed: bool) -> Answered:
    """The response with its outputs where the submitter of `header` finds them, or why they cannot be there; see
    `HostMemory.place`. Never raises."""
    if response.error is not None:
        return failed(response.error)
    wanted = header.outputs
    outputs = [t for t in response.outputs if t.name in wanted] if wanted else response.outputs
    try:
        return Answered(memory.place(outputs, header, is_borrowed), response.parameters, None)
    except ShoalError as error:
        return failed(error)
    except Exception as error:  # a backend that is not ours may give anything
        return failed(InternalError(f"the response cannot be sent: {error}"))
