"""An HTTP inference body -> `InferCall`: JSON, JSON with a binary tail, or bare tensor bytes.

Errors come in the order in which Triton reads the document. Tensors of the binary tail are views of the body, in as
many pieces as it has there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from shoal.core.datatypes import BYTE_SIZE, element_count
from shoal.core.errors import InvalidArgument, NotFound
from shoal.core.tensors import Tensor
from shoal.gateway.http import json_text
from shoal.gateway.http.infer_parameters import NO_PARAMETERS, RequestParameters, read_parameters
from shoal.gateway.http.json_access import (
    array_member,
    as_bool,
    as_text,
    as_unsigned,
    has_member,
    member,
    text_member,
)
from shoal.gateway.http.tensor_json import read_data
from shoal.gateway.request import InferCall
from shoal.gateway.scattered import Input, PieceReader, Pieces, joined, tensor_of

#: More than any framework takes. The product of a million dimensions would take hours to compute.
_RANK_LIMIT = 256
_SOURCES = "'data', 'binary_data_size' in 'parameters', 'shared_memory_region' in 'parameters'"


class CallContext(NamedTuple):
    """What is known of a request before its body is read; see the fields of `InferCall`."""

    model: str
    version: int | None
    deadline_s: float | None
    traceparent: str


class OutputForm(NamedTuple):
    """How one output goes back: in the binary tail or as JSON; as its `classes` highest classes when not 0."""

    is_binary: bool
    classes: int = 0


class AnswerForm(NamedTuple):
    """The form of an answer: `forms` by output name, `default_form` for outputs that were not listed."""

    forms: dict[str, OutputForm]
    default_form: OutputForm


class ParsedRequest(NamedTuple):
    """A call and the form of its answer."""

    call: InferCall
    form: AnswerForm


def parse_request(context: CallContext, body: Sequence[bytes], header_nbytes: int) -> ParsedRequest:
    """Read a body, in the pieces in which it came, whose first `header_nbytes` bytes are JSON. Raises InternalError and
    InvalidArgument in Triton's words; names, counts and shapes are not compared with the model here."""
    reader = PieceReader(body)
    document = json_text.parse(bytes(joined(reader.take(header_nbytes))))
    request_id = as_text(document["id"], "id") if has_member(document, "id") else ""
    parameters = read_parameters(document["parameters"]) if has_member(document, "parameters") else NO_PARAMETERS
    inputs = _inputs(document, _Tail(reader, context.model))
    forms = _output_forms(document)
    call = _call(context, request_id, parameters, inputs, tuple(forms))
    return ParsedRequest(call, AnswerForm(forms, OutputForm(parameters.is_binary_default)))


def _call(
    context: CallContext,
    request_id: str,
    parameters: RequestParameters,
    inputs: tuple[Input, ...],
    outputs: tuple[str, ...],
) -> InferCall:
    return InferCall(
        model=context.model,
        version=context.version,
        request_id=request_id,
        correlation_id=parameters.correlation_id,
        flags=parameters.flags,
        priority=parameters.priority,
        timeout_us=parameters.timeout_us,
        deadline_s=context.deadline_s,
        inputs=inputs,
        outputs=outputs,
        parameters=parameters.custom,
        traceparent=context.traceparent,
    )


class _Tail:
    """The binary part of a body, taken from the front."""

    def __init__(self, reader: PieceReader, model: str) -> None:
        self._reader = reader
        self._model = model

    def take(self, nbytes: int, name: str) -> memoryview | Pieces:
        missing = nbytes - self._reader.left
        if missing > 0:
            raise InvalidArgument(
                f"unexpected size for input '{name}', expecting {missing} additional bytes for model '{self._model}'"
            )
        return self._reader.take(nbytes)

    def expect_empty(self) -> None:
        if self._reader.left:
            raise InvalidArgument(f"unexpected additional input data for model '{self._model}'")


def _inputs(document: Any, tail: _Tail) -> tuple[Input, ...]:
    inputs = tuple([_input(item, tail) for item in array_member(document, "inputs")])
    tail.expect_empty()
    return inputs


def _input(item: Any, tail: _Tail) -> Input:
    parameters = member(item, "parameters")
    has_binary = has_member(parameters, "binary_data_size")
    has_region = has_member(parameters, "shared_memory_region")
    has_data = has_member(item, "data")
    if has_data + has_binary + has_region != 1:
        raise _wrong_source(has_data, has_binary, has_region)
    name = text_member(item, "name")
    datatype = text_member(item, "datatype")
    shape = tuple([as_unsigned(dim, "shape") for dim in array_member(item, "shape")])
    if datatype not in BYTE_SIZE:
        raise InvalidArgument(f"invalid datatype for input {name}")
    if len(shape) > _RANK_LIMIT:
        raise InvalidArgument(f"input '{name}' has {len(shape)} dimensions, expected {_RANK_LIMIT} at most")
    if has_binary:
        nbytes = as_unsigned(parameters["binary_data_size"], "binary_data_size")
        return tensor_of(name, datatype, shape, tail.take(nbytes, name))
    if has_region:
        raise _no_region(parameters)
    count = element_count(shape)
    data = read_data(name, datatype, count, array_member(item, "data")) if count else b""
    return Tensor(name, datatype, shape, data)


def _wrong_source(has_data: bool, has_binary: bool, has_region: bool) -> InvalidArgument:
    present = {"data": has_data, "binary_data_size": has_binary, "shared_memory_region": has_region}
    given = " ".join(f"'{name}'" for name, is_set in present.items() if is_set)
    what = f"set {given}" if given else "no field is set"
    return InvalidArgument(f"Input must set only one of the following fields: {_SOURCES}. But {what}")


def _no_region(parameters: Any) -> NotFound:
    region = as_text(parameters["shared_memory_region"], "shared_memory_region")
    return NotFound(f"Unable to find shared memory region: '{region}'")


def _output_forms(document: Any) -> dict[str, OutputForm]:
    if not has_member(document, "outputs"):
        return {}
    forms: dict[str, OutputForm] = {}
    for item in array_member(document, "outputs"):
        name = text_member(item, "name")
        forms.setdefault(name, _output_form(member(item, "parameters")))
    return forms


def _output_form(parameters: Any) -> OutputForm:
    classes = 0
    if has_member(parameters, "classification"):
        classes = as_unsigned(parameters["classification"], "classification")
    if has_member(parameters, "shared_memory_region"):
        for other in ("classification", "binary_data"):
            if has_member(parameters, other):
                raise InvalidArgument(f"Output can't set both 'shared_memory_region' and '{other}'")
        raise _no_region(parameters)
    is_binary = has_member(parameters, "binary_data") and as_bool(parameters["binary_data"], "binary_data")
    return OutputForm(is_binary, classes)
