"""Bare tensor bytes as a request: the whole body is the model's only input, every output goes back binary."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.core.datatypes import BYTE_SIZE, element_count, encode_bytes
from shoal.core.errors import InvalidArgument
from shoal.core.input_checks import request_prefix
from shoal.core.model_config import ModelConfig, ModelInput
from shoal.gateway.http.infer_request import AnswerForm, CallContext, OutputForm, ParsedRequest
from shoal.gateway.request import InferCall
from shoal.gateway.scattered import gathered, tensor_of

_PREFIX = request_prefix("")
#: What Triton calls the input until it has found out its name.
_INPUT_NAME = "raw_input"


def parse_raw_request(context: CallContext, body: Sequence[bytes], config: ModelConfig) -> ParsedRequest:
    """Deduce the only input's shape from the size of the body, which is in the pieces in which it came; a batching
    model gets a batch of one.

    Raises InvalidArgument when the model has several inputs, when more than one dimension is variable, when BYTES are
    not exactly one element, or when the size does not fit.
    """
    if len(config.inputs) != 1:
        raise InvalidArgument(
            f"{_PREFIX}Raw request must only have 1 input (found 1) to be deduced but got {len(config.inputs)} inputs "
            f"in '{config.name}' model configuration"
        )
    only = config.inputs[0]
    batch = (1,) if config.max_batch_size > 0 else ()
    if only.datatype == "BYTES":
        if -1 in only.dims or element_count(only.dims) != 1:
            raise InvalidArgument(
                f"{_PREFIX}For BYTE datatype raw input '{only.name}', the model must have input shape [1]"
            )
        tensor = tensor_of(only.name, only.datatype, batch + only.dims, encode_bytes([b"".join(body)]))
    else:
        data = gathered([memoryview(chunk) for chunk in body])
        tensor = tensor_of(only.name, only.datatype, batch + _deduce(only, config, len(data)), data)
    call = InferCall(
        model=context.model,
        version=context.version,
        request_id="",
        correlation_id=0,
        flags=0,
        priority=0,
        timeout_us=0,
        deadline_s=context.deadline_s,
        inputs=(tensor,),
        outputs=(),
        parameters={},
        traceparent=context.traceparent,
    )
    return ParsedRequest(call, AnswerForm({}, OutputForm(is_binary=True), {}))


def _deduce(only: ModelInput, config: ModelConfig, nbytes: int) -> tuple[int, ...]:
    """The input's dims, with the variable one from the size of the body."""
    if only.dims.count(-1) > 1:
        raise InvalidArgument(
            f"{_PREFIX}The shape of the raw input '{only.name}' can not be deduced because there are more than one "
            "variable-sized dimension"
        )
    fixed_nbytes = BYTE_SIZE[only.datatype] * element_count([dim for dim in only.dims if dim != -1])
    variable = nbytes // fixed_nbytes if fixed_nbytes else 0
    dims = tuple(variable if dim == -1 else dim for dim in only.dims)
    expected = BYTE_SIZE[only.datatype] * element_count(dims)
    if expected != nbytes:
        raise InvalidArgument(
            f"{_PREFIX}input byte size mismatch for input '{_INPUT_NAME}' for model '{config.name}'. "
            f"Expected {expected}, got {nbytes}"
        )
    return dims
