"""`POST /v2/models/NAME[/versions/VER]/infer`, without a framework between the server and the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import monotonic
from typing import Any, NamedTuple

from shoal.core.errors import InvalidArgument, ShoalError, Unsupported
from shoal.gateway.admission import Admission, Overloaded
from shoal.gateway.gateway import Gateway
from shoal.gateway.http import compression
from shoal.gateway.http.asgi import BINARY, JSON, TEXT, Headers, Receive, Scope, Send, error_body, send_all, send_error
from shoal.gateway.http.disconnects import Disconnects
from shoal.gateway.http.infer_headers import InferHeaders, read_headers
from shoal.gateway.http.infer_request import CallContext, ParsedRequest, parse_request
from shoal.gateway.http.infer_response import InferBody, render
from shoal.gateway.http.raw_request import parse_raw_request
from shoal.gateway.models import ServedVersion
from shoal.gateway.normalize import check
from shoal.gateway.request import InferAnswer

_IDENTITY = "identity"
#: Below this size one write of everything is cheaper than several.
_JOIN_LIMIT_NBYTES = 64 * 1024
#: Above this size a body is compressed in a thread, so that other requests go on.
_THREAD_NBYTES = 256 * 1024


#: The rest of a body that is not read would be taken for the next request.
_CLOSE: Headers = [(b"connection", b"close")]


class ClientLeft(Exception):
    """The client closed its connection before its request was answered."""


class InferRoute:
    """The route's ASGI side. Errors up to the JSON parser are text/plain, as Triton sends them, those of the request
    itself application/json, those of the execution text/plain again."""

    def __init__(self, gateway: Gateway, disconnects: Disconnects, max_input_nbytes: int) -> None:
        self._gateway = gateway
        self._disconnects = disconnects
        self._max_input_nbytes = max_input_nbytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send, name: str, version: int | None) -> None:
        if scope["method"] != "POST":
            await send_all(send, 405, TEXT, error_body("Method Not Allowed"))
            return
        headers = read_headers(scope["headers"])
        body = _Body(self._gateway.admission, headers.content_nbytes)
        try:
            body.enter()
        except Overloaded as overloaded:
            await send_error(send, overloaded, TEXT, _CLOSE)
            return
        try:
            await self._answer(_Exchange(name, version, headers, receive, send, body), await body.read(receive))
        except Overloaded as overloaded:
            await send_error(send, overloaded, TEXT, _CLOSE)
        except ClientLeft:
            return
        finally:
            body.leave()

    async def _answer(self, exchange: _Exchange, body: bytes) -> None:
        name, version, headers, receive, send, _ = exchange
        content_type = TEXT
        try:
            context = CallContext(name, version, headers.deadline_s(monotonic()), headers.traceparent)
            served = await self._find_model(name, version)
            if headers.content_encoding:
                body = compression.decompress(body, headers.content_encoding, self._max_input_nbytes)
                exchange.counted.grow_to(len(body))
            json_nbytes = headers.json_nbytes(len(body))
            content_type = JSON
            parsed = self._parse(context, body, json_nbytes, served)
            checked = check(parsed.call, served)
            content_type = TEXT
            answer = await self._execute(self._gateway.execute(checked), receive)
            rendered = render(answer, parsed, served)
        except ShoalError as error:
            await send_error(send, error, content_type, _refusal_headers(error))
            return
        encoding = compression.choose(headers.accept_encoding) if headers.accept_encoding else _IDENTITY
        await _send_body(send, rendered, encoding)

    async def _find_model(self, name: str, version: int | None) -> ServedVersion:
        served = self._gateway.models.find(name, version) or await self._gateway.look_up(name, version)
        if served.config.decoupled:
            raise Unsupported("HTTP end point doesn't support models with decoupled transaction policy")
        return served

    def _parse(self, context: CallContext, body: bytes, json_nbytes: int, served: ServedVersion) -> ParsedRequest:
        limited_nbytes = json_nbytes or len(body)
        if limited_nbytes > self._max_input_nbytes:
            raise InvalidArgument(
                f"request of {limited_nbytes} bytes exceeds the maximum allowed size of {self._max_input_nbytes} "
                "bytes. Use --http-max-input-size to increase the limit."
            )
        if json_nbytes == 0:
            return parse_raw_request(context, body, served.config)
        return parse_request(context, body, json_nbytes)

    async def _execute(self, execution: Coroutine[Any, Any, InferAnswer], receive: Receive) -> InferAnswer:
        """Await the answer; ends in ClientLeft (and a withdrawn request) when the client closes its connection."""
        watch = self._disconnects.watch(receive)
        try:
            return await execution
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not watch.is_gone or task is None:
                raise
            task.uncancel()
            raise ClientLeft from None
        finally:
            self._disconnects.unwatch(watch)


class _Exchange(NamedTuple):
    """One request on its way through the route."""

    name: str
    version: int | None
    headers: InferHeaders
    receive: Receive
    send: Send
    counted: _Body


class _Body:
    """A request's body and its place in the admission: what it declares is counted before it is read, what a chunked
    one has is counted as it comes, and a compressed one counts with its plain size."""

    __slots__ = ("_admission", "_nbytes")

    def __init__(self, admission: Admission, declared_nbytes: int) -> None:
        self._admission = admission
        self._nbytes = declared_nbytes

    def enter(self) -> None:
        self._admission.enter(self._nbytes)

    def leave(self) -> None:
        self._admission.leave(self._nbytes)

    def grow_to(self, nbytes: int) -> None:
        """Count what the request holds by now, if that is more. Raises Overloaded."""
        if nbytes > self._nbytes:
            self._admission.grow(nbytes - self._nbytes)
            self._nbytes = nbytes

    async def read(self, receive: Receive) -> bytes:
        """The whole body. Raises Overloaded, and ClientLeft when the client closes its connection first."""
        chunks: list[bytes] = []
        nbytes = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientLeft
            chunk: bytes = message["body"]
            nbytes += len(chunk)
            self.grow_to(nbytes)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunk if len(chunks) == 1 else b"".join(chunks)


async def _send_body(send: Send, body: InferBody, encoding: str) -> None:
    headers: Headers = [(b"content-type", BINARY if body.tail else JSON)]
    if body.tail:
        headers.append((b"inference-header-content-length", b"%d" % len(body.json)))
    nbytes = len(body.json) + sum(map(len, body.tail))
    if encoding != _IDENTITY:
        plain = b"".join((body.json, *body.tail))
        parts: list[memoryview | bytes] = [
            await asyncio.to_thread(compression.compress, plain, encoding)
            if nbytes > _THREAD_NBYTES
            else compression.compress(plain, encoding)
        ]
        headers.append((b"content-encoding", encoding.encode()))
    elif nbytes <= _JOIN_LIMIT_NBYTES:
        parts = [b"".join((body.json, *body.tail))]
    else:
        parts = [body.json, *body.tail]
    headers.append((b"content-length", b"%d" % sum(map(len, parts))))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in parts[:-1]:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": parts[-1]})


def _refusal_headers(error: ShoalError) -> Headers:
    if isinstance(error, Unsupported) and error.message == compression.UNSUPPORTED:
        return [(b"accept-encoding", compression.ACCEPTED.encode())]
    return []
