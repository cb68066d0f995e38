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
    read_classes,
    read_request_parameters,
    refuse_region,
    write_parameters,
)
from shoal.gateway.grpc.schema import service_pb2
from shoal.gateway.grpc.wire import field_prefix, split_field
from shoal.gateway.models import ServedVersion
from shoal.gateway.request import InferAnswer, InferCall
from shoal.gateway.scattered import Input, Pieces, joined, tensor_of, views_of

#: The largest message that gRPC can carry.
MESSAGE_LIMIT_BYTES = 2**31 - 1

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


def to_call(message: InferMessage, deadline_s: float | None, traceparent: str) -> InferCall:
    """The call that a request asks for; its inputs keep the received message alive.

    Raises InvalidArgument in Triton's words, naming model and tensor, when the request contradicts itself.
    """
    request = message.request
    settings = read_request_parameters(request.parameters) if request.parameters else NO_PARAMETERS
    return InferCall(
        model=request.model_name,
        version=parse_version(request.model_version),
        request_id=request.id,
        correlation_id=settings.correlation_id,
        flags=settings.flags,
        priority=settings.priority,
        timeout_us=settings.timeout_us,
        deadline_s=deadline_s,
        inputs=_inputs(message),
        outputs=_outputs(request),
        parameters=dict(settings.parameters),
        traceparent=traceparent,
    )


def wanted_classes(message: InferMessage) -> dict[str, int]:
    """How many classes are wanted by output name, of those outputs that are to be classified.

    Raises InvalidArgument for output parameters that make no sense, NotFound for a shared-memory region.
    """
    given = ((out.name, read_classes(out.parameters, out.name)) for out in message.request.outputs if out.parameters)
    return {name: classes for name, classes in given if classes}


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


def _inputs(message: InferMessage) -> tuple[Input, ...]:
    request, raw = message
    model = request.model_name
    remaining = iter(raw)
    inputs = []
    for given in request.inputs:
        name, datatype = given.name, given.datatype
        has_contents = given.HasField("contents")
        if given.parameters:
            _check_input_parameters(given, has_contents, model)
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
    return tuple(inputs)


def _check_input_parameters(given: Any, has_contents: bool, model: str) -> None:
    if has_contents and "shared_memory_region" in given.parameters:
        raise InvalidArgument(
            f"unexpected 'content' provided when using shared memory for input tensor '{given.name}' "
            f"for model '{model}'"
        )
    refuse_region(given.parameters, given.name)


def _outputs(request: Any) -> tuple[str, ...]:
    # Asking for an output twice gives it once.
    return tuple(dict.fromkeys(output.name for output in request.outputs))
