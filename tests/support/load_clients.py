"""Clients of the load: each sends one INT32 tensor `IN` of shape [1, n] and gives what came of it.

What came of a request is exactly one of: the tensor `OUT`, a refusal with its status and text, a connection that broke
before the answer was there, one that was not even accepted, or no answer in time (`TimeoutError`).
"""

from __future__ import annotations

import http.client
import json
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from tritonclient import grpc as triton_grpc
from tritonclient.utils import InferenceServerException

Int32 = NDArray[np.int32]

#: No answer within this time is a hang.
ANSWER_TIMEOUT_S = 30.0

_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100)]
_LARGEST_MESSAGE = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
#: What grpc says of a connection that it had, in an UNAVAILABLE that no server sent.
_BROKEN = (
    "Socket closed",
    "Connection reset",
    "Broken pipe",
    "GOAWAY",
    "Stream removed",
    "Transport closed",
    "recvmsg",
)
_NOT_ACCEPTED = ("failed to connect", "connections to all backends failing", "Connection refused")


class Refusal(NamedTuple):
    """An answer without a tensor: the status ("503", "UNAVAILABLE") and what the server says."""

    status: str
    text: str


class Broken(Exception):
    """The connection broke after the request was on its way."""


class NotAccepted(Exception):
    """There was no connection to send the request on."""


class Client(Protocol):
    """Belongs to one thread. `infer` raises Broken, NotAccepted, TimeoutError."""

    protocol: str

    def infer(self, model: str, data: Int32, as_json: bool) -> Int32 | Refusal: ...

    def close(self) -> None: ...


class HttpClient:
    """One connection that is kept, with tensors as bytes or as JSON."""

    protocol = "http"

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_S)

    def infer(self, model: str, data: Int32, as_json: bool) -> Int32 | Refusal:
        """The answer's tensor of shape [n], or what the server says instead."""
        try:
            if self._connection.sock is None:
                self._connection.connect()
        except OSError as error:
            raise NotAccepted(str(error)) from error
        try:
            return self._exchange(model, data, as_json)
        except TimeoutError:
            self._connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Broken(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def _exchange(self, model: str, data: Int32, as_json: bool) -> Int32 | Refusal:
        header, tail = _json_request(data) if as_json else _binary_request(data)
        self._connection.putrequest("POST", f"/v2/models/{model}/infer")
        self._connection.putheader("Content-Length", str(len(header) + len(tail)))
        if not as_json:
            self._connection.putheader("Inference-Header-Content-Length", str(len(header)))
        self._connection.endheaders(header)
        if len(tail):
            self._connection.send(tail)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            return Refusal(str(answer.status), body.decode(errors="replace"))
        split = answer.getheader("Inference-Header-Content-Length")
        if split is None:
            return np.array(json.loads(body)["outputs"][0]["data"], np.int32)
        return np.frombuffer(body, np.int32, offset=int(split))


class GrpcClient:
    """The official client, one channel of its own."""

    protocol = "grpc"

    def __init__(self, port: int) -> None:
        # Channels with equal arguments share one connection; the number keeps them apart.
        arguments = [*_RECONNECT, *_LARGEST_MESSAGE, ("grpc.use_local_subchannel_pool", 1)]
        self._client = triton_grpc.InferenceServerClient(f"127.0.0.1:{port}", channel_args=arguments)

    def infer(self, model: str, data: Int32, as_json: bool = False) -> Int32 | Refusal:
        """As of `HttpClient`; always bytes."""
        tensor = triton_grpc.InferInput("IN", [1, data.size], "INT32")
        tensor.set_data_from_numpy(data.reshape(1, -1))
        try:
            result = self._client.infer(model, [tensor], client_timeout=ANSWER_TIMEOUT_S)
        except InferenceServerException as error:
            return _refusal(error)
        output: Int32 = result.as_numpy("OUT").reshape(-1)
        return output

    def close(self) -> None:
        self._client.close()


def _refusal(error: InferenceServerException) -> Refusal:
    """What the server says; raises when it was not the server that said it."""
    status, text = str(error.status()).removeprefix("StatusCode."), str(error.message())
    if status == "DEADLINE_EXCEEDED":
        raise TimeoutError(text)
    if any(words in text for words in _NOT_ACCEPTED):
        raise NotAccepted(text)
    if any(words in text for words in _BROKEN):
        raise Broken(text)
    return Refusal(status, text)


def _binary_request(data: Int32) -> tuple[bytes, memoryview]:
    tensor = {**_tensor(data), "parameters": {"binary_data_size": data.nbytes}}
    header = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    return json.dumps(header).encode(), data.data.cast("B")


def _json_request(data: Int32) -> tuple[bytes, bytes]:
    return json.dumps({"inputs": [{**_tensor(data), "data": data.tolist()}]}).encode(), b""


def _tensor(data: Int32) -> dict[str, object]:
    return {"name": "IN", "datatype": "INT32", "shape": [1, data.size]}
