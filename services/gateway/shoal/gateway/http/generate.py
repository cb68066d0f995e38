"""`POST /v2/models/NAME[/versions/VER]/generate` and `/generate_stream`: the responses to a request, of any model, as
one JSON document or as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from time import monotonic

from starlette.requests import Request
from starlette.routing import Route

from shoal.core.errors import InvalidArgument, ShoalError, Unavailable
from shoal.gateway.gateway import Gateway
from shoal.gateway.http.asgi import JSON, Receive, Scope, Send, error_body, send_all, send_error
from shoal.gateway.http.disconnects import Disconnects
from shoal.gateway.http.generate_request import GenerateContext, parse_generate
from shoal.gateway.http.generate_response import render_generated
from shoal.gateway.http.infer_headers import read_headers
from shoal.gateway.http.request_body import ClientLeft
from shoal.gateway.http.resource import model_of
from shoal.gateway.request import InferCall, StreamedAnswer

_EVENTS = b"text/event-stream; charset=utf-8"
_IDENTITY = "identity"
#: Above this size JSON is parsed in a thread.
_PARSE_ASIDE_NBYTES = 1024 * 1024
_WRONG_COUNT = (
    "generate expects model to produce exactly 1 response, use generate stream for model that generates various number "
    "of responses"
)

_Answers = AsyncGenerator[StreamedAnswer, None]


def generate_routes(gateway: Gateway, disconnects: Disconnects) -> Sequence[Route]:
    routes = []
    for tail, is_stream in (("generate", False), ("generate_stream", True)):
        resource = GenerateRoute(gateway, disconnects, is_stream)
        routes.append(Route("/v2/models/{name}/" + tail, resource))
        routes.append(Route("/v2/models/{name}/versions/{version:int}/" + tail, resource))
    return routes


class GenerateRoute:
    """Either route's ASGI side; `is_stream`: every response is an event of its own.

    What keeps a request from being accepted is answered with the status of the error. Afterwards the status is that of
    the first response: 200, or for an error 400, as in Triton whatever the error, but 503 for what is worth another
    try.
    """

    def __init__(self, gateway: Gateway, disconnects: Disconnects, is_stream: bool) -> None:
        self._gateway = gateway
        self._disconnects = disconnects
        self._is_stream = is_stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await send_all(send, 405, JSON, error_body("Method Not Allowed"))
            return
        try:
            call = await self._read(Request(scope, receive))
        except ShoalError as error:
            await send_error(send, error, JSON)
            return
        try:
            await self._answer(call, receive, send)
        except ClientLeft:
            return

    async def _read(self, request: Request) -> InferCall:
        """The call that a request asks for. Raises what `Gateway.look_up` raises, and InvalidArgument and InternalError
        in Triton's words."""
        headers = read_headers(request.scope["headers"])
        if headers.content_encoding not in ("", _IDENTITY):
            raise InvalidArgument("Unsupported content-encoding, only 'identity' is supported.")
        body = await request.body()
        name, version = model_of(request)
        served = await self._gateway.look_up(name, version)
        context = GenerateContext(name, version, headers.deadline_s(monotonic()), headers.traceparent)
        if len(body) > _PARSE_ASIDE_NBYTES:
            return await asyncio.to_thread(parse_generate, context, body, served.config)
        return parse_generate(context, body, served.config)

    async def _answer(self, call: InferCall, receive: Receive, send: Send) -> None:
        """Execute and answer; ends in ClientLeft (and a withdrawn request) when the client closes its connection."""
        watch = self._disconnects.watch(receive)
        write = _write_events if self._is_stream else _write_document
        try:
            async with aclosing(self._gateway.stream(call)) as answers:
                await write(answers, send)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not watch.is_gone or task is None:
                raise
            task.uncancel()
            raise ClientLeft from None
        finally:
            self._disconnects.unwatch(watch)


async def _write_document(answers: _Answers, send: Send) -> None:
    """Answer with the only response, once it is known to be the only one."""
    only: StreamedAnswer | None = None
    count = 0
    try:
        async for answer in answers:
            if _is_response(answer):
                only = answer
                count += 1
            if count > 1:
                break
    except ShoalError as error:
        await send_error(send, error, JSON)
        return
    status, document = (200, error_body(_WRONG_COUNT)) if only is None or count > 1 else _render(only)
    await _start(send, status, JSON)
    await send({"type": "http.response.body", "body": document})


async def _write_events(answers: _Answers, send: Send) -> None:
    """Answer with an event per response, at the client's pace."""
    try:
        first = await anext(answers)
    except ShoalError as error:
        await send_error(send, error, JSON)
        return
    status, event = _event(first)
    await _start(send, status, _EVENTS)
    await send({"type": "http.response.body", "body": event, "more_body": True})
    async for answer in answers:
        _, event = _event(answer)
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _event(answer: StreamedAnswer) -> tuple[int, bytes]:
    """One response as an event, and the status if it is the first; nothing for an end without a response."""
    if not _is_response(answer):
        return 200, b""
    status, document = _render(answer)
    return status, b"data: %b\n\n" % document


def _is_response(answer: StreamedAnswer) -> bool:
    return answer.answer is not None or answer.error is not None


def _render(answer: StreamedAnswer) -> tuple[int, bytes]:
    """The document of one response, and the status if it is the first."""
    error = answer.error
    if answer.answer is not None:
        try:
            return 200, render_generated(answer.answer)
        except ShoalError as refused:
            error = refused
    assert error is not None  # only responses are rendered
    return error.http_status if isinstance(error, Unavailable) else 400, error_body(error.message)


async def _start(send: Send, status: int, content_type: bytes) -> None:
    """Without a length: the body goes in chunks, as Triton's does."""
    headers = [(b"content-type", content_type)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
