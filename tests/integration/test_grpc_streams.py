"""Streams over both gRPC transports as real processes with the official clients."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as client
import tritonclient.grpc.aio as aio_client
from tritonclient.utils import InferenceServerException

from grpc_echo_server import Server, listening, start

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
WITHIN_S = 20.0

# tritonclient has no types: requests, results and parts of responses are `Any`.


@pytest.fixture(scope="module", params=["envoy", "grpcio"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def server(transport: str) -> Iterator[Server]:
    with start(transport, "--grpc-infer-response-compression-level=low") as process:
        try:
            yield listening(process)
        finally:
            process.kill()


@pytest.fixture
def triton(server: Server) -> Iterator[Any]:
    triton = client.InferenceServerClient(server.url)
    yield triton
    triton.close()


class Stream:
    """An open stream of a client; `next` is what its callback got: a result or an error."""

    def __init__(self, triton: Any, **more: Any) -> None:
        self._triton = triton
        self._got: queue.Queue[tuple[Any, Any]] = queue.Queue()
        triton.start_stream(lambda result, error: self._got.put((result, error)), **more)

    def ask(self, model: str, request_id: str = "", values: Any = (7.0,), **more: Any) -> None:
        self._triton.async_stream_infer(model, tensor(values), request_id=request_id, **more)

    def next(self) -> tuple[Any, Any]:
        return self._got.get(timeout=WITHIN_S)

    def responses(self, count: int) -> list[tuple[str, list[float] | None, bool]]:
        """Id, values and final flag of so many responses."""
        found = []
        for _ in range(count):
            result, error = self.next()
            assert error is None, error
            response, values = result.get_response(), result.as_numpy("INPUT0")
            is_final = response.parameters["triton_final_response"].bool_param
            found.append((response.id, None if values is None else values.tolist(), is_final))
        return found


def tensor(values: Any) -> list[Any]:
    array = np.asarray(values, np.float32)
    given = client.InferInput("INPUT0", list(array.shape), "FP32")
    given.set_data_from_numpy(array)
    return [given]


def request(model: str) -> bytes:
    """A message, for streams that a client handles itself."""
    message = client.service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[b"abcd"])
    message.inputs.add(name="INPUT0", datatype="FP32", shape=[1])
    return bytes(message.SerializeToString())


def count(triton: Any, model: str) -> int:
    return int(triton.infer(model, tensor([0.0])).as_numpy("COUNT")[0])


def wait_for_cancelled(triton: Any, expected: int) -> None:
    deadline = time.monotonic() + WITHIN_S
    while count(triton, "cancelled") < expected:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ordinary_and_decoupled_models_share_a_stream(triton: Any) -> None:
    stream = Stream(triton)
    stream.ask("late", "1", [1.0])
    stream.ask("echo", "2", [2.0])
    stream.ask("decoupled", "d", [5.0, 6.0], enable_empty_final_response=True)
    responses = stream.responses(5)
    assert [response for response in responses if response[0] == "d"] == [
        ("d", [5.0], False),
        ("d", [6.0], False),
        ("d", None, True),
    ]
    assert [response for response in responses if response[0] != "d"] == [("1", [1.0], True), ("2", [2.0], True)]
    triton.stop_stream()


def test_an_error_leaves_the_stream_open(triton: Any) -> None:
    stream = Stream(triton)
    stream.ask("nobody", "bad")
    _, error = stream.next()
    assert error.message() == "Request for unknown model: 'nobody' is not found"
    stream.ask("echo", "good")
    assert stream.responses(1) == [("good", [7.0], True)]
    triton.stop_stream()


def test_an_error_may_end_the_stream_with_its_status(triton: Any) -> None:
    stream = Stream(triton, headers={"triton_grpc_error": "true"})
    stream.ask("nobody")
    _, error = stream.next()
    assert (error.status(), error.message()) == (
        "StatusCode.NOT_FOUND",
        "Request for unknown model: 'nobody' is not found",
    )
    triton.stop_stream()


def test_more_requests_than_may_be_in_flight_are_all_answered_in_order(triton: Any) -> None:
    stream = Stream(triton)
    for number in range(600):
        stream.ask("echo", str(number), [float(number)])
    assert stream.responses(600) == [(str(number), [float(number)], True) for number in range(600)]
    triton.stop_stream()


@pytest.mark.parametrize("algorithm", [None, "gzip", "deflate"])
def test_large_and_compressed_messages_travel_on_a_stream(triton: Any, algorithm: str | None) -> None:
    values = np.random.default_rng(0).random(1_500_000, dtype=np.float32)
    stream = Stream(triton, compression_algorithm=algorithm)
    stream.ask("echo", "r", values)
    result, error = stream.next()
    assert error is None
    np.testing.assert_array_equal(result.as_numpy("INPUT0"), values)
    triton.stop_stream()


async def test_the_aio_client_streams(server: Server) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number in range(3):
            values = [float(number), float(number)]
            yield {"model_name": "decoupled", "inputs": tensor(values), "request_id": str(number)}

    async with aio_client.InferenceServerClient(server.url) as triton:
        got = []
        async with asyncio.timeout(WITHIN_S):
            async for result, error in triton.stream_infer(requests()):
                assert error is None
                got.append((result.get_response().id, result.as_numpy("INPUT0").tolist()))
    assert sorted(got) == [(str(number), [float(number)]) for number in range(3) for _ in range(2)]


def test_a_deadline_ends_the_stream_and_cancels_its_requests(triton: Any) -> None:
    before = count(triton, "cancelled")
    stream = Stream(triton, stream_timeout=0.5)
    stream.ask("slow")
    stream.ask("slow")
    _, error = stream.next()
    assert error.status() == "StatusCode.DEADLINE_EXCEEDED"
    wait_for_cancelled(triton, before + 2)
    triton.stop_stream()


@pytest.mark.parametrize("closes_first", [False, True])
def test_a_client_that_cancels_its_stream_cancels_its_requests(server: Server, triton: Any, closes_first: bool) -> None:
    before = count(triton, "cancelled")
    hold: queue.Queue[None] = queue.Queue()

    def requests() -> Iterator[bytes]:
        yield request("slow")
        if not closes_first:
            hold.get(timeout=WITHIN_S)

    with grpc.insecure_channel(server.url) as channel:
        call = channel.stream_stream(STREAM)(requests(), timeout=WITHIN_S)
        time.sleep(0.3)
        assert count(triton, "cancelled") == before
        call.cancel()
        hold.put(None)
        wait_for_cancelled(triton, before + 1)


def test_a_slow_reader_holds_up_the_model(server: Server, triton: Any) -> None:
    with grpc.insecure_channel(server.url) as channel:
        call = channel.stream_stream(STREAM)(iter([request("endless")]), timeout=WITHIN_S)
        next(iter(call))
        taken = -1
        deadline = time.monotonic() + WITHIN_S
        while taken != (now := count(triton, "taken")):
            taken = now
            assert time.monotonic() < deadline
            time.sleep(0.5)
        # What HTTP/2's windows, the transport's buffers and ours hold of 64 KiB responses.
        assert taken < 1000
        call.cancel()


class CountingLink:
    """One connection to a server by way of `port`; `received_nbytes` is what came back on it."""

    def __init__(self, server: Server) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received_nbytes = 0
        self._sockets = [self._listener]
        threading.Thread(target=self._serve, args=(server.port,), daemon=True).start()

    def _serve(self, port: int) -> None:
        near, far = self._listener.accept()[0], socket.create_connection(("127.0.0.1", port))
        self._sockets += [near, far]
        threading.Thread(target=self._relay, args=(near, far), daemon=True).start()
        self._relay(far, near, counts=True)

    def _relay(self, source: socket.socket, target: socket.socket, counts: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.received_nbytes += len(data) if counts else 0
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for each in self._sockets:
            each.close()


def test_responses_are_compressed_as_the_level_says(server: Server) -> None:
    link = CountingLink(server)
    triton = client.InferenceServerClient(f"127.0.0.1:{link.port}")
    zeros = np.zeros(100_000)
    assert len(triton.infer("echo", tensor(zeros)).as_numpy("INPUT0")) == 100_000
    stream = Stream(triton)
    stream.ask("echo", "r", zeros)
    result, error = stream.next()
    assert error is None and len(result.as_numpy("INPUT0")) == 100_000
    triton.stop_stream()
    triton.close()
    link.close()
    assert link.received_nbytes < 40_000


def test_a_draining_server_answers_what_it_accepted_and_ends_its_streams(transport: str) -> None:
    with start(transport) as process:
        triton = client.InferenceServerClient(listening(process).url)
        stream = Stream(triton)
        stream.ask("echo", "before")
        assert stream.responses(1) == [("before", [7.0], True)]
        stream.ask("late", "accepted")
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert stream.responses(1) == [("accepted", [7.0], True)]
        _, error = stream.next()
        assert error.status() == "StatusCode.UNAVAILABLE"
        process.communicate(timeout=WITHIN_S)
        triton.close()
    assert process.returncode == 0
    assert isinstance(error, InferenceServerException)
