"""`InferenceResponseSender`: a model's way to answer one request when it likes, once or, if decoupled, any number of
times."""

from __future__ import annotations

import threading
from collections.abc import Callable

from shoal.core.errors import InternalError, ShoalError
from shoal.workers.backend import Response, Sender, SenderClosed
from shoal.workers.python.error import TritonModelException
from shoal.workers.python.response import TRITONSERVER_RESPONSE_COMPLETE_FINAL, InferenceResponse


class InferenceResponseSender:
    """Got from `InferenceRequest.get_response_sender()`. May be used from any thread.

    The request is open until the final flag was sent. One that a model lets go of without that is ended with an error:
    nobody else could.
    """

    __slots__ = ("_answer", "_is_cancelled", "_is_closed", "_is_decoupled", "_lock", "_name", "_pending", "_sender")

    def __init__(
        self,
        sender: Sender,
        answer: Callable[[InferenceResponse], Response],
        is_cancelled: Callable[[], bool],
        *,
        is_decoupled: bool,
        name: str,
    ) -> None:
        """`answer` makes a response of the model what a backend gives, and `name` is the instance's."""
        self._sender = sender
        self._answer = answer
        self._is_cancelled = is_cancelled
        self._is_decoupled = is_decoupled
        self._name = name
        self._lock = threading.Lock()
        self._is_closed = False
        #: The response of a model that is not decoupled, until the final flag is there too.
        self._pending: Response | None = None

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """Send a response, or with TRITONSERVER_RESPONSE_COMPLETE_FINAL as `flags` the last one, or none and the end.

        Blocks while the client is slow to take what was sent before. Raises TritonModelException, in Triton's words,
        for what cannot be sent; a request that was cancelled can be answered like any other, to no effect.
        """
        if flags not in (0, TRITONSERVER_RESPONSE_COMPLETE_FINAL):
            raise TritonModelException("Unable to send response. Unsupported flag provided.")
        if response is None and not flags:
            raise TritonModelException(
                "Inference Response object must be provided when the response flags is set to zero."
            )
        if response is not None and not isinstance(response, InferenceResponse):
            raise TypeError(f"expected an InferenceResponse, found type {type(response)}")
        given = None if response is None else self._answer(response)
        with self._lock:
            is_final = flags == TRITONSERVER_RESPONSE_COMPLETE_FINAL
            self._check(given, is_final)
            self._is_closed = is_final
            if not self._is_decoupled:
                given = self._pending = self._pending or (given and _kept(given))
        if is_final or self._is_decoupled:
            self._pass_on(given, is_final)

    def is_cancelled(self) -> bool:
        """Whether the client has given up, or its deadline has passed."""
        return self._is_cancelled()

    def _check(self, given: Response | None, is_final: bool) -> None:
        if not self._is_decoupled:
            if given is not None and self._pending is not None:
                raise TritonModelException(
                    "Unable to send response. Non-decoupled model cannot send more than one response."
                )
            if given is None and self._pending is None:
                raise TritonModelException(
                    "Unable to send response. Non-decoupled model cannot send complete final before sending a response."
                )
        if self._is_closed:
            raise _closed()

    def _pass_on(self, given: Response | None, is_final: bool) -> None:
        try:
            self._sender.send(given, is_final)
        except SenderClosed:
            self._is_closed = True
            raise _closed() from None

    def __del__(self) -> None:
        if not getattr(self, "_is_closed", True):
            text = (
                f"the model let go of the response sender of this request (instance '{self._name}') without sending "
                "TRITONSERVER_RESPONSE_COMPLETE_FINAL"
            )
            self._sender.fail(InternalError(text))


def end_with(sender: InferenceResponseSender, error: ShoalError) -> None:
    """End a request whose execution failed, unless it has ended."""
    if not sender._is_closed:
        sender._is_closed = True
        sender._sender.fail(error)


def _kept(response: Response) -> Response:
    """A response that does not change when the model writes to its arrays."""
    return response._replace(outputs=tuple([t._replace(data=bytes(t.data)) for t in response.outputs]))


def _closed() -> TritonModelException:
    return TritonModelException("Unable to send response. Response sender has been closed.")
