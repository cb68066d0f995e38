"""`InferenceResponse`: a model's answer to one request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shoal.core.messages import Parameter
from shoal.workers.python import parameters as custom
from shoal.workers.python.error import TritonError, TritonModelException
from shoal.workers.python.tensor import Tensor

TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1


class InferenceResponse:
    """Outputs, or an error: with an error the outputs do not count. `parameters` reach the client."""

    __slots__ = ("_error", "_output_tensors", "_parameters")

    def __init__(
        self,
        output_tensors: Iterable[Tensor] = (),
        error: TritonError | None = None,
        parameters: dict[str, Parameter] | None = None,
    ) -> None:
        """Raises TritonModelException for an output that is no Tensor, an error that is no TritonError, and
        parameters other than str -> bool, int or str."""
        self._output_tensors = list(output_tensors)
        for tensor in self._output_tensors:
            if tensor is None:
                raise TritonModelException("Output tensor for inference response should not be empty.")
            if not isinstance(tensor, Tensor):
                raise TritonModelException(f"expected a Tensor in output_tensors, found type {type(tensor)}")
        if error is not None and not isinstance(error, TritonError):
            raise TritonModelException(f"expected a TritonError as error, found type {type(error)}")
        self._error = error
        self._parameters = custom.checked(parameters)

    def output_tensors(self) -> list[Tensor]:
        return self._output_tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error

    def parameters(self) -> str:
        """The parameters as a JSON object; an empty text when there are none."""
        return custom.to_json(self._parameters)


def parameters_of(response: InferenceResponse) -> Mapping[str, Parameter]:
    """The parameters as the server sends them."""
    return response._parameters
