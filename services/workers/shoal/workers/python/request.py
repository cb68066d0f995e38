"""`InferenceRequest`: a request that a model was given, or one that it makes for another model."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from shoal.core.messages import SEQUENCE_END, SEQUENCE_START, Parameter
from shoal.workers.backend import Request
from shoal.workers.python import parameters as custom
from shoal.workers.python.error import TritonModelException, not_available
from shoal.workers.python.response_sender import InferenceResponseSender
from shoal.workers.python.tensor import Tensor

TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = SEQUENCE_START
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = SEQUENCE_END
TRITONSERVER_REQUEST_RELEASE_ALL = 1
TRITONSERVER_REQUEST_RELEASE_RESCHEDULE = 2


class MemoryType(IntEnum):
    """Where a model wants the outputs of a request that it makes."""

    TRITONSERVER_MEMORY_GPU = 0
    TRITONSERVER_MEMORY_CPU = 1
    DEFAULT = 2


class PreferredMemory(NamedTuple):
    """A kind of memory and, for GPU memory, the device's number."""

    memory_type: int
    device_id: int = 0


_DEFAULT_MEMORY = PreferredMemory(MemoryType.DEFAULT)


class InferenceTrace:
    """The trace that a request belongs to."""

    __slots__ = ("_traceparent",)

    def __init__(self, traceparent: str = "") -> None:
        self._traceparent = traceparent

    def get_context(self) -> str | None:
        """The W3C trace context as a JSON object (key `traceparent`); None when the request is not traced."""
        return json.dumps({"traceparent": self._traceparent}) if self._traceparent else None


_NO_TRACE = InferenceTrace()
#: Held while a sender is made, for which any thread may ask.
_making = threading.Lock()


class InferenceRequest:
    """A request. `timeout` is in microseconds; `model_version` -1 means the highest version that is ready."""

    __slots__ = (
        "_correlation_id",
        "_flags",
        "_inputs",
        "_is_cancelled",
        "_make_sender",
        "_model_name",
        "_model_version",
        "_parameters",
        "_preferred_memory",
        "_request_id",
        "_requested_output_names",
        "_sender",
        "_timeout_us",
        "_trace",
    )

    _correlation_id: int | str
    _flags: int
    _inputs: list[Tensor]
    _is_cancelled: Callable[[], bool]
    _make_sender: Callable[[], InferenceResponseSender] | None
    _model_name: str
    _model_version: int
    _parameters: Mapping[str, Parameter]
    _preferred_memory: PreferredMemory
    _request_id: str
    _requested_output_names: Sequence[str]
    _sender: InferenceResponseSender | None
    _timeout_us: int
    _trace: InferenceTrace

    def __init__(
        self,
        *,
        inputs: Iterable[Tensor],
        requested_output_names: Iterable[str],
        model_name: str,
        request_id: str = "",
        correlation_id: int | str = 0,
        model_version: int = -1,
        flags: int = 0,
        timeout: int = 0,
        preferred_memory: PreferredMemory = _DEFAULT_MEMORY,
        trace: InferenceTrace = _NO_TRACE,
        parameters: dict[str, Parameter] | None = None,
    ) -> None:
        whose = f"for request with id '{request_id}' and model name '{model_name}' should not be empty."
        self._inputs = list(inputs)
        if not all(isinstance(tensor, Tensor) for tensor in self._inputs):
            raise TritonModelException(f"Input tensor {whose}")
        self._requested_output_names = list(requested_output_names)
        if not all(self._requested_output_names):
            raise TritonModelException(f"Requested output name {whose}")
        self._model_name = model_name
        self._request_id = request_id
        self._correlation_id = correlation_id
        self._model_version = model_version
        self._flags = flags
        self._timeout_us = timeout
        self._preferred_memory = preferred_memory
        self._trace = trace
        self._parameters = custom.checked(parameters)
        self._is_cancelled = _never
        self._make_sender = self._sender = None

    def inputs(self) -> list[Tensor]:
        """The inputs in the request's order; optional ones that were not given are missing."""
        return self._inputs

    def request_id(self) -> str:
        return self._request_id

    def correlation_id(self) -> int | str:
        return self._correlation_id

    def flags(self) -> int:
        return self._flags

    def set_flags(self, flags: int) -> None:
        self._flags = flags

    def timeout(self) -> int:
        return self._timeout_us

    def requested_output_names(self) -> list[str]:
        """The outputs to give, which are all of the model's when the client named none."""
        return list(self._requested_output_names)

    def parameters(self) -> str:
        """The custom parameters as a JSON object; an empty text when there are none."""
        return custom.to_json(self._parameters)

    def preferred_memory(self) -> PreferredMemory:
        return self._preferred_memory

    def trace(self) -> InferenceTrace:
        return self._trace

    def is_cancelled(self) -> bool:
        """Whether the client has given up. May be called from any thread."""
        return self._is_cancelled()

    def set_release_flags(self, flags: int) -> None:
        """Accepts RELEASE_ALL, which is what happens; rescheduling is not available."""
        if flags == TRITONSERVER_REQUEST_RELEASE_ALL:
            return
        if flags == TRITONSERVER_REQUEST_RELEASE_RESCHEDULE:
            raise not_available("rescheduling a request", "answer it in this execution")
        raise TritonModelException(
            f"release flags {flags} are unknown; expected TRITONSERVER_REQUEST_RELEASE_ALL or _RESCHEDULE"
        )

    def exec(self, decoupled: bool = False) -> object:
        """Not available yet: raises TritonModelException."""
        raise self._no_calls("exec")

    async def async_exec(self, decoupled: bool = False) -> object:
        """Not available yet: raises TritonModelException."""
        raise self._no_calls("async_exec")

    def get_response_sender(self) -> InferenceResponseSender:
        """What answers this request, the same at each call; then `execute` returns None for it.

        Raises TritonModelException for a request that `execute` was not given, or is done with.
        """
        with _making:
            if self._sender is None:
                if self._make_sender is None:
                    raise TritonModelException(
                        "a response sender can be had of requests that execute() was given, before it returns"
                    )
                self._sender = self._make_sender()
                self._make_sender = None
            return self._sender

    def _no_calls(self, method: str) -> TritonModelException:
        instead = f"let the client call model '{self._model_name}', or chain the two models in an ensemble"
        return not_available(f"calling other models from a model (InferenceRequest.{method}())", instead)


def from_backend(
    request: Request,
    inputs: list[Tensor],
    requested_output_names: Sequence[str],
    make_sender: Callable[[], InferenceResponseSender],
) -> InferenceRequest:
    """The request as the model is given it, with its inputs already made."""
    made = InferenceRequest.__new__(InferenceRequest)
    made._inputs = inputs
    made._requested_output_names = requested_output_names
    made._model_name = ""
    made._request_id = request.request_id
    made._correlation_id = request.correlation_id
    made._model_version = -1
    made._flags = request.flags
    made._timeout_us = request.timeout_us
    made._preferred_memory = _DEFAULT_MEMORY
    made._trace = InferenceTrace(request.traceparent) if request.traceparent else _NO_TRACE
    made._parameters = request.parameters
    made._is_cancelled = request.is_cancelled
    made._make_sender = make_sender
    made._sender = None
    return made


def sender_of(request: InferenceRequest) -> InferenceResponseSender | None:
    """The sender that the model has asked for; if it has not, it can do so no more."""
    with _making:
        request._make_sender = None
        return request._sender


def _never() -> bool:
    return False
