"""Requests become calls, answers become responses."""

from __future__ import annotations

from typing import Any

import pytest

from region_parts import BytesRegion, no_part
from shoal.core.errors import InvalidArgument, NotFound
from shoal.core.tensors import Tensor
from shoal.gateway.grpc import convert
from shoal.gateway.grpc.convert import decode_infer, encode_answer, to_call
from shoal.gateway.grpc.schema import DecodeError, service_pb2
from shoal.gateway.region_part import RegionPart
from shoal.gateway.request import InferAnswer, InferCall
from shoal.gateway.scattered import contiguous


def request(*raw: bytes, **fields: Any) -> Any:
    message = service_pb2.ModelInferRequest(model_name="m", raw_input_contents=raw, **fields)
    for index in range(len(raw)):
        message.inputs.add(name=f"I{index}", datatype="UINT8", shape=[len(raw[index])])
    return message


def call(message: Any) -> InferCall:
    return to_call(decode_infer(message.SerializeToString()), None, "", no_part)


def test_a_request_becomes_a_call() -> None:
    message = request(b"ab", b"", id="r", model_version="2")
    message.outputs.add(name="O1")
    message.outputs.add(name="O0")
    message.parameters["k"].int64_param = 1
    assert to_call(decode_infer(message.SerializeToString()), 12.5, "00-t", no_part) == InferCall(
        model="m",
        version=2,
        request_id="r",
        correlation_id=0,
        flags=0,
        priority=0,
        timeout_us=0,
        deadline_s=12.5,
        inputs=(Tensor("I0", "UINT8", (2,), b"ab"), Tensor("I1", "UINT8", (0,), b"")),
        outputs=("O1", "O0"),
        parameters={"k": 1},
        traceparent="00-t",
    )


def test_large_inputs_are_views_of_the_received_message() -> None:
    received = request(bytes(100_000), b"x").SerializeToString()
    inputs = to_call(decode_infer(received), None, "", no_part).inputs
    assert [len(tensor.data) for tensor in inputs] == [100_000, 1]
    assert all(isinstance(tensor.data, memoryview) and tensor.data.obj is received for tensor in inputs)


def test_an_output_asked_for_twice_is_given_once() -> None:
    message = request(b"a")
    for name in ("O", "P", "O"):
        message.outputs.add(name=name)
    assert call(message).outputs == ("O", "P")


def test_typed_contents_are_encoded() -> None:
    message = service_pb2.ModelInferRequest(model_name="m")
    message.inputs.add(name="I", datatype="INT16", shape=[2]).contents.int_contents.extend([1, 2])
    assert call(message).inputs == (Tensor("I", "INT16", (2,), b"\x01\x00\x02\x00"),)


def test_an_empty_tensor_may_come_as_empty_typed_contents() -> None:
    message = service_pb2.ModelInferRequest(model_name="m")
    message.inputs.add(name="I", datatype="FP32", shape=[0]).contents.SetInParent()
    assert call(message).inputs == (Tensor("I", "FP32", (0,), b""),)


def test_surplus_raw_contents_are_ignored() -> None:
    message = request(b"a")
    message.raw_input_contents.append(b"surplus")
    assert len(call(message).inputs) == 1


def test_an_input_without_data_is_refused() -> None:
    message = request(b"a")
    message.inputs.add(name="RIGHT", datatype="UINT8", shape=[1])
    with pytest.raises(InvalidArgument) as caught:
        call(message)
    assert caught.value.message == "unable to find data for input tensor 'RIGHT' for model 'm' in request."


def test_more_dimensions_than_anything_takes_are_refused() -> None:
    message = request(b"")
    message.inputs.add(name="I", datatype="UINT8", shape=[1] * 257)
    with pytest.raises(InvalidArgument, match="input 'I' has 257 dimensions, expected 256 at most"):
        call(message)


def test_raw_and_typed_contents_exclude_each_other() -> None:
    message = request(b"a")
    message.inputs[0].contents.uint_contents.append(1)
    with pytest.raises(InvalidArgument) as caught:
        call(message)
    assert caught.value.message == (
        "contents field must not be specified when using raw_input_contents for 'I0' for model 'm'"
    )


def test_contents_for_a_shared_memory_input_are_refused() -> None:
    message = request()
    given = message.inputs.add(name="I", datatype="UINT8", shape=[1])
    given.parameters["shared_memory_region"].string_param = "r"
    given.contents.uint_contents.append(1)
    with pytest.raises(InvalidArgument) as caught:
        call(message)
    assert caught.value.message == (
        "unexpected 'content' provided when using shared memory for input tensor 'I' for model 'm'"
    )


def test_an_unknown_region_is_not_found() -> None:
    message = request()
    given = message.inputs.add(name="I", datatype="UINT8")
    given.parameters["shared_memory_region"].string_param = "r"
    given.parameters["shared_memory_byte_size"].int64_param = 1
    with pytest.raises(NotFound):
        call(message)


def test_an_input_in_a_region_takes_no_raw_contents() -> None:
    message = request(b"ab", b"cd")
    for index, nbytes in ((0, 3), (2, 5000)):
        given = service_pb2.ModelInferRequest.InferInputTensor(name=f"R{index}", datatype="UINT8", shape=[nbytes])
        given.parameters["shared_memory_region"].string_param = "r"
        given.parameters["shared_memory_byte_size"].int64_param = nbytes
        message.inputs.insert(index, given)
    content = bytes(range(250)) * 20
    received = decode_infer(message.SerializeToString())
    found = to_call(received, None, "", lambda name, *place: RegionPart(BytesRegion(content), *place))
    assert [bytes(contiguous(tensor).data) for tensor in found.inputs] == [content[:3], b"ab", content, b"cd"]
    assert found.region_nbytes == 5000


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x3a\xff" + bytes(70_000)])
def test_bytes_that_are_no_request_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_infer(data)


def test_an_answer_becomes_a_response() -> None:
    outputs = (Tensor("A", "UINT8", (2,), memoryview(b"ab")), Tensor("B", "BYTES", (0,), b""))
    pieces = encode_answer(InferAnswer("m", 3, "r", outputs, {"n": 1}))
    response = service_pb2.ModelInferResponse.FromString(b"".join(pieces))
    expected = service_pb2.ModelInferResponse(
        model_name="m", model_version="3", id="r", raw_output_contents=[b"ab", b""]
    )
    expected.outputs.add(name="A", datatype="UINT8", shape=[2])
    expected.outputs.add(name="B", datatype="BYTES", shape=[0])
    expected.parameters["n"].int64_param = 1
    assert response == expected


def test_outputs_are_not_copied() -> None:
    data = memoryview(bytes(10))
    assert any(
        piece is data for piece in encode_answer(InferAnswer("m", 1, "", (Tensor("A", "INT8", (10,), data),), {}))
    )


def test_a_response_beyond_grpcs_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "MESSAGE_LIMIT_BYTES", 50)
    with pytest.raises(InvalidArgument, match=r"Response has byte size \d+ which exceeds gRPC's byte size limit 50."):
        encode_answer(InferAnswer("m", 1, "", (Tensor("A", "INT8", (60,), bytes(60)),), {}))
