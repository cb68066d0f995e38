"""Streams of requests to any models on top of a gateway in memory."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from shoal.core.errors import NotFound, Unavailable
from shoal.core.tensors import Tensor
from shoal.gateway.grpc import stream_flow
from shoal.gateway.grpc.rpc import CallContext
from shoal.gateway.grpc.schema import DecodeError, service_pb2
from shoal.gateway.grpc.status import ClientLeft, RpcError
from shoal.gateway.grpc.stream_flow import Message
from shoal.gateway.grpc.stream_infer import InferStreams
from shoal.gateway.request import InferAnswer, InferCall, StreamedAnswer

if TYPE_CHECKING:
    from tests.unit.gateway.grpc.conftest import GatewayDouble

NO_CONTEXT = CallContext()
STATUS_WANTED = CallContext(None, {b"triton_grpc_error": b"true"})
STOPPING = "GRPC server is shutting down and has stopped accepting new requests."


def request(model: str = "m", request_id: str = "", value: bytes = b"abcd", version: str = "", **more: bool) -> bytes:
    message = service_pb2.ModelInferRequest(
        model_name=model, model_version=version, id=request_id, raw_input_contents=[value]
    )
    message.inputs.add(name="INPUT0", datatype="FP32", shape=[1])
    for key, flag in more.items():
        message.parameters[key].bool_param = flag
    return bytes(message.SerializeToString())


def answer(call: InferCall, value: bytes, is_final: bool = False) -> StreamedAnswer:
    tensor = Tensor("OUT", "FP32", (1,), value)
    return StreamedAnswer(InferAnswer(call.model, 3, call.request_id, (tensor,), {"p": 1}), None, is_final)


END = StreamedAnswer(None, None, True)


class Client:
    """One stream. `send` gives it requests, `end` closes its sending half; what was written is in `responses`.

    While `is_slow` is set, the writer does not return.
    """

    def __init__(self, gateway: GatewayDouble, context: CallContext = NO_CONTEXT) -> None:
        self.streams = InferStreams(gateway)
        self.responses: list[Any] = []
        self.read = 0
        self.fast = asyncio.Event()
        self.fast.set()
        self._requests: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.serving = asyncio.create_task(self.streams.serve(self._messages(), context, self._write))

    def send(self, *requests: bytes | Exception) -> None:
        for item in requests:
            self._requests.put_nowait(item)

    async def end(self) -> list[Any]:
        """Close the sending half; everything that was answered."""
        self._requests.put_nowait(None)
        await self.serving
        return self.responses

    async def settle(self) -> list[Any]:
        """Everything that was answered after some turns of the event loop."""
        for _ in range(20):
            await asyncio.sleep(0)
        return self.responses

    async def _messages(self) -> AsyncIterator[bytes]:
        while (item := await self._requests.get()) is not None:
            if isinstance(item, Exception):
                raise item
            self.read += 1
            yield item
            del item

    async def _write(self, messages: list[Message]) -> None:
        self.responses += [service_pb2.ModelStreamInferResponse.FromString(b"".join(parts)) for parts in messages]
        await self.fast.wait()


def ids(responses: list[Any]) -> list[str]:
    return [response.infer_response.id for response in responses]


def is_final(response: Any) -> bool:
    return bool(response.infer_response.parameters["triton_final_response"].bool_param)


def script_of(*given: StreamedAnswer) -> Any:
    """A script that gives these."""

    async def script(call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        for item in given:
            yield item

    return script


def add_decoupled(gateway: GatewayDouble, name: str, script: Any) -> None:
    gateway.add_model(name, model_transaction_policy={"decoupled": True})
    gateway.scripts[name] = script


async def test_an_answer_comes_back_with_its_final_flag(gateway: GatewayDouble) -> None:
    client = Client(gateway)
    client.send(request(request_id="r", value=b"wxyz"))
    (response,) = await client.end()
    got = response.infer_response
    assert (response.error_message, got.id, got.model_name, got.model_version) == ("", "r", "m", "1")
    assert list(got.raw_output_contents) == [b"wxyz"] and got.parameters["seen"].bool_param and is_final(response)


async def test_a_stream_without_requests_ends_without_responses(gateway: GatewayDouble) -> None:
    assert await Client(gateway).end() == []


async def test_deadline_and_trace_of_the_stream_are_those_of_its_requests(gateway: GatewayDouble) -> None:
    client = Client(gateway, CallContext(5.0, {b"traceparent": b"00-t"}))
    client.send(request())
    await client.end()
    assert [(call.deadline_s, call.traceparent) for call in gateway.calls] == [(5.0, "00-t")]


async def test_answers_of_ordinary_models_keep_the_order_of_their_requests(gateway: GatewayDouble) -> None:
    gateway.add_model("slow")
    release = asyncio.Event()

    async def slow(call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        await release.wait()
        yield answer(call, b"slow", is_final=True)

    gateway.scripts["slow"] = slow
    client = Client(gateway)
    client.send(request("slow", "1"), request("m", "2"), request("nobody", "3"), request("slow", "4"))
    assert await client.settle() == []
    release.set()
    assert ids(await client.end()) == ["1", "2", "3", "4"]


async def test_answers_of_decoupled_models_overtake(gateway: GatewayDouble) -> None:
    gateway.silent = True
    add_decoupled(gateway, "d", lambda call: script_of(answer(call, b"0000"), answer(call, b"1111"), END)(call))
    client = Client(gateway)
    client.send(request("m", "plain"), request("d", "a"))
    responses = await client.settle()
    assert ids(responses) == ["a", "a"]
    assert [response.infer_response.raw_output_contents[0] for response in responses] == [b"0000", b"1111"]
    assert [is_final(response) for response in responses] == [False, False]
    client.serving.cancel()


async def test_a_final_flag_may_come_with_the_last_response(gateway: GatewayDouble) -> None:
    add_decoupled(
        gateway, "d", lambda call: script_of(answer(call, b"0000"), answer(call, b"1111", is_final=True))(call)
    )
    client = Client(gateway)
    client.send(request("d", triton_enable_empty_final_response=True))
    assert [is_final(response) for response in await client.end()] == [False, True]


@pytest.mark.parametrize("is_wanted", [False, True])
async def test_an_end_without_a_response_is_told_to_who_asked_for_it(gateway: GatewayDouble, is_wanted: bool) -> None:
    add_decoupled(gateway, "d", script_of(END))
    client = Client(gateway)
    client.send(request("d", "r", version="2", triton_enable_empty_final_response=is_wanted))
    responses = await client.end()
    assert len(responses) == is_wanted
    for response in responses:
        got = response.infer_response
        assert (got.id, got.model_name, got.model_version, len(got.outputs)) == ("r", "d", "2", 0)
        assert is_final(response) and response.error_message == ""


async def test_a_request_that_is_not_accepted_is_refused_with_its_id_alone(gateway: GatewayDouble) -> None:
    gateway.failure = NotFound("look elsewhere")
    client = Client(gateway)
    client.send(request("m", "r", version="1"))
    (response,) = await client.end()
    assert response.error_message == "look elsewhere"
    assert response.infer_response == service_pb2.ModelInferResponse(id="r")


async def test_a_contradictory_request_does_not_end_the_stream(gateway: GatewayDouble) -> None:
    client = Client(gateway)
    client.send(request("m", "bad", triton_secret=True), request("m", "worse", version="x"), request("m", "good"))
    responses = await client.end()
    assert ids(responses) == ["bad", "worse", "good"]
    assert [bool(response.error_message) for response in responses] == [True, True, False]


async def test_an_error_among_the_responses_names_model_and_version_as_given(gateway: GatewayDouble) -> None:
    failed = StreamedAnswer(None, NotFound("drop 1 is bad"), False)
    add_decoupled(gateway, "d", lambda call: script_of(failed, answer(call, b"2222"), END)(call))
    client = Client(gateway)
    client.send(request("d", "r"))
    first, second = await client.end()
    got = first.infer_response
    assert (first.error_message, got.id, got.model_name, got.model_version) == ("drop 1 is bad", "r", "d", "")
    assert not is_final(first) and second.error_message == ""


async def test_an_answer_that_cannot_be_shown_is_an_error_among_the_responses(gateway: GatewayDouble) -> None:
    message = service_pb2.ModelInferRequest(model_name="m", id="r", raw_input_contents=[b"\1"])
    message.inputs.add(name="B", datatype="BOOL", shape=[1])
    message.outputs.add(name="B").parameters["classification"].int64_param = 1
    client = Client(gateway)
    client.send(message.SerializeToString())
    (response,) = await client.end()
    assert response.error_message == "class result not available for output due to unsupported type 'BOOL'"
    assert is_final(response)


async def test_an_unexpected_failure_of_one_request_leaves_the_others_alone(gateway: GatewayDouble) -> None:
    async def broken(call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        raise KeyError("/secret/path")
        yield  # a generator

    gateway.add_model("broken")
    gateway.scripts["broken"] = broken
    client = Client(gateway)
    client.send(request("broken", "1"), request("m", "2"))
    first, second = await client.end()
    assert first.error_message == "unexpected KeyError in the server; its log has the details"
    assert ids([first, second]) == ["1", "2"]


@pytest.mark.parametrize(
    ("first", "status", "text"),
    [
        (request("nobody"), 5, "Request for unknown model: 'nobody' is not found"),
        (request("d"), 14, "gone"),
    ],
)
async def test_a_client_may_ask_for_a_status_instead_of_error_messages(
    gateway: GatewayDouble, first: bytes, status: int, text: str
) -> None:
    add_decoupled(gateway, "d", script_of(StreamedAnswer(None, Unavailable("gone"), True)))
    gateway.add_model("silent")
    gateway.scripts["silent"] = lambda call: _never()
    client = Client(gateway, STATUS_WANTED)
    client.send(request("m", "good"), first, request("silent"))
    with pytest.raises(RpcError) as caught:
        await client.end()
    assert (caught.value.status, caught.value.message) == (status, text)
    assert ids(client.responses) == ["good"]


async def _never() -> AsyncGenerator[StreamedAnswer, None]:
    await asyncio.Event().wait()
    yield END


async def test_a_message_that_is_no_request_ends_the_stream(gateway: GatewayDouble) -> None:
    client = Client(gateway)
    client.send(b"\xff\xff")
    with pytest.raises(DecodeError):
        await client.end()


async def test_a_client_that_leaves_cancels_its_requests(gateway: GatewayDouble) -> None:
    gateway.silent = True
    client = Client(gateway)
    client.send(request(), request())
    await client.settle()
    client.send(ClientLeft())
    with pytest.raises(ClientLeft):
        await client.end()
    assert gateway.cancelled == 2


async def test_a_cancelled_stream_cancels_its_requests(gateway: GatewayDouble) -> None:
    gateway.silent = True
    client = Client(gateway)
    client.send(request())
    await client.settle()
    client.serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.serving
    assert gateway.cancelled == 1


async def test_a_message_is_let_go_of_while_its_request_is_executed(gateway: GatewayDouble) -> None:
    executing = asyncio.Event()

    async def silent(call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        gateway.calls.clear()
        del call
        executing.set()
        await asyncio.Event().wait()
        yield END

    gateway.add_model("large")
    gateway.scripts["large"] = silent
    message = service_pb2.ModelInferRequest(model_name="large", raw_input_contents=[bytes(100_000)])
    message.inputs.add(name="INPUT0", datatype="UINT8", shape=[100_000])
    body = bytes(message.SerializeToString())
    before = sys.getrefcount(body)
    client = Client(gateway)
    client.send(body)
    await executing.wait()
    await client.settle()
    assert sys.getrefcount(body) == before
    client.serving.cancel()


async def test_reading_pauses_while_as_much_as_allowed_is_in_flight(
    gateway: GatewayDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_flow, "_MAX_REQUESTS", 3)
    gateway.silent = True
    client = Client(gateway)
    client.send(*[request() for _ in range(5)])
    await client.settle()
    assert client.read == 3
    client.serving.cancel()


async def test_a_slow_reader_holds_up_the_model(gateway: GatewayDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_flow, "_MAX_WAITING", 4)
    given = 0

    async def endless(call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        nonlocal given
        while True:
            given += 1
            yield answer(call, b"0000")

    add_decoupled(gateway, "d", endless)
    client = Client(gateway)
    client.fast.clear()
    client.send(request("d"))
    await client.settle()
    assert len(client.responses) + 4 >= given
    held = given
    await client.settle()
    assert given == held
    client.serving.cancel()


async def test_a_winding_up_stream_answers_what_it_accepted_and_ends_with_a_status(gateway: GatewayDouble) -> None:
    gateway.add_model("slow")
    release = asyncio.Event()

    async def slow(call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        await release.wait()
        yield answer(call, b"slow", is_final=True)

    gateway.scripts["slow"] = slow
    client = Client(gateway)
    client.send(request("slow", "1"))
    await client.settle()
    client.streams.wind_up()
    client.send(request("m", "2"))
    await client.settle()
    release.set()
    with pytest.raises(RpcError) as caught:
        await client.serving
    assert (caught.value.status, caught.value.message) == (14, STOPPING)
    assert [
        (id_, response.error_message) for id_, response in zip(ids(client.responses), client.responses, strict=True)
    ] == [
        ("1", ""),
        ("2", STOPPING),
    ]


async def test_an_idle_stream_ends_at_once_when_it_winds_up(gateway: GatewayDouble) -> None:
    client = Client(gateway)
    await client.settle()
    client.streams.wind_up()
    with pytest.raises(RpcError):
        await client.serving
