"""`POST /v2/models/NAME[/versions/VER]/infer`, without a framework between the server and the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from time import monotonic

from shoal.core.errors import ShoalError, Unsupported
from shoal.gateway.gateway import Gateway
from shoal.gateway.http import compression
from shoal.gateway.http.asgi import BINARY, JSON, TEXT, Headers, Receive, Scope, Send, error_body, send_all, send_error
from shoal.gateway.http.counted_body import too_large
from shoal.gateway.http.disconnects import Disconnects
from shoal.gateway.http.infer_headers import InferHeaders, read_headers
from shoal.gateway.http.infer_request import AnswerForm, CallContext, ParsedRequest, parse_request
from shoal.gateway.http.infer_response import InferBody, render
from shoal.gateway.http.joined_writes import NAMED_HEADERS
from shoal.gateway.http.raw_request import parse_raw_request
from shoal.gateway.http.request_body import ClientLeft, RequestBody
from shoal.gateway.http.unread_body import CLOSE, headers_for_unread
from shoal.gateway.inflation import Inflator
from shoal.gateway.models import ServedVersion
from shoal.gateway.normalize import check
from shoal.gateway.region_tensors import write_outputs
from shoal.gateway.regions import UnknownRegion
from shoal.gateway.request import InferAnswer

_IDENTITY = "identity"
#: Below this size one write of everything is cheaper than several.
_JOIN_LIMIT_NBYTES = 64 * 1024
#: Above these sizes a response is compressed in a thread, JSON parsed: other requests go on.
_COMPRESS_ASIDE_NBYTES = 256 * 1024
_PARSE_ASIDE_NBYTES = 1024 * 1024


class InferRoute:
    """The route's ASGI side. Errors up to the JSON parser are text/plain, as Triton sends them, those of the request
    itself application/json, those of the execution text/plain again."""

    def __init__(self, gateway: Gateway, disconnects: Disconnects, max_input_nbytes: int) -> None:
        self._gateway = gateway
        self._find_part = gateway.regions.part
        self._disconnects = disconnects
        self._max_input_nbytes = max_input_nbytes
        self._inflator = Inflator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send, name: str, version: int | None) -> None:
        if scope["method"] != "POST":
            await send_all(send, 405, TEXT, error_body("Method Not Allowed"))
            return
        headers = read_headers(scope["headers"])
        body = RequestBody(self._gateway.admission, name, headers.content_nbytes)
        try:
            body.enter()
        except ShoalError as refusal:
            await send_error(send, refusal, TEXT, headers_for_unread(dict(scope["headers"])))
            return
        try:
            await body.read(receive)
        except ShoalError as refusal:
            await send_error(send, refusal, TEXT, CLOSE)
        except ClientLeft:
            pass
        else:
            named_headers: Headers = scope["state"].get(NAMED_HEADERS, []) if "state" in scope else []
            await self._answer(_Exchange(name, version, headers, receive, send, body, named_headers))
        finally:
            body.leave()

    async def _answer(self, exchange: _Exchange) -> None:
        send, headers = exchange.send, exchange.headers
        try:
            name, version = exchange.name, exchange.version
            context = CallContext(name, version, headers.deadline_s(monotonic()), headers.traceparent, self._find_part)
            served = self._gateway.models.find(name, version) or await self._gateway.look_up(name, version)
            if served.config.decoupled:
                raise Unsupported("HTTP end point doesn't support models with decoupled transaction policy")
            form, execution = await self._start(exchange, context, served)
            answer = await self._execute(execution, exchange.receive)
            if form.regions:
                answer = await write_outputs(answer, form.regions)
            rendered = render(answer, form, served)
        except ShoalError as error:
            await send_error(send, error, exchange.content_type, _refusal_headers(error))
            return
        except ClientLeft:
            return
        encoding = compression.choose(headers.accept_encoding) if headers.accept_encoding else _IDENTITY
        await _send_body(send, rendered, encoding)

    async def _start(
        self, exchange: _Exchange, context: CallContext, served: ServedVersion
    ) -> tuple[AnswerForm, Awaitable[InferAnswer]]:
        """Have the request executed. A body whose tensors were copied is let go of when this returns."""
        body = exchange.body.take()
        if exchange.headers.content_encoding:
            body = await self._decompress(exchange, body)
        nbytes = sum(map(len, body))
        json_nbytes = exchange.headers.json_nbytes(nbytes)
        exchange.content_type = JSON
        self._check_size(json_nbytes or nbytes)
        if json_nbytes == 0:
            parsed = parse_raw_request(context, body, served.config)
        else:
            try:
                parsed = await _parse(context, body, json_nbytes)
            except UnknownRegion:
                await self._gateway.regions.refresh()
                parsed = await _parse(context, body, json_nbytes)
        if parsed.call.region_nbytes:
            exchange.body.grow_to(nbytes + parsed.call.region_nbytes)
        call = parsed.call
        if self._gateway.header_forwarding is not None:
            call = self._gateway.header_forwarding.forward(call, exchange.named_headers)
        checked = check(call, served)
        exchange.content_type = TEXT
        return parsed.form, self._gateway.execute(checked)

    async def _decompress(self, exchange: _Exchange, body: Sequence[bytes]) -> Sequence[bytes]:
        """The plain body, counted as such."""
        packed, encoding = b"".join(body), exchange.headers.content_encoding
        plain = await compression.decompress(self._inflator, packed, encoding, self._max_input_nbytes)
        exchange.body.grow_to(sum(map(len, plain)))
        return plain

    def _check_size(self, nbytes: int) -> None:
        """Of what is not taken apart without being held as a whole."""
        if nbytes > self._max_input_nbytes:
            raise too_large(nbytes, self._max_input_nbytes)

    async def _execute(self, execution: Awaitable[InferAnswer], receive: Receive) -> InferAnswer:
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


async def _parse(context: CallContext, body: Sequence[bytes], json_nbytes: int) -> ParsedRequest:
    if json_nbytes <= _PARSE_ASIDE_NBYTES:
        return parse_request(context, body, json_nbytes)
    return await asyncio.to_thread(parse_request, context, body, json_nbytes)


@dataclass(slots=True)
class _Exchange:
    """One request on its way through the route. An error would have `content_type`."""

    name: str
    version: int | None
    headers: InferHeaders
    receive: Receive
    send: Send
    body: RequestBody
    named_headers: Headers
    content_type: bytes = TEXT


async def _send_body(send: Send, body: InferBody, encoding: str) -> None:
    headers: Headers = [(b"content-type", BINARY if body.tail else JSON)]
    if body.tail:
        headers.append((b"inference-header-content-length", b"%d" % len(body.json)))
    nbytes = len(body.json) + sum(map(len, body.tail))
    if encoding != _IDENTITY:
        plain = b"".join((body.json, *body.tail))
        parts: list[memoryview | bytes] = [
            await asyncio.to_thread(compression.compress, plain, encoding)
            if nbytes > _COMPRESS_ASIDE_NBYTES
            else compression.compress(plain, encoding)
        ]
        nbytes = len(parts[0])
        headers.append((b"content-encoding", encoding.encode()))
    elif nbytes <= _JOIN_LIMIT_NBYTES:
        parts = [b"".join((body.json, *body.tail))]
    else:
        parts = [body.json, *body.tail]
    headers.append((b"content-length", b"%d" % nbytes))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in parts[:-1]:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": parts[-1]})


def _refusal_headers(error: ShoalError) -> Headers:
    if isinstance(error, Unsupported) and error.message == compression.UNSUPPORTED:
        return [(b"accept-encoding", compression.ACCEPTED.encode())]
    return []
