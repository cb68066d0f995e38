"""Who waits for answers: a future for a request with one response, a stream for one with any number."""

from __future__ import annotations

import asyncio

from shoal.core.errors import InternalError, ShoalError, from_wire
from shoal.core.messages import InferResponse
from shoal.core.tensors import Tensor
from shoal.gateway.answer_stream import AnswerStream
from shoal.gateway.open_request import OpenRequest
from shoal.gateway.request import InferAnswer, StreamedAnswer


class Recipients:
    """By the counter of their request. Whoever waits is there until it is removed, its request open or not."""

    def __init__(self) -> None:
        self._futures: dict[int, asyncio.Future[InferAnswer]] = {}
        self._streams: dict[int, AnswerStream] = {}

    def wait(self, counter: int) -> asyncio.Future[InferAnswer]:
        future = self._futures[counter] = asyncio.get_running_loop().create_future()
        return future

    def stream(self, counter: int, stream: AnswerStream) -> None:
        self._streams[counter] = stream

    def remove(self, counter: int) -> None:
        if self._futures.pop(counter, None) is None:
            self._streams.pop(counter, None)

    def give(self, request: OpenRequest, response: InferResponse, outputs: tuple[Tensor, ...]) -> InternalError | None:
        """Hand a response out; the error with which the request is to be given up when that cannot be done."""
        future = self._futures.get(request.counter)
        if future is None:
            stream = self._streams.get(request.counter)
            if stream is not None:
                stream.add(_streamed(request, response, outputs))
            return None
        if not response.final:
            return _not_one(request)
        if not future.done():
            _resolve(future, request, response, outputs)
        return None

    def fail(self, counter: int, error: ShoalError) -> None:
        """The request ends with this error."""
        future = self._futures.get(counter)
        stream = self._streams.get(counter)
        if stream is not None:
            stream.add(StreamedAnswer(None, error, True))
        elif future is not None and not future.done():
            future.set_exception(error)


def _resolve(
    future: asyncio.Future[InferAnswer], request: OpenRequest, response: InferResponse, outputs: tuple[Tensor, ...]
) -> None:
    if response.error is not None:
        future.set_exception(from_wire(response.error))
    elif response.is_empty:
        future.set_exception(_not_one(request))
    else:
        future.set_result(_answer(request, response, outputs))


def _streamed(request: OpenRequest, response: InferResponse, outputs: tuple[Tensor, ...]) -> StreamedAnswer:
    if response.error is not None:
        return StreamedAnswer(None, from_wire(response.error), response.final)
    # It may have to wait, and the message that it came in, perhaps with many others, must not wait with it.
    own = tuple([output._replace(data=bytes(output.data)) for output in outputs])
    answer = None if response.is_empty else _answer(request, response, own)
    return StreamedAnswer(answer, None, response.final)


def _answer(request: OpenRequest, response: InferResponse, outputs: tuple[Tensor, ...]) -> InferAnswer:
    served, request_id = request.checked.served, request.checked.call.request_id
    return InferAnswer(served.model, served.version, request_id, outputs, response.parameters)


def _not_one(request: OpenRequest) -> InternalError:
    model = request.checked.call.model
    return InternalError(f"expected a single response of model '{model}', which gives any number: use a stream")
