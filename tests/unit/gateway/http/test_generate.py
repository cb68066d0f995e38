from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import orjson
import pytest

from gateway_models import one_input, served
from shoal.core.errors import InternalError, NotFound, ShoalError, Unavailable
from shoal.core.tensors import Tensor
from shoal.gateway.gateway import Gateway
from shoal.gateway.http import disconnects
from shoal.gateway.http.disconnects import Disconnects
from shoal.gateway.http.generate import GenerateRoute
from shoal.gateway.request import InferAnswer, InferCall, StreamedAnswer

END = StreamedAnswer(None, None, True)
WRONG_COUNT = (
    "generate expects model to produce exactly 1 response, use generate stream for model that generates various number "
    "of responses"
)
JSON, EVENTS = b"application/json", b"text/event-stream; charset=utf-8"

Script = Callable[[InferCall], AsyncGenerator[StreamedAnswer, None]]


def value(number: int, is_final: bool = False) -> StreamedAnswer:
    tensor = Tensor("Y", "INT32", (1,), np.int32(number).tobytes())
    return StreamedAnswer(InferAnswer("m", 1, "", (tensor,), {}), None, is_final)


def failed(error: ShoalError, is_final: bool = False) -> StreamedAnswer:
    return StreamedAnswer(None, error, is_final)


def gives(*answers: StreamedAnswer | ShoalError) -> Script:
    async def script(call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        for item in answers:
            if isinstance(item, ShoalError):
                raise item
            yield item

    return script


class Exchange:
    """One request of a client to the route, and what it got."""

    def __init__(self, script: Script, is_stream: bool, method: str = "POST", **headers: str) -> None:
        self.sent: list[MutableMapping[str, Any]] = []
        self.left = asyncio.Event()
        self._is_read = False
        self._disconnects = Disconnects()

        async def look_up(name: str, version: int | None) -> Any:
            if name != "m":
                raise NotFound(f"Request for unknown model: '{name}' is not found")
            return served(one_input("TYPE_INT32", [1]))

        gateway = SimpleNamespace(look_up=look_up, stream=script)
        self._route = GenerateRoute(cast(Gateway, gateway), self._disconnects, is_stream)
        given = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        self.scope: dict[str, Any] = {"type": "http", "method": method, "headers": given, "path_params": {"name": "m"}}

    async def run(self, body: bytes = b'{"X":1}') -> tuple[int, bytes, bytes]:
        """Status, content type and body of the answer."""
        self._body = body
        await self._route(self.scope, self._receive, self._send)
        self._disconnects.close()
        if not self.sent:
            return 0, b"", b""
        return self.sent[0]["status"], dict(self.sent[0]["headers"])[b"content-type"], self.body

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": self._body}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)


def error(text: str) -> bytes:
    return orjson.dumps({"error": text})


def document(number: int) -> bytes:
    return b'{"Y":%d,"model_name":"m","model_version":"1"}' % number


async def test_one_response_is_a_document() -> None:
    assert await Exchange(gives(value(7, is_final=True)), False).run() == (200, JSON, document(7))
    assert await Exchange(gives(value(7), END), False).run() == (200, JSON, document(7))


@pytest.mark.parametrize("answers", [(END,), (value(1), value(2), END), (value(1), failed(InternalError("x")), END)])
async def test_any_other_number_of_responses_is_told(answers: tuple[StreamedAnswer, ...]) -> None:
    assert await Exchange(gives(*answers), False).run() == (200, JSON, error(WRONG_COUNT))


async def test_responses_are_events() -> None:
    got = await Exchange(gives(value(1), value(2), END), True).run()
    assert got == (200, EVENTS, b"data: " + document(1) + b"\n\ndata: " + document(2) + b"\n\n")


async def test_every_event_is_sent_when_it_comes() -> None:
    go_on = asyncio.Event()

    async def script(call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        yield value(1)
        await go_on.wait()
        yield value(2, is_final=True)

    exchange = Exchange(script, True)
    running = asyncio.create_task(exchange.run())
    await asyncio.sleep(0.01)
    assert exchange.body == b"data: " + document(1) + b"\n\n"
    go_on.set()
    await running


async def test_no_responses_are_no_events() -> None:
    assert await Exchange(gives(END), True).run() == (200, EVENTS, b"")


@pytest.mark.parametrize(("is_stream", "content_type"), [(False, JSON), (True, EVENTS)])
@pytest.mark.parametrize(
    ("failure", "status"), [(NotFound("n"), 400), (InternalError("i"), 400), (Unavailable("u"), 503)]
)
async def test_the_status_is_that_of_the_first_response(
    is_stream: bool, content_type: bytes, failure: ShoalError, status: int
) -> None:
    got = await Exchange(gives(failed(failure, is_final=True)), is_stream).run()
    text = error(failure.message)
    assert got == (status, content_type, b"data: " + text + b"\n\n" if is_stream else text)


async def test_later_errors_are_events() -> None:
    got = await Exchange(gives(value(1), failed(InternalError("speech failed")), value(2), END), True).run()
    events = [b"data: " + text + b"\n\n" for text in (document(1), error("speech failed"), document(2))]
    assert got == (200, EVENTS, b"".join(events))


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_request_that_is_not_accepted_has_the_status_of_its_error(is_stream: bool) -> None:
    assert await Exchange(gives(NotFound("no")), is_stream).run() == (404, JSON, error("no"))


async def test_an_unknown_model_is_told_whatever_the_body() -> None:
    exchange = Exchange(gives(), False)
    exchange.scope["path_params"] = {"name": "nobody", "version": 1}
    assert (await exchange.run(b"{"))[0] == 404


async def test_bodies_are_read_as_json() -> None:
    status, content_type, text = await Exchange(gives(), True).run(b"nope")
    assert (status, content_type) == (500, JSON)
    assert text == error("failed to parse the request JSON buffer: Invalid value. at 1")


async def test_other_methods_are_refused() -> None:
    assert await Exchange(gives(), True, "GET").run() == (405, JSON, error("Method Not Allowed"))


async def test_compressed_bodies_are_refused() -> None:
    text = "Unsupported content-encoding, only 'identity' is supported."
    assert await Exchange(gives(), False, content_encoding="gzip").run() == (400, JSON, error(text))
    assert (await Exchange(gives(value(1), END), False, content_encoding="identity").run())[0] == 200


async def test_a_time_limit_is_the_deadline_of_the_call() -> None:
    calls: list[InferCall] = []

    def script(call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        calls.append(call)
        return gives(value(1), END)(call)

    await Exchange(script, False, request_timeout_ms="500", traceparent="00-t").run()
    assert calls[0].deadline_s is not None and calls[0].traceparent == "00-t"


@asynccontextmanager
async def counted(closed: list[bool]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        closed.append(True)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_client_that_leaves_cancels_its_request(is_stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disconnects, "LOOK_INTERVAL_S", 0.01)
    closed: list[bool] = []

    async def silent(call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        async with counted(closed):
            yield value(1)
            await asyncio.Event().wait()

    exchange = Exchange(silent, is_stream)
    running = asyncio.create_task(exchange.run())
    await asyncio.sleep(0.05)
    exchange.left.set()
    await asyncio.wait({running}, timeout=5)
    assert closed == [True] and running.done()
    assert exchange.body == (b"data: " + document(1) + b"\n\n" if is_stream else b"")


async def test_more_responses_than_one_are_not_waited_for() -> None:
    closed: list[bool] = []

    async def endless(call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        async with counted(closed):
            while True:
                yield value(1)

    assert (await Exchange(endless, False).run())[2] == error(WRONG_COUNT)
    assert closed == [True]
