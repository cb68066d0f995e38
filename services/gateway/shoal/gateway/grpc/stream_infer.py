"""`ModelStreamInfer`: requests to any models and their responses on one stream.

Requests are read while others are answered, up to a bound. Each has a task of its own that takes its responses from
the gateway and puts them before the stream's writer. Responses of ordinary models, and refusals, go in the order of
their requests; those of decoupled models go when they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple

from shoal.core.errors import InternalError, ShoalError, Unavailable
from shoal.gateway.grpc.convert import InferMessage, Received, decode_infer
from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.infer_call import AnswerForm, read_call
from shoal.gateway.grpc.model_version import parse_version
from shoal.gateway.grpc.parameters import wants_empty_final
from shoal.gateway.grpc.rpc import CallContext
from shoal.gateway.grpc.status import rpc_error
from shoal.gateway.grpc.stream_flow import Message, Outbox, Turn, Window, message_nbytes
from shoal.gateway.grpc.stream_response import Asked, encode_end, encode_failure, encode_refusal, encode_streamed
from shoal.gateway.request import InferCall, StreamedAnswer
from shoal.telemetry.logs import get_logger

#: Metadata by which a client asks for a stream that ends with the status of its first error.
_STATUS_WANTED = b"triton_grpc_error"

_STOPPING = "GRPC server is shutting down and has stopped accepting new requests."

_log = get_logger("gateway")

#: Writes messages, in order; returns when the client's pace allows for more.
Write = Callable[[list[Message]], Awaitable[None]]


class InferStreams:
    """All streams of one process."""

    def __init__(self, gateway: GatewayApi) -> None:
        self._gateway = gateway
        self._open: set[_Stream] = set()

    async def serve(self, messages: AsyncIterator[Received], context: CallContext, write: Write) -> None:
        """Serve one stream to its end. Cancelling it cancels its requests.

        Raises RpcError for a stream that ends with a status of its own, protobuf's DecodeError for what is no request,
        and what `messages` and `write` raise.
        """
        stream = _Stream(self._gateway, context)
        self._open.add(stream)
        try:
            await stream.run(messages, write)
        finally:
            self._open.discard(stream)

    def wind_up(self) -> None:
        """Answer what was accepted and then end: every stream, with a status that sends its client elsewhere."""
        for stream in self._open:
            stream.wind_up()


class _Accepted(NamedTuple):
    """A request to be executed. `wants_end`: the client wants to hear of an end without a response."""

    call: InferCall
    form: AnswerForm
    wants_end: bool


class _Stream:
    def __init__(self, gateway: GatewayApi, context: CallContext) -> None:
        self._gateway = gateway
        self._context = context
        self._ends_at_error = context.metadata.get(_STATUS_WANTED) == b"true"
        self._window = Window()
        self._outbox = Outbox()
        self._last_turn = Turn(None)
        self._last_turn.end()
        self._answering: set[asyncio.Task[None]] = set()
        self._is_read = False
        self._is_winding_up = False

    async def run(self, messages: AsyncIterator[Received], write: Write) -> None:
        reading = asyncio.create_task(self._read(messages))
        try:
            while taken := await self._outbox.take():
                await write(taken)
        finally:
            ending = {reading, *self._answering}
            for task in ending:
                task.cancel()
            await asyncio.wait(ending)

    def wind_up(self) -> None:
        self._is_winding_up = True
        self._end_if_over()

    async def _read(self, messages: AsyncIterator[Received]) -> None:
        try:
            async for message in messages:
                await self._begin(message)
                del message
                await self._window.room()
        except Exception as error:  # whatever the stream's input ends with, its end says so
            self._outbox.end(error)
        self._is_read = True
        self._end_if_over()

    async def _begin(self, message: Received) -> None:
        """Start a task for one request. Requests begin in the order in which they came."""
        nbytes = len(message)
        parsed = decode_infer(message)
        request = parsed.request
        asked = Asked(request.id, request.model_name, request.model_version)
        found = await self._accept(asked, parsed)
        turn: Turn | None = None
        if isinstance(found, ShoalError) or not found.form.served.config.decoupled:
            turn = self._last_turn = self._last_turn.after()
        self._window.enter(nbytes)
        task = asyncio.create_task(self._answer(asked, found, turn))
        self._answering.add(task)
        task.add_done_callback(lambda task: self._over(task, turn, nbytes))

    async def _accept(self, asked: Asked, message: InferMessage) -> _Accepted | ShoalError:
        """The request to be executed, or why there is none."""
        try:
            if self._is_winding_up:
                raise Unavailable(_STOPPING)
            served = await self._gateway.look_up(asked.model, parse_version(asked.version))
            call, form = await read_call(message, served, self._context, self._gateway)
        except ShoalError as error:
            return error
        return _Accepted(call, form, wants_empty_final(message.request.parameters))

    def _over(self, task: asyncio.Task[None], turn: Turn | None, nbytes: int) -> None:
        if turn is not None:
            turn.end()
        self._window.leave(nbytes)
        self._answering.discard(task)
        self._end_if_over()

    def _end_if_over(self) -> None:
        if self._answering:
            return
        if self._is_read:
            self._outbox.end()
        elif self._is_winding_up:
            self._outbox.end(rpc_error(Unavailable(_STOPPING)))

    async def _answer(self, asked: Asked, found: _Accepted | ShoalError, turn: Turn | None) -> None:
        try:
            if isinstance(found, ShoalError):
                raise found
            execution = self._execute(asked, found, turn)
            del found  # and with it the client's message, which need not be kept while its copy is
            await execution
        except ShoalError as error:
            await self._send(encode_refusal(asked, error), turn, error)
        except Exception as error:  # one request ends here; the others and the process are not concerned
            _log.exception("request failed", model=asked.model)
            text = f"unexpected {type(error).__name__} in the server; its log has the details"
            failure = InternalError(text)
            await self._send(encode_failure(asked, failure, True), turn, failure)

    async def _execute(self, asked: Asked, accepted: _Accepted, turn: Turn | None) -> None:
        call, form, wants_end = accepted
        async with aclosing(self._gateway.stream(call)) as answers:
            del call, accepted
            async for answer in answers:
                message, error = await _render(asked, answer, form)
                if message is not None:
                    await self._send(message, turn, error)
                elif wants_end and turn is None:
                    await self._send(encode_end(asked), turn, None)

    async def _send(self, message: Message, turn: Turn | None, error: ShoalError | None) -> None:
        nbytes = message_nbytes(message)
        self._window.hold(nbytes)
        try:
            if turn is not None:
                await turn.comes()
            if error is not None and self._ends_at_error:
                self._outbox.end(rpc_error(error))
            else:
                await self._outbox.put(message)
        finally:
            self._window.let_go(nbytes)


async def _render(asked: Asked, answer: StreamedAnswer, form: AnswerForm) -> tuple[Message | None, ShoalError | None]:
    """The message for one response, and its error if it is one; no message for an end without a response."""
    error = answer.error
    if answer.answer is not None:
        try:
            return encode_streamed(await form.shown(answer.answer), answer.is_final), None
        except ShoalError as refused:
            error = refused
    if error is not None:
        return encode_failure(asked, error, answer.is_final), error
    return None, None
