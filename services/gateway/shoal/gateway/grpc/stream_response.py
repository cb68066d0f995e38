"""`ModelStreamInferResponse`: an answer, an error, or the end of a request that had no answer of its own."""

from __future__ import annotations

from typing import NamedTuple

from shoal.core.errors import ShoalError
from shoal.gateway.grpc.convert import Buffer, encode_answer
from shoal.gateway.grpc.schema import service_pb2
from shoal.gateway.grpc.wire import field_prefix
from shoal.gateway.request import InferAnswer

_FINAL = "triton_final_response"
_INFER_RESPONSE = 2


class Asked(NamedTuple):
    """What responses repeat of their request, as it was given."""

    request_id: str
    model: str
    version: str


def encode_streamed(answer: InferAnswer, is_final: bool) -> list[Buffer]:
    """The message in pieces; outputs are not copied. Raises InvalidArgument when it is larger than gRPC can carry."""
    pieces = encode_answer(answer._replace(parameters={**answer.parameters, _FINAL: is_final}))
    return [field_prefix(_INFER_RESPONSE, sum(map(len, pieces))), *pieces]


def encode_refusal(asked: Asked, error: ShoalError) -> list[Buffer]:
    """For a request that was not accepted: of the request Triton repeats its id alone."""
    refusal = service_pb2.ModelStreamInferResponse(error_message=error.message)
    refusal.infer_response.id = asked.request_id
    return [refusal.SerializeToString()]


def encode_failure(asked: Asked, error: ShoalError, is_final: bool) -> list[Buffer]:
    """For an error among the responses to an accepted request."""
    return _encode_empty(asked, error.message, is_final)


def encode_end(asked: Asked) -> list[Buffer]:
    """For a request that ended without a further response."""
    return _encode_empty(asked, "", True)


def _encode_empty(asked: Asked, error: str, is_final: bool) -> list[Buffer]:
    message = service_pb2.ModelStreamInferResponse(error_message=error)
    response = message.infer_response
    response.id, response.model_name, response.model_version = asked
    response.parameters[_FINAL].bool_param = is_final
    return [message.SerializeToString()]
