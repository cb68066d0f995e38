"""How much a gateway takes on at once: bounds by count and by bytes, refused early instead of queued."""

from __future__ import annotations

from shoal.core.errors import InvalidArgument, Unavailable

#: Requests in flight per gateway process.
MAX_REQUESTS = 16_384
#: Bytes of request bodies in flight per gateway process; also what one request may have at most.
MAX_BYTES = 256 * 1024 * 1024


class Overloaded(Unavailable):
    """This gateway has as much in flight as it may; worth another try after a second."""

    retry_after_s = 1

    @property
    def http_status(self) -> int:
        return 429

    @property
    def grpc_status(self) -> int:
        """RESOURCE_EXHAUSTED."""
        return 8


class Admission:
    """Counts requests and body bytes in flight. Whoever entered leaves with the same number, exactly once."""

    __slots__ = ("_max_bytes", "_max_requests", "nbytes", "requests")

    def __init__(self, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.requests = 0
        self.nbytes = 0

    def enter(self, nbytes: int) -> None:
        """Count one request of `nbytes` in, or raise Overloaded, or InvalidArgument for one that never has room, and
        count nothing."""
        if self.requests >= self._max_requests:
            raise Overloaded(
                f"gateway is overloaded: {self.requests} requests are in flight, the most it takes; try again later"
            )
        self.grow(nbytes)
        self.requests += 1

    def grow(self, nbytes: int, held_nbytes: int = 0) -> None:
        """Count further bytes of a request that has `held_nbytes`, or raise as `enter` does and count nothing."""
        if held_nbytes + nbytes > self._max_bytes:
            raise InvalidArgument(
                f"this request needs {held_nbytes + nbytes} bytes, and a gateway takes on {self._max_bytes} at most; "
                "send less at once"
            )
        if self.nbytes + nbytes > self._max_bytes:
            raise Overloaded(
                f"gateway is overloaded: this request needs {nbytes} bytes and {self.nbytes} are in flight, "
                f"of {self._max_bytes} at most; try again later"
            )
        self.nbytes += nbytes

    def leave(self, nbytes: int) -> None:
        """Count one request and all its bytes out."""
        self.requests -= 1
        self.nbytes -= nbytes
