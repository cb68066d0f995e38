"""`ModelInferRequest` -> `InferCall`, `InferAnswer` -> `ModelInferResponse`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from shoal.core.errors import InvalidArgument
from shoal.gateway.classification import classify
from shoal.gateway.grpc.contents import typed_contents
from shoal.gateway.grpc.model_version import parse_version
from shoal.gateway.grpc.parameters import (
    NO_PARAMETERS,
    find_region,
    read_classes,
    read_request_parameters,
    write_parameters,
)
from shoal.gateway.grpc.schema import service_pb2
from shoal.gateway.grpc.wire import field_prefix, split_field
from shoal.gateway.limits import MAX_RANK, MESSAGE_LIMIT_BYTES
from shoal.gateway.models import ServedVersion
from shoal.gateway.region_part import FindPart, RegionPart
from shoal.gateway.region_tensors import region_input, unread_nbytes
from shoal.gateway.request import InferAnswer, InferCall
from shoal.gateway.scattered import Input, Pieces, joined, tensor_of, views_of

#: From this size on cutting the raw contents out of a request is cheaper than having protobuf copy them.
_SPLIT_FROM_BYTES = 64 * 1024

_RAW_INPUT_CONTENTS = 7
_RAW_OUTPUT_CONTENTS = 6

Buffer = bytes | memoryview
#: A message as it came.
Received = bytes | memoryview | Pieces


class InferMessage(NamedTuple):
    """A parsed `ModelInferRequest` and its raw contents, which may be views of the received message."""

    request: Any  # generated protobuf message, without types
    raw: list[Received]


def decode_infer(message: Received) -> InferMessage:
    """Parse a request. Raises protobuf's DecodeError when it is none."""
    if len(message) < _SPLIT_FROM_BYTES:
        request = service_pb2.ModelInferRequest.FromString(joined(message))
        return InferMessage(request, list(request.raw_input_contents))
    rest, raw = split_field(views_of(message), _RAW_INPUT_CONTENTS)
    return InferMessage(service_pb2.ModelInferRequest.FromString(rest), [*raw])


def to_call(message: InferMessage, deadline_s: float | None, traceparent: str, find_part: FindPart) -> InferCall:
    """The call that a request asks for; its inputs keep the received message alive.

    Raises InvalidArgument in Triton's words, naming model and tensor, when the request contradicts itself, and what
    `find_part` raises for parts of shared-memory regions.
    """
    request = message.request
    settings = read_request_parameters(request.parameters) if request.parameters else NO_PARAMETERS
    inputs, has_regions = _inputs(message, find_part)
    return InferCall(
        model=request.model_name,
        version=parse_version(request.model_version),
        request_id=request.id,
        correlation_id=settings.correlation_id,
        flags=settings.flags,
        priority=settings.priority,
        timeout_us=settings.timeout_us,
        deadline_s=deadline_s,
        inputs=inputs,
        outputs=_outputs(request),
        parameters=dict(settings.parameters),
        traceparent=traceparent,
        region_nbytes=unread_nbytes(inputs) if has_regions else 0,
    )


def wanted_outputs(message: InferMessage, find_part: FindPart) -> tuple[dict[str, int], dict[str, RegionPart]]:
    """What is wanted of outputs instead of their values, by name: so many classes, or to be written to a region.

    Raises InvalidArgument for output parameters that make no sense, and what `find_part` raises.
    """
    classes: dict[str, int] = {}
    regions: dict[str, RegionPart] = {}
    for output in message.request.outputs:
        if output.parameters:
            wanted = read_classes(output.parameters)
            part = find_region(output.parameters, output.name, find_part)
            if wanted:
                classes[output.name] = wanted
            elif part is not None:
                regions[output.name] = part
    return classes, regions


def classified(answer: InferAnswer, classes: Mapping[str, int], served: ServedVersion) -> InferAnswer:
    """The answer with these outputs replaced by their highest classes. Raises InvalidArgument where there are none."""
    is_batching = served.config.max_batch_size > 0
    outputs = (
        classify(output, classes[output.name], is_batching, served.labels.get(output.name, ()))
        if output.name in classes
        else output
        for output in answer.outputs
    )
    return answer._replace(outputs=tuple(outputs))


def encode_answer(answer: InferAnswer) -> list[Buffer]:
    """The response message in pieces, to be joined or written one after another; outputs are not copied.

    Outputs go into `raw_output_contents`, one entry each, in order. Raises InvalidArgument when the whole is larger
    than gRPC can carry.
    """
    response = service_pb2.ModelInferResponse(
        model_name=answer.model, model_version=str(answer.version), id=answer.request_id
    )
    if answer.parameters:
        write_parameters(response.parameters, answer.parameters)
    raw: list[Buffer] = []
    for name, datatype, shape, data in answer.outputs:
        response.outputs.add(name=name, datatype=datatype, shape=shape)
        raw += (field_prefix(_RAW_OUTPUT_CONTENTS, len(data)), data)
    pieces = [response.SerializeToString(), *raw]
    size = sum(map(len, pieces))
    if size > MESSAGE_LIMIT_BYTES:
        raise InvalidArgument(
            f"Response has byte size {size} which exceeds gRPC's byte size limit {MESSAGE_LIMIT_BYTES}."
        )
    return pieces


def _inputs(message: InferMessage, find_part: FindPart) -> tuple[tuple[Input, ...], bool]:
    """The inputs, and whether any is in a region."""
    request, raw = message
    model = request.model_name
    remaining = iter(raw)
    inputs: list[Input] = []
    has_regions = False
    for given in request.inputs:
        name, datatype = given.name, given.datatype
        if len(given.shape) > MAX_RANK:
            raise InvalidArgument(f"input '{name}' has {len(given.shape)} dimensions, expected {MAX_RANK} at most")
        has_contents = given.HasField("contents")
        part = _input_region(given, has_contents, model, find_part) if given.parameters else None
        if part is not None:
            inputs.append(region_input(name, datatype, tuple(given.shape), part))
            has_regions = True
            continue
        if not has_contents:
            data = next(remaining, None)
            if data is None:
                raise InvalidArgument(f"unable to find data for input tensor '{name}' for model '{model}' in request.")
        elif raw:
            raise InvalidArgument(
                f"contents field must not be specified when using raw_input_contents for '{name}' for model '{model}'"
            )
        else:
            data = typed_contents(given.contents, datatype, name, model)
        inputs.append(tensor_of(name, datatype, tuple(given.shape), data))
    return tuple(inputs), has_regions


def _input_region(given: Any, has_contents: bool, model: str, find_part: FindPart) -> RegionPart | None:
    if has_contents and "shared_memory_region" in given.parameters:
        raise InvalidArgument(
            f"unexpected 'content' provided when using shared memory for input tensor '{given.name}' "
            f"for model '{model}'"
        )
    return find_region(given.parameters, given.name, find_part)


def _outputs(request: Any) -> tuple[str, ...]:
    # Asking for an output twice gives it once.
    return tuple(dict.fromkeys(output.name for output in request.outputs))
