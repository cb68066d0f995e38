"""The least that an HTTP front end in Python can cost: uvicorn, and an ASGI application that echoes the binary tail.

`python benchmarks/echo_app.py PORT`. It answers as much of the v2 protocol as perf_analyzer asks for, parses no JSON,
checks nothing and knows one model, `identity`.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

import orjson
import uvicorn

from identity_model import FLOAT_NBYTES, INPUT, MAX_BATCH_SIZE, MODEL

Event = MutableMapping[str, Any]  # ASGI's events and scopes are open dictionaries
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

_HEADER_LENGTH = b"inference-header-content-length"
_INFER = f"/v2/models/{MODEL}/infer"

_CONFIG = {
    "name": MODEL,
    "platform": "",
    "backend": "echo",
    "max_batch_size": MAX_BATCH_SIZE,
    "input": [{"name": INPUT, "data_type": "TYPE_FP32", "dims": [-1]}],
    "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
}
_METADATA = {
    "name": MODEL,
    "versions": ["1"],
    "platform": "echo",
    "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, -1]}],
    "outputs": [{"name": "OUTPUT0", "datatype": "FP32", "shape": [-1, -1]}],
}
_NO_TIME = {"count": 0, "ns": 0}


class EchoApp:
    """The ASGI application; counts its answers for the statistics."""

    def __init__(self) -> None:
        self._answered = 0

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == _INFER:
            await self._infer(scope, receive, send)
            return
        document = self._document(path)
        status = 404 if document is None else 200
        await _send(send, status, [(b"content-type", b"application/json")], orjson.dumps(document))

    async def _infer(self, scope: Event, receive: Receive, send: Send) -> None:
        event = await receive()
        body: bytes = event["body"]
        if event.get("more_body", False):
            pieces = [body]
            while event.get("more_body", False):
                event = await receive()
                pieces.append(event["body"])
            body = b"".join(pieces)
        json_nbytes = next((int(value) for name, value in scope["headers"] if name == _HEADER_LENGTH), 0)
        head = _head(len(body) - json_nbytes)
        headers = [(b"content-type", b"application/octet-stream"), (_HEADER_LENGTH, b"%d" % len(head))]
        self._answered += 1
        await _send(send, 200, headers, head + memoryview(body)[json_nbytes:])

    def _document(self, path: str) -> Any:
        count = {"count": self._answered, "ns": self._answered}
        stages = dict.fromkeys(("queue", "compute_input", "compute_infer", "compute_output"), count)
        unused = dict.fromkeys(("fail", "cache_hit", "cache_miss"), _NO_TIME)
        stats = {
            **{"name": MODEL, "version": "1", "last_inference": 0, "batch_stats": []},
            **{"inference_count": self._answered, "execution_count": self._answered},
            "inference_stats": {"success": count, **stages, **unused},
        }
        documents = {
            "/v2": {"name": "echo", "version": "1", "extensions": ["statistics", "binary_tensor_data"]},
            "/v2/health/ready": {},
            f"/v2/models/{MODEL}": _METADATA,
            f"/v2/models/{MODEL}/config": _CONFIG,
            f"/v2/models/{MODEL}/stats": {"model_stats": [stats]},
        }
        return documents.get(path.replace("/versions/1", ""))


@lru_cache
def _head(nbytes: int) -> bytes:
    output = {
        "name": "OUTPUT0",
        "datatype": "FP32",
        "shape": [1, nbytes // FLOAT_NBYTES],
        "parameters": {"binary_data_size": nbytes},
    }
    return orjson.dumps({"model_name": MODEL, "model_version": "1", "outputs": [output]})


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(
        EchoApp(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
        server_header=False,
        date_header=False,
    )
