"""A request of the generate extension -> `InferCall`: a JSON object whose members are inputs, by name, or parameters.

A value has no shape of its own: it gets the one in the model's configuration, with what is left of its elements in the
innermost variable dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from shoal.core.errors import InternalError, InvalidArgument, ShoalError
from shoal.core.messages import Parameter
from shoal.core.model_config import ModelConfig, ModelInput
from shoal.core.tensors import Tensor
from shoal.gateway.http import json_text
from shoal.gateway.http.infer_parameters import read_custom
from shoal.gateway.http.json_access import as_text, printable
from shoal.gateway.http.tensor_json import read_data
from shoal.gateway.request import InferCall

#: The member that may hold members in turn.
_NESTED = "parameters"


class GenerateContext(NamedTuple):
    """What is known of a request before its body is read; see the fields of `InferCall`."""

    model: str
    version: int | None
    deadline_s: float | None
    traceparent: str


def parse_generate(context: GenerateContext, body: bytes, config: ModelConfig) -> InferCall:
    """Read a body. Raises InternalError and InvalidArgument in Triton's words, naming the member."""
    document = json_text.parse(body)
    if type(document) is not dict:
        raise InternalError("attempt to get members for non-object")
    members = _Members(config)
    members.read(document)
    return InferCall(
        model=context.model,
        version=context.version,
        request_id=as_text(document["id"], "id") if "id" in document else "",
        correlation_id=0,
        flags=0,
        priority=0,
        timeout_us=0,
        deadline_s=context.deadline_s,
        inputs=tuple(members.inputs),
        outputs=(),
        parameters=members.parameters,
        traceparent=context.traceparent,
    )


class _Members:
    """What the members of one request turned out to be."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._batch = (-1,) if config.max_batch_size > 0 else ()
        self.inputs: list[Tensor] = []
        self.parameters: dict[str, Parameter] = {}

    def read(self, document: Mapping[str, Any]) -> None:
        if self._config.input(_NESTED) is not None:
            raise InvalidArgument(f"Keyword '{_NESTED}' for nested schema also given as input tensor name")
        for key, value in document.items():
            if key == _NESTED:
                self._read_nested(value)
            else:
                self._read_member(key, value)

    def _read_nested(self, document: Any) -> None:
        if type(document) is not dict:
            raise InternalError(
                f"Expected JSON object for keyword: '{_NESTED}': attempt to access JSON non-object as object"
            )
        try:
            for key, value in document.items():
                self._read_member(key, value)
        except ShoalError as error:
            raise type(error)(f"Converting keyword: '{_NESTED}': {error.message}") from error

    def _read_member(self, key: str, value: Any) -> None:
        name = printable(key)
        configured = self._config.input(name)
        if configured is None:
            self.parameters[name] = read_custom(name, value)
            return
        values = value if type(value) is list else [value]
        shape = _shape(configured, self._batch, len(values))
        self.inputs.append(
            Tensor(name, configured.datatype, shape, read_data(name, configured.datatype, len(values), values))
        )


def _shape(configured: ModelInput, batch: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The configured shape, its variable dimensions filled so that it has `count` elements."""
    shape = [*(() if configured.is_shape_tensor else batch), *configured.dims]
    refusal = InvalidArgument(f"The schema can not convert input '{configured.name}' to tensor with proper shape")
    for dim in shape:
        if dim == 0 or (dim > 0 and count % dim):
            raise refusal
        count = count // dim if dim > 0 else count
    for place in reversed(range(len(shape))):
        if shape[place] == -1:
            shape[place], count = count, 1
    if count != 1:
        raise refusal
    return tuple(shape)
