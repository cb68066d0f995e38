"""An HTTP inference body -> `InferCall`: JSON, JSON with a binary tail, or bare tensor bytes.

Errors come in the order in which Triton reads the document. Tensors of the binary tail are views of the body, in as
many pieces as it has there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from shoal.core.datatypes import BYTE_SIZE, element_count
from shoal.core.errors import InvalidArgument
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
from shoal.gateway.limits import MAX_RANK
from shoal.gateway.region_part import FindPart, RegionPart
from shoal.gateway.region_tensors import region_input
from shoal.gateway.request import InferCall
from shoal.gateway.scattered import Input, PieceReader, Pieces, joined, tensor_of

_SOURCES = "'data', 'binary_data_size' in 'parameters', 'shared_memory_region' in 'parameters'"


class CallContext(NamedTuple):
    """What is known of a request before its body is read; see the fields of `InferCall`. `find_part` gives parts of
    registered regions."""

    model: str
    version: int | None
    deadline_s: float | None
    traceparent: str
    find_part: FindPart


class OutputForm(NamedTuple):
    """How one output goes back: in the binary tail or as JSON; as its `classes` highest classes when not 0."""

    is_binary: bool
    classes: int = 0


class AnswerForm(NamedTuple):
    """The form of an answer: `forms` by output name, `default_form` for outputs that were not listed. Outputs in
    `regions` go there, and without data into the answer."""

    forms: dict[str, OutputForm]
    default_form: OutputForm
    regions: dict[str, RegionPart]


class ParsedRequest(NamedTuple):
    """A call and the form of its answer."""

    call: InferCall
    form: AnswerForm


def parse_request(context: CallContext, body: Sequence[bytes], header_nbytes: int) -> ParsedRequest:
    """Read a body, in the pieces in which it came, whose first `header_nbytes` bytes are JSON. Raises InternalError and
    InvalidArgument in Triton's words, and what `find_part` raises; names, counts and shapes are not compared with the
    model here."""
    reader = PieceReader(body)
    document = json_text.parse(bytes(joined(reader.take(header_nbytes))))
    request_id = as_text(document["id"], "id") if has_member(document, "id") else ""
    parameters = read_parameters(document["parameters"]) if has_member(document, "parameters") else NO_PARAMETERS
    sources = _Sources(reader, context)
    inputs = _inputs(document, sources)
    regions: dict[str, RegionPart] = {}
    forms = _output_forms(document, context.find_part, regions)
    call = _call(context, request_id, parameters, inputs, tuple(forms))
    if sources.region_nbytes:
        call = call._replace(region_nbytes=sources.region_nbytes)
    return ParsedRequest(call, AnswerForm(forms, OutputForm(parameters.is_binary_default), regions))


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


class _Sources:
    """Where inputs have their bytes: the binary part of the body, taken from the front, and regions. `region_nbytes`
    counts what is still to be read from there."""

    def __init__(self, reader: PieceReader, context: CallContext) -> None:
        self._reader = reader
        self._context = context
        self.region_nbytes = 0

    def region_tensor(self, name: str, datatype: str, shape: tuple[int, ...], parameters: Any) -> Input:
        tensor = region_input(name, datatype, shape, _find(parameters, self._context.find_part))
        if not isinstance(tensor, Tensor):
            self.region_nbytes += len(tensor.data)
        return tensor

    def take(self, nbytes: int, name: str) -> memoryview | Pieces:
        missing = nbytes - self._reader.left
        if missing > 0:
            raise InvalidArgument(
                f"unexpected size for input '{name}', expecting {missing} additional bytes for model "
                f"'{self._context.model}'"
            )
        return self._reader.take(nbytes)

    def expect_empty(self) -> None:
        if self._reader.left:
            raise InvalidArgument(f"unexpected additional input data for model '{self._context.model}'")


def _inputs(document: Any, sources: _Sources) -> tuple[Input, ...]:
    inputs = tuple([_input(item, sources) for item in array_member(document, "inputs")])
    sources.expect_empty()
    return inputs


def _input(item: Any, sources: _Sources) -> Input:
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
    if len(shape) > MAX_RANK:
        raise InvalidArgument(f"input '{name}' has {len(shape)} dimensions, expected {MAX_RANK} at most")
    if has_binary:
        nbytes = as_unsigned(parameters["binary_data_size"], "binary_data_size")
        return tensor_of(name, datatype, shape, sources.take(nbytes, name))
    if has_region:
        return sources.region_tensor(name, datatype, shape, parameters)
    count = element_count(shape)
    data = read_data(name, datatype, count, array_member(item, "data")) if count else b""
    return Tensor(name, datatype, shape, data)


def _wrong_source(has_data: bool, has_binary: bool, has_region: bool) -> InvalidArgument:
    present = {"data": has_data, "binary_data_size": has_binary, "shared_memory_region": has_region}
    given = " ".join(f"'{name}'" for name, is_set in present.items() if is_set)
    what = f"set {given}" if given else "no field is set"
    return InvalidArgument(f"Input must set only one of the following fields: {_SOURCES}. But {what}")


def _find(parameters: Any, find_part: FindPart) -> RegionPart:
    """The part of a region that a tensor's parameters name."""
    region = as_text(parameters["shared_memory_region"], "shared_memory_region")
    offset, nbytes = (
        as_unsigned(parameters[key], key) if has_member(parameters, key) else 0
        for key in ("shared_memory_offset", "shared_memory_byte_size")
    )
    return find_part(region, offset, nbytes)


def _output_forms(document: Any, find_part: FindPart, regions: dict[str, RegionPart]) -> dict[str, OutputForm]:
    """Forms by output name; what goes into a region is put into `regions`."""
    if not has_member(document, "outputs"):
        return {}
    forms: dict[str, OutputForm] = {}
    for item in array_member(document, "outputs"):
        name, parameters = text_member(item, "name"), member(item, "parameters")
        form = _output_form(parameters)
        if name in forms:
            continue
        forms[name] = form
        if has_member(parameters, "shared_memory_region"):
            regions[name] = _find(parameters, find_part)
    return forms


def _output_form(parameters: Any) -> OutputForm:
    classes = 0
    if has_member(parameters, "classification"):
        classes = as_unsigned(parameters["classification"], "classification")
    is_binary = has_member(parameters, "binary_data") and as_bool(parameters["binary_data"], "binary_data")
    if has_member(parameters, "shared_memory_region"):
        for other, is_set in (("classification", classes), ("binary_data", is_binary)):
            if is_set:
                raise InvalidArgument(f"Output can't set both 'shared_memory_region' and '{other}'")
    return OutputForm(is_binary, classes)
