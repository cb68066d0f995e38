"""Responses of streams as messages."""

from __future__ import annotations

from typing import Any

from shoal.core.errors import NotFound
from shoal.core.tensors import Tensor
from shoal.gateway.grpc.convert import Buffer
from shoal.gateway.grpc.schema import service_pb2
from shoal.gateway.grpc.stream_response import Asked, encode_end, encode_failure, encode_refusal, encode_streamed
from shoal.gateway.request import InferAnswer

ASKED = Asked("r", "m", "2")


def decoded(pieces: list[Buffer]) -> Any:
    return service_pb2.ModelStreamInferResponse.FromString(b"".join(pieces))


def test_an_answer_says_whether_it_is_the_last_one() -> None:
    answer = InferAnswer("m", 2, "r", (Tensor("Y", "UINT8", (300,), bytes(300)),), {"p": "v"})
    for is_final in (False, True):
        response = decoded(encode_streamed(answer, is_final)).infer_response
        assert (response.id, response.model_name, response.model_version) == ("r", "m", "2")
        assert list(response.raw_output_contents) == [bytes(300)]
        assert response.parameters["p"].string_param == "v"
        assert response.parameters["triton_final_response"].bool_param is is_final
    assert answer.parameters == {"p": "v"}


def test_a_refusal_repeats_the_id_alone() -> None:
    message = decoded(encode_refusal(ASKED, NotFound("no")))
    assert message.error_message == "no"
    assert message.infer_response == service_pb2.ModelInferResponse(id="r")


def test_a_failure_repeats_what_was_asked_for() -> None:
    message = decoded(encode_failure(ASKED, NotFound("no"), False))
    response = message.infer_response
    assert (message.error_message, response.id, response.model_name, response.model_version) == ("no", "r", "m", "2")
    assert not response.parameters["triton_final_response"].bool_param


def test_an_end_is_a_final_response_without_outputs() -> None:
    message = decoded(encode_end(ASKED))
    assert message.error_message == "" and len(message.infer_response.outputs) == 0
    assert message.infer_response.parameters["triton_final_response"].bool_param
