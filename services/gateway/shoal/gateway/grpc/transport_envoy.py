"""gRPC calls as an ASGI application with HTTP/2 trailers, which is how they come out of Envoy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from shoal.gateway.access.caller import work_for
from shoal.gateway.grpc.compression import ACCEPTED_ENCODINGS, compress, decompress, response_encoding
from shoal.gateway.grpc.convert import Buffer
from shoal.gateway.grpc.envoy_messages import IncomingMessages
from shoal.gateway.grpc.framing import PREFIX_NBYTES, Frame, frame, frame_nbytes, parse_timeout_s, unframe
from shoal.gateway.grpc.open_calls import AsgiMessage, EndedEarly, OpenCall, OpenCalls, Receive
from shoal.gateway.grpc.options import CompressionLevel
from shoal.gateway.grpc.rpc import CallContext
from shoal.gateway.grpc.service import Service
from shoal.gateway.grpc.status import DEADLINE_EXCEEDED, ClientLeft, RpcError, encode_message
from shoal.gateway.grpc.stream_flow import Message
from shoal.gateway.inflation import Inflator
from shoal.gateway.limits import MESSAGE_LIMIT_BYTES
from shoal.gateway.scattered import Pieces, joined

#: An ASGI scope; its keys are the specification's, their values have no common type.
Scope = Mapping[str, Any]
Headers = Mapping[bytes, bytes]
Send = Callable[[AsgiMessage], Awaitable[None]]

#: Messages from this size on are compressed in a thread.
_ASIDE_FROM_BYTES = 2**18

_HEADERS = [(b"content-type", b"application/grpc"), (b"grpc-accept-encoding", ACCEPTED_ENCODINGS)]
_OK: AsgiMessage = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}
_NOTHING: AsgiMessage = {"type": "http.response.body", "body": b"", "more_body": True}
_END: AsgiMessage = {"type": "http.response.body", "body": b"", "more_body": False}
_NOT_GRPC: AsgiMessage = {"type": "http.response.start", "status": 415, "headers": []}


class EnvoyCalls:
    """Answers the calls of one process, all on one event loop; messages may have `limit_nbytes` each."""

    def __init__(
        self, service: Service, compression: CompressionLevel = "none", limit_nbytes: int = MESSAGE_LIMIT_BYTES
    ) -> None:
        self._service = service
        self._compression = compression
        self._limit_nbytes = limit_nbytes
        self._inflator = Inflator()
        self.open = OpenCalls()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call. Returns when the answer is handed over or the client has left; raises nothing."""
        headers = dict(scope["headers"])
        try:
            if not headers.get(b"content-type", b"").startswith(b"application/grpc"):
                await send(_NOT_GRPC)
                await send(_END)
                return
            path = scope["path"]
            work_for(self._service.let_in(path, headers))
            answering = self._stream if self._service.is_stream(path) else self._unary
            await answering(path, headers, receive, send)
        except RpcError as error:
            await _send_status(send, error)
        except (ClientLeft, OSError):  # pyvoy's error for a client that has left is an OSError, as ASGI asks for
            return

    def wind_up(self) -> None:
        """Have streams end when they have answered what they accepted."""
        self._service.wind_up()

    async def _unary(self, path: str, headers: Headers, receive: Receive, send: Send) -> None:
        encoding = self._encoding(path, headers)
        body = await _framed(await self._reply(path, headers, receive), encoding)
        await send(_start(encoding))
        await send({"type": "http.response.body", "body": body, "more_body": False})
        await send(_OK)

    async def _reply(self, path: str, headers: Headers, receive: Receive) -> Sequence[Buffer]:
        """The response message in pieces. Raises RpcError, or ClientLeft."""
        deadline_s = _deadline_s(headers)
        body = await _receive_body(receive, self._limit_nbytes)
        call = self.open.open(partial(_has_left, receive), deadline_s)
        try:
            message = await self._plain(unframe(body, self._limit_nbytes), headers)
            answering = self._service.call(path, message, CallContext(deadline_s, headers))
            del body, message  # kept for as long as they are needed there
            return await answering
        except asyncio.CancelledError:
            raise _early_end(call) from None
        finally:
            self.open.close(call)

    async def _stream(self, path: str, headers: Headers, receive: Receive, send: Send) -> None:
        deadline_s = _deadline_s(headers)
        encoding = self._encoding(path, headers)
        messages = IncomingMessages(receive, partial(self._plain, headers=headers), self._limit_nbytes)

        async def write(responses: list[Message]) -> None:
            body = b"".join([await _framed(response, encoding) for response in responses])
            try:
                # Not cancelled with the call: pyvoy's loop complains about an answer that nobody waits for.
                await asyncio.shield(send({"type": "http.response.body", "body": body, "more_body": True}))
            except OSError as error:
                raise ClientLeft from error

        call = self.open.open(partial(_has_left_stream, messages, send), deadline_s)
        trailers = _OK
        try:
            await asyncio.shield(send(_start(encoding)))
            await self._service.stream(path, messages, CallContext(deadline_s, headers), write)
        except RpcError as error:
            trailers = _trailers(error)
        except asyncio.CancelledError:
            ended = _early_end(call)
            if not isinstance(ended, RpcError):
                raise ended from None
            trailers = _trailers(ended)
        finally:
            self.open.close(call)
        await send(_END)
        await send(trailers)

    async def _plain(self, received: Frame, headers: Headers) -> memoryview | Pieces:
        """A message as it was before it was compressed."""
        if not received.is_compressed:
            return received.message
        encoding = headers.get(b"grpc-encoding", b"")
        return await decompress(self._inflator, joined(received.message), encoding, self._limit_nbytes)

    def _encoding(self, path: str, headers: Headers) -> bytes | None:
        """What the responses of a call are compressed with."""
        if self._compression == "none" or not self._service.is_compressible(path):
            return None
        return response_encoding(self._compression, headers.get(b"grpc-accept-encoding", b""))


def _deadline_s(headers: Headers) -> float | None:
    timeout = headers.get(b"grpc-timeout")
    return None if timeout is None else time.monotonic() + parse_timeout_s(timeout)


def _early_end(call: OpenCall) -> RpcError | ClientLeft:
    """What became of a call whose task was cancelled."""
    if call.ended_early is EndedEarly.DEADLINE:
        return RpcError(DEADLINE_EXCEEDED, "Deadline Exceeded")
    # Otherwise the client has left, or the process ends and takes the connection along.
    return ClientLeft()


async def _has_left(receive: Receive) -> bool:
    """Whether the client of a request that was read has left."""
    return bool((await receive())["type"] == "http.disconnect")


async def _has_left_stream(messages: IncomingMessages, send: Send) -> bool:
    """Whether the client of a stream has left: writing nothing tells, even where reading would bring more requests."""
    if messages.is_listening:
        return False
    try:
        await send(_NOTHING)
    except OSError:
        return True
    return False


async def _receive_body(receive: Receive, limit_nbytes: int) -> bytes | Pieces:
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
            limit = frame_nbytes(b"".join(pieces), limit_nbytes)
        if limit is not None and nbytes > limit:
            break
        event = await receive()
        if event["type"] != "http.request":
            raise ClientLeft
        pieces.append(event["body"])
        nbytes += len(event["body"])
    return Pieces([memoryview(piece) for piece in pieces])


async def _framed(message: Message, encoding: bytes | None) -> bytes:
    if encoding is None:
        return frame(message)
    if sum(map(len, message)) >= _ASIDE_FROM_BYTES:
        compressed = await asyncio.to_thread(compress, message, encoding)
    else:
        compressed = compress(message, encoding)
    return frame(message) if compressed is None else frame((compressed,), is_compressed=True)


def _start(encoding: bytes | None) -> AsgiMessage:
    headers = _HEADERS if encoding is None else [*_HEADERS, (b"grpc-encoding", encoding)]
    return {"type": "http.response.start", "status": 200, "headers": headers, "trailers": True}


def _status(error: RpcError) -> list[tuple[bytes, bytes]]:
    status = [(b"grpc-status", b"%d" % error.status), (b"grpc-message", encode_message(error.message))]
    return [*status, *error.trailers]


def _trailers(error: RpcError) -> AsgiMessage:
    return {"type": "http.response.trailers", "headers": _status(error)}


async def _send_status(send: Send, error: RpcError) -> None:
    """An answer without a message: the status stands in the headers."""
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *_status(error)]})
        await send(_END)
    except OSError:
        return
