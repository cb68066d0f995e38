"""gRPC calls as ASGI messages."""

from __future__ import annotations

import asyncio
import gzip
import time
from typing import TYPE_CHECKING, Any

import pytest

from shoal.gateway.grpc import open_calls, stream_flow
from shoal.gateway.grpc.framing import FrameReader, frame
from shoal.gateway.grpc.open_calls import AsgiMessage
from shoal.gateway.grpc.schema import service_pb2
from shoal.gateway.grpc.service import Service
from shoal.gateway.grpc.transport_envoy import EnvoyCalls
from shoal.gateway.scattered import Pieces, joined

if TYPE_CHECKING:
    from tests.unit.gateway.grpc.conftest import GatewayDouble

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


class Connection:
    """One HTTP/2 stream: gives the pieces of a request, collects the answer."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.is_there = True
        self.sent: list[AsgiMessage] = []

    async def receive(self) -> AsgiMessage:
        if not self.is_there:
            return {"type": "http.disconnect"}
        body = self._pieces.pop(0) if self._pieces else b""
        return {"type": "http.request", "body": body, "more_body": bool(self._pieces)}

    async def send(self, message: AsgiMessage) -> None:
        if not self.is_there:
            raise OSError("the client has left")
        self.sent.append(message)

    @property
    def status(self) -> tuple[int, str]:
        """The gRPC status and its text, wherever they stand."""
        headers: dict[bytes, bytes] = {}
        for message in self.sent:
            headers.update(message.get("headers", ()))
        return int(headers[b"grpc-status"]), headers.get(b"grpc-message", b"").decode()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


@pytest.fixture
def calls(gateway: GatewayDouble) -> EnvoyCalls:
    return EnvoyCalls(Service(gateway))


def request(nbytes: int = 4) -> bytes:
    message = service_pb2.ModelInferRequest(model_name="m", raw_input_contents=[bytes(nbytes)])
    message.inputs.add(name="I", datatype="UINT8", shape=[nbytes])
    return frame((message.SerializeToString(),))


async def answer(calls: EnvoyCalls, connection: Connection, path: str = INFER, **headers: str) -> Connection:
    given = {"content-type": "application/grpc+proto"} | {key.replace("_", "-"): text for key, text in headers.items()}
    scope: dict[str, Any] = {
        "type": "http",
        "path": path,
        "headers": [(key.encode(), text.encode()) for key, text in given.items()],
    }
    await calls.answer(scope, connection.receive, connection.send)
    return connection


async def test_an_answer_is_a_frame_and_trailers(calls: EnvoyCalls) -> None:
    connection = await answer(calls, Connection(request()))
    assert [message["type"] for message in connection.sent] == [
        "http.response.start",
        "http.response.body",
        "http.response.trailers",
    ]
    assert connection.sent[0]["trailers"] and connection.status == (0, "")
    response = service_pb2.ModelInferResponse.FromString(connection.body[5:])
    assert list(response.raw_output_contents) == [bytes(4)]


async def test_a_request_may_come_in_pieces(calls: EnvoyCalls, gateway: GatewayDouble) -> None:
    body = request(200_000)
    await answer(calls, Connection(body[:3], body[3:70_000], body[70_000:], b""))
    (tensor,) = gateway.calls[0].inputs
    assert isinstance(tensor.data, Pieces)
    assert len(tensor.data) == 200_000


async def test_a_failure_stands_in_the_headers(calls: EnvoyCalls) -> None:
    message = service_pb2.ModelInferRequest(model_name="nobody").SerializeToString()
    connection = await answer(calls, Connection(frame((message,))))
    assert connection.status == (5, "Request for unknown model: 'nobody' is not found")
    assert connection.body == b"" and not connection.sent[0].get("trailers")


@pytest.mark.parametrize("limit", [0, 10**9])
async def test_compressed_requests_are_served(
    calls: EnvoyCalls, gateway: GatewayDouble, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.gateway.grpc.transport_envoy._ASIDE_FROM_BYTES", limit)
    packed = gzip.compress(request(1000)[5:])
    await answer(calls, Connection(b"\1" + len(packed).to_bytes(4) + packed), grpc_encoding="gzip")
    assert len(gateway.calls[0].inputs[0].data) == 1000


async def test_a_method_that_is_not_served_is_refused_unread(calls: EnvoyCalls) -> None:
    connection = Connection(request(), request())
    await answer(calls, connection, "/inference.GRPCInferenceService/Nothing")
    assert connection.status[0] == 12
    assert (await connection.receive())["body"] == request()


async def test_what_is_not_grpc_is_refused(calls: EnvoyCalls) -> None:
    connection = await answer(calls, Connection(b"{}"), content_type="application/json")
    assert connection.sent[0]["status"] == 415


async def test_the_trace_context_reaches_the_gateway(calls: EnvoyCalls, gateway: GatewayDouble) -> None:
    await answer(calls, Connection(request()), traceparent="00-t")
    assert gateway.calls[0].traceparent == "00-t"


async def test_a_deadline_cancels_the_request(calls: EnvoyCalls, gateway: GatewayDouble) -> None:
    gateway.silent = True
    begin_s = time.monotonic()
    connection = await answer(calls, Connection(request()), grpc_timeout="50m")
    assert connection.status == (4, "Deadline Exceeded")
    assert gateway.cancelled == 1
    deadline_s = gateway.calls[0].deadline_s
    assert deadline_s is not None and 0.04 < deadline_s - begin_s < 1
    assert len(calls.open) == 0


async def test_a_client_that_leaves_cancels_the_request(
    calls: EnvoyCalls, gateway: GatewayDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_calls, "ASK_EVERY_S", 0.01)
    gateway.silent = True
    connection = Connection(request())
    answering = asyncio.create_task(answer(calls, connection))
    await asyncio.sleep(0.05)
    connection.is_there = False
    await asyncio.wait_for(answering, 1)
    assert gateway.cancelled == 1 and connection.sent == []


async def test_a_client_that_leaves_while_sending_causes_no_call(calls: EnvoyCalls, gateway: GatewayDouble) -> None:
    connection = Connection(request()[:7], request()[7:])
    receive = connection.receive

    async def leave_after_one_piece() -> AsgiMessage:
        message = await receive()
        connection.is_there = False
        return message

    connection.receive = leave_after_one_piece  # type: ignore[method-assign]
    await answer(calls, connection)
    assert gateway.calls == [] and connection.sent == []


async def test_a_client_that_left_before_its_answer_is_no_error(calls: EnvoyCalls, gateway: GatewayDouble) -> None:
    connection = Connection(request())

    async def leave(message: AsgiMessage) -> None:
        raise OSError("the client has left")

    connection.send = leave  # type: ignore[method-assign]
    await answer(calls, connection)
    assert len(gateway.calls) == 1


async def test_a_message_that_is_too_large_is_refused_before_it_is_received(gateway: GatewayDouble) -> None:
    calls = EnvoyCalls(Service(gateway), limit_nbytes=1000)
    connection = Connection(request(2000)[:100], request(2000)[100:200], b"never asked for")
    await answer(calls, connection)
    assert connection.status[0] == 8
    assert (await connection.receive())["body"] != b""


async def test_broken_time_limits_are_told(calls: EnvoyCalls) -> None:
    assert (await answer(calls, Connection(request()), grpc_timeout="soon")).status[0] == 13


def stream_responses(connection: Connection) -> list[Any]:
    reader = FrameReader()
    reader.feed(connection.body)
    found = []
    while (received := reader.next()) is not None:
        message = joined(received.message)
        if received.is_compressed:
            message = gzip.decompress(message)
        found.append(service_pb2.ModelStreamInferResponse.FromString(message))
    return found


@pytest.mark.parametrize("cut", [1, 7, 10_000])
async def test_a_stream_is_frames_in_and_frames_out(calls: EnvoyCalls, cut: int) -> None:
    body = request(4) + request(500)
    pieces = [body[start : start + cut] for start in range(0, len(body), cut)]
    connection = await answer(calls, Connection(*pieces), STREAM)
    assert connection.status == (0, "")
    assert [message["type"] for message in connection.sent[-2:]] == ["http.response.body", "http.response.trailers"]
    sizes = [len(response.infer_response.raw_output_contents[0]) for response in stream_responses(connection)]
    assert sizes == [4, 500]


async def test_messages_of_a_stream_may_be_compressed(calls: EnvoyCalls, gateway: GatewayDouble) -> None:
    packed = gzip.compress(request(1000)[5:])
    frames = b"\1" + len(packed).to_bytes(4) + packed + request(4)
    await answer(calls, Connection(frames), STREAM, grpc_encoding="gzip")
    assert [len(call.inputs[0].data) for call in gateway.calls] == [1000, 4]


async def test_the_status_of_a_stream_stands_in_its_trailers(calls: EnvoyCalls) -> None:
    connection = await answer(calls, Connection(request()[:7]), STREAM)
    assert connection.sent[-1]["type"] == "http.response.trailers"
    assert connection.status == (13, "request stream ends in the middle of a message, 2 bytes of it came")


async def test_a_deadline_ends_a_stream_and_its_requests(calls: EnvoyCalls, gateway: GatewayDouble) -> None:
    gateway.silent = True
    connection = await answer(calls, Connection(request()), STREAM, grpc_timeout="50m")
    assert connection.status == (4, "Deadline Exceeded")
    assert gateway.cancelled == 1 and len(calls.open) == 0


async def test_writing_is_not_cancelled_with_the_stream(calls: EnvoyCalls) -> None:
    finished: list[AsgiMessage] = []

    class SlowReader(Connection):
        async def send(self, message: AsgiMessage) -> None:
            await asyncio.sleep(0.05)
            await super().send(message)
            finished.append(message)

    connection = await answer(calls, SlowReader(request(), request()), STREAM, grpc_timeout="70m")
    await asyncio.sleep(0.06)
    assert connection.status == (4, "Deadline Exceeded")
    assert [message["type"] for message in finished].count("http.response.start") == 1
    assert len(stream_responses(connection)) == 1


class Listener(Connection):
    """A stream whose client sends nothing more after its pieces and does not close its half."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(*pieces, b"")
        self.left = asyncio.Event()

    async def receive(self) -> AsgiMessage:
        if self._pieces != [b""]:
            return await super().receive()
        await self.left.wait()
        return {"type": "http.disconnect"}


async def test_a_client_that_leaves_its_open_stream_cancels_its_requests(
    calls: EnvoyCalls, gateway: GatewayDouble
) -> None:
    gateway.silent = True
    connection = Listener(request())
    answering = asyncio.create_task(answer(calls, connection, STREAM))
    await asyncio.sleep(0.02)
    assert gateway.calls and not answering.done()
    connection.left.set()
    await asyncio.wait_for(answering, 1)
    assert gateway.cancelled == 1


@pytest.mark.parametrize("requests", [1, 2])
async def test_a_client_that_leaves_while_nothing_is_read_cancels_its_requests(
    calls: EnvoyCalls, gateway: GatewayDouble, monkeypatch: pytest.MonkeyPatch, requests: int
) -> None:
    """Its half is closed, or more would come than may be in flight."""
    monkeypatch.setattr(open_calls, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(stream_flow, "_MAX_REQUESTS", 1)
    gateway.silent = True
    connection = Connection(*(request() for _ in range(requests)))
    answering = asyncio.create_task(answer(calls, connection, STREAM))
    await asyncio.sleep(0.05)
    assert len(gateway.calls) == 1 and not answering.done()
    connection.is_there = False
    await asyncio.wait_for(answering, 1)
    assert gateway.cancelled == 1


async def test_a_stream_that_is_not_read_any_more_ends_quietly(calls: EnvoyCalls) -> None:
    connection = Connection(request())
    connection.is_there = False
    await answer(calls, connection, STREAM)
    assert connection.sent == [] and len(calls.open) == 0


@pytest.mark.parametrize("path", [INFER, STREAM])
async def test_responses_are_compressed_for_clients_that_can_read_it(gateway: GatewayDouble, path: str) -> None:
    calls = EnvoyCalls(Service(gateway), "low")
    connection = await answer(calls, Connection(request(5000)), path, grpc_accept_encoding="identity, gzip")
    assert (b"grpc-encoding", b"gzip") in connection.sent[0]["headers"]
    assert connection.body[0] == 1 and len(connection.body) < 1000
    plain = await answer(calls, Connection(request(5000)), path)
    assert plain.body[0] == 0 and len(plain.body) > 5000


async def test_other_responses_are_not_compressed(gateway: GatewayDouble) -> None:
    calls = EnvoyCalls(Service(gateway), "high")
    path = "/inference.GRPCInferenceService/ServerMetadata"
    connection = await answer(calls, Connection(frame((b"",))), path, grpc_accept_encoding="gzip")
    assert connection.body[0] == 0
