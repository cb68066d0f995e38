"""How much a gateway takes on at once: bounds by count and by bytes, for each API key, and for each model that is
asked for more than it gives. Refused early instead of queued."""

from __future__ import annotations

from time import monotonic
from types import TracebackType

from shoal.core.errors import InvalidArgument
from shoal.gateway.access.caller import Caller, current_caller
from shoal.gateway.errors import Overloaded
from shoal.gateway.flows import Flows
from shoal.gateway.limits import MAX_BYTES, MAX_REQUESTS
from shoal.gateway.overload import Flow


class Place:
    """What one request takes up. `leave` exactly once, or use it as a context manager."""

    __slots__ = ("_admission", "_caller", "_flow", "nbytes")

    def __init__(self, admission: Admission, nbytes: int, caller: Caller | None, flow: Flow | None) -> None:
        self._admission = admission
        self._caller = caller
        self._flow = flow
        self.nbytes = nbytes

    def grow_to(self, nbytes: int) -> None:
        """Count what the request holds by now, if that is more. Raises as `Admission.enter` does for bytes."""
        if nbytes > self.nbytes:
            self._admission.grow(nbytes - self.nbytes, self.nbytes)
            self.nbytes = nbytes

    def leave(self) -> None:
        if self._flow is not None:
            self._flow.leave()
        if self._caller is not None:
            self._caller.leave()
        self._admission.requests -= 1
        self._admission.nbytes -= self.nbytes

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()


class Admission:
    """Counts requests and body bytes in flight. `flows`: what is known of each model."""

    __slots__ = ("_max_bytes", "_max_requests", "flows", "nbytes", "requests")

    def __init__(
        self, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES, *, is_limiting_models: bool = True
    ) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.flows = Flows(is_limiting=is_limiting_models)
        self.requests = 0
        self.nbytes = 0

    def enter(self, nbytes: int, model: str) -> Place:
        """Count one request of `nbytes` for this model in, for the caller that the task works for.

        Raises Overloaded, KeyExhausted for the caller's own limits, or InvalidArgument for one that never has room,
        and counts nothing.
        """
        if self.requests >= self._max_requests:
            raise Overloaded(
                f"gateway is overloaded: {self.requests} requests are in flight, the most it takes; try again later"
            )
        self.grow(nbytes)
        caller = current_caller()
        try:
            if caller is not None:
                caller.enter(monotonic())
            flow = self._arrive(model, caller)
        except BaseException:
            self.nbytes -= nbytes
            raise
        self.requests += 1
        return Place(self, nbytes, caller, flow)

    def grow(self, nbytes: int, held_nbytes: int = 0) -> None:
        """Count further bytes of a request that has `held_nbytes`, or raise as `enter` does and count nothing."""
        if held_nbytes + nbytes > self._max_bytes:
            raise InvalidArgument(
                f"this request needs {held_nbytes + nbytes} bytes, and a gateway takes on {self._max_bytes} at most; "
                "raise --max-inflight-bytes, or send less at once"
            )
        if self.nbytes + nbytes > self._max_bytes:
            raise Overloaded(
                f"gateway is overloaded: this request needs {nbytes} bytes and {self.nbytes} are in flight, "
                f"of {self._max_bytes} at most; try again later"
            )
        self.nbytes += nbytes

    def shrink(self, nbytes: int) -> None:
        """Count bytes out that `grow` counted in."""
        self.nbytes -= nbytes

    def _arrive(self, model: str, caller: Caller | None) -> Flow | None:
        try:
            return self.flows.arrive(model)
        except Overloaded:
            if caller is not None:
                caller.leave()
            raise
