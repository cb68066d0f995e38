"""Bodies of requests to other routes than inference: counted as they are read, and of bounded size."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from shoal.core.errors import InvalidArgument
from shoal.gateway.admission import Admission
from shoal.gateway.http.asgi import Receive


def too_large(nbytes: int, limit_nbytes: int) -> InvalidArgument:
    """The refusal of a body that would have to be held as a whole."""
    return InvalidArgument(
        f"request of {nbytes} bytes exceeds the maximum allowed size of {limit_nbytes} bytes. "
        "Use --http-max-input-size to increase the limit."
    )


class CountedBody:
    """One body on its way to whoever calls `receive`, which is ASGI's. `leave` when the request is answered: what it
    reads counts as in flight until then."""

    __slots__ = ("_admission", "_limit_nbytes", "_nbytes", "_receive")

    def __init__(self, receive: Receive, admission: Admission, limit_nbytes: int) -> None:
        self._receive = receive
        self._admission = admission
        self._limit_nbytes = limit_nbytes
        self._nbytes = 0

    async def receive(self) -> MutableMapping[str, Any]:
        """The next ASGI message. Raises InvalidArgument for a body that becomes too large, Overloaded when too much is
        in flight."""
        message = await self._receive()
        nbytes = len(message.get("body", b""))
        if self._nbytes + nbytes > self._limit_nbytes:
            raise too_large(self._nbytes + nbytes, self._limit_nbytes)
        self._admission.grow(nbytes, self._nbytes)
        self._nbytes += nbytes
        return message

    def leave(self) -> None:
        self._admission.shrink(self._nbytes)
        self._nbytes = 0
