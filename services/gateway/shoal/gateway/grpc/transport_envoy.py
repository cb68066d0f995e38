"""gRPC calls as an ASGI application with HTTP/2 trailers, which is how they come out of Envoy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from shoal.gateway.grpc.framing import (
    ACCEPTED_ENCODINGS,
    PREFIX_NBYTES,
    frame,
    frame_nbytes,
    parse_timeout_s,
    unframe,
)
from shoal.gateway.grpc.handlers import CallContext
from shoal.gateway.grpc.open_calls import AsgiMessage, EndedEarly, OpenCalls, Receive
from shoal.gateway.grpc.service import Service
from shoal.gateway.grpc.status import DEADLINE_EXCEEDED, RpcError, encode_message
from shoal.gateway.scattered import Pieces, views_of

#: An ASGI scope; its keys are the specification's, their values have no common type.
Scope = Mapping[str, Any]
Send = Callable[[AsgiMessage], Awaitable[None]]

#: Compressed messages from this size on are decompressed in a thread.
_INFLATE_ASIDE_FROM_BYTES = 2**18

_HEADERS = [(b"content-type", b"application/grpc"), (b"grpc-accept-encoding", ACCEPTED_ENCODINGS)]
_START: AsgiMessage = {"type": "http.response.start", "status": 200, "headers": _HEADERS, "trailers": True}
_OK: AsgiMessage = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}
_END: AsgiMessage = {"type": "http.response.body", "body": b"", "more_body": False}
_NOT_GRPC: AsgiMessage = {"type": "http.response.start", "status": 415, "headers": []}


class ClientLeft(Exception):
    """The client went away before its request was complete."""


class EnvoyCalls:
    """Answers the calls of one process, all on one event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.open = OpenCalls()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call. Returns when the answer is handed over or the client has left; raises nothing."""
        headers = dict(scope["headers"])
        try:
            if not headers.get(b"content-type", b"").startswith(b"application/grpc"):
                await send(_NOT_GRPC)
                await send(_END)
                return
            body = await self._reply(scope["path"], headers, receive)
            await send(_START)
            await send({"type": "http.response.body", "body": body, "more_body": False})
            await send(_OK)
        except RpcError as error:
            await _send_status(send, error)
        except (ClientLeft, OSError):  # pyvoy's error for a client that has left is an OSError, as ASGI asks for
            return

    async def _reply(self, path: str, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The framed response. Raises RpcError, or ClientLeft."""
        refusal = self._service.refusal(path)
        if refusal is not None:
            raise refusal
        timeout = headers.get(b"grpc-timeout")
        deadline_s = None if timeout is None else time.monotonic() + parse_timeout_s(timeout)
        body = await _receive_body(receive)
        call = self.open.open(receive, deadline_s)
        try:
            message = await _message(body, headers.get(b"grpc-encoding", b""))
            context = CallContext(deadline_s, headers.get(b"traceparent", b"").decode("latin-1"))
            answering = self._service.call(path, message, context)
            del body, message  # kept for as long as they are needed there
            return frame(await answering)
        except asyncio.CancelledError:
            if call.ended_early is EndedEarly.DEADLINE:
                raise RpcError(DEADLINE_EXCEEDED, "Deadline Exceeded") from None
            # Otherwise the client has left, or the process ends and takes the connection along.
            raise ClientLeft from None
        finally:
            self.open.close(call)


async def _receive_body(receive: Receive) -> bytes | Pieces:
    """The whole request body, in the pieces in which it came.

    Raises ClientLeft, and RpcError as soon as the body is known to be too large.
    """
    event = await receive()
    if event["type"] != "http.request":
        raise ClientLeft
    body: bytes = event["body"]
    if not event["more_body"]:
        return body
    pieces = [body]
    nbytes = len(body)
    limit: int | None = None
    while event["more_body"]:
        if limit is None and nbytes >= PREFIX_NBYTES:
            limit = frame_nbytes(b"".join(pieces))
        if limit is not None and nbytes > limit:
            break
        event = await receive()
        if event["type"] != "http.request":
            raise ClientLeft
        pieces.append(event["body"])
        nbytes += len(event["body"])
    return Pieces([memoryview(piece) for piece in pieces])


async def _message(body: bytes | Pieces, encoding: bytes) -> memoryview | Pieces:
    if views_of(body)[0][:1] == b"\1" and len(body) >= _INFLATE_ASIDE_FROM_BYTES:
        return await asyncio.to_thread(unframe, body, encoding)
    return unframe(body, encoding)


async def _send_status(send: Send, error: RpcError) -> None:
    """An answer without a message: the status stands in the headers."""
    status = [(b"grpc-status", b"%d" % error.status), (b"grpc-message", encode_message(error.message))]
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *status]})
        await send(_END)
    except OSError:
        return
