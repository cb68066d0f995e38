"""From the outputs of one execution to the tensors of each request. Pure numpy; fixed-size datatypes are not copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoal.core.datatypes import encode_bytes, shape_text
from shoal.core.errors import InternalError, ShoalError
from shoal.core.model_config import ModelConfig, ModelOutput
from shoal.core.tensors import Tensor
from shoal.workers.backend import Request, Response
from shoal.workers.gather import Array
from shoal.workers.reshape import reshaped


class Scatterer:
    """Takes apart the outputs of one model version."""

    def __init__(self, config: ModelConfig) -> None:
        self._model = config.name
        self._outputs = config.outputs
        self._is_batched = config.max_batch_size > 0

    def wanted(self, requests: Sequence[Request]) -> tuple[ModelOutput, ...]:
        """The outputs that one of the requests asks for, in the configuration's order."""
        if any(not request.outputs for request in requests):
            return self._outputs
        asked = {name for request in requests for name in request.outputs}
        return tuple(output for output in self._outputs if output.name in asked)

    def scatter(
        self, wanted: Sequence[ModelOutput], arrays: Sequence[Array], requests: Sequence[Request]
    ) -> list[Response]:
        """A response for each request with what it asked for. `arrays` are the `wanted` outputs of these requests
        together: `[sum(batch_size), *dims]`, or of any shape for the one request to a model without batching. Responses
        hold views of them. Raises InternalError when an output does not have the batch's rows."""
        sizes = [request.batch_size for request in requests] if self._is_batched else None
        columns = [self._column(output, array, sizes) for output, array in zip(wanted, arrays, strict=True)]
        responses: list[Response] = []
        for row, request in enumerate(requests):
            names = request.outputs
            mine = [column[row] for column in columns if not names or column[row].name in names]
            responses.append(Response(tuple(mine), {}, None))
        return responses

    def _column(self, output: ModelOutput, array: Array, sizes: Sequence[int] | None) -> list[Tensor]:
        if output.reshape is not None:
            array = array.reshape(self._client_shape(output, array.shape))
        if sizes is None:
            return [as_tensor(output.name, output.datatype, array)]
        return split(output.name, output.datatype, array, sizes)

    def _client_shape(self, output: ModelOutput, shape: tuple[int, ...]) -> tuple[int, ...]:
        produced = output.dims if output.reshape is None else output.reshape
        client_shape = reshaped(shape, produced, output.dims, has_batch=self._is_batched)
        if client_shape is None:
            expected = shape_text((-1, *produced) if self._is_batched else produced)
            raise InternalError(
                f"model '{self._model}', output '{output.name}': got shape {shape_text(shape)}, expected {expected}, "
                f"which the configuration reshapes to {shape_text(output.dims)}"
            )
        return client_shape


def with_errors(responses: Sequence[Response], errors: dict[int, ShoalError]) -> list[Response]:
    """All responses of a batch in order: `errors` at their positions, `responses` for the others in between."""
    given = iter(responses)
    count = len(responses) + len(errors)
    return [Response((), {}, errors[i]) if i in errors else next(given) for i in range(count)]


def split(name: str, datatype: str, array: Array, batch_sizes: Sequence[int]) -> list[Tensor]:
    """The rows of each request, in order, as tensors: views of `array`, whose shape is `[sum(batch_sizes), *dims]`.

    Raises InternalError naming the output when its first dimension is another one.
    """
    rows = sum(batch_sizes)
    if array.ndim == 0 or array.shape[0] != rows:
        raise InternalError(
            f"output '{name}' has shape {shape_text(array.shape)}, expected the batch's {rows} rows as its first "
            "dimension"
        )
    dims = array.shape[1:]
    tensors: list[Tensor] = []
    start = 0
    if datatype == "BYTES":
        for size in batch_sizes:
            tensors.append(as_tensor(name, datatype, array[start : start + size]))
            start += size
        return tensors
    data = _bytes_of(array)
    row_nbytes = len(data) // rows if rows else 0
    for size in batch_sizes:
        end = start + size * row_nbytes
        tensors.append(Tensor(name, datatype, (size, *dims), data[start:end]))
        start = end
    return tensors


def as_tensor(name: str, datatype: str, array: Array) -> Tensor:
    """An array in wire form. BYTES elements may be `bytes`, or `str`, which becomes UTF-8. The data is a read-only view
    of the array's memory where that is contiguous: do not change it afterwards."""
    if datatype != "BYTES":
        return Tensor(name, datatype, array.shape, _bytes_of(array))
    elements: list[str | bytes] = array.ravel().tolist()
    encoded = encode_bytes(e.encode() if isinstance(e, str) else e for e in elements)
    return Tensor(name, datatype, array.shape, encoded)


def _bytes_of(array: Array) -> memoryview:
    # Read-only says that nobody will write to it, so that nobody need copy it for fear of that.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data.toreadonly()
