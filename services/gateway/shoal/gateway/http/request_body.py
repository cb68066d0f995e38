"""The body of an inference request while it comes in: counted before it is read, and kept in the pieces it came in."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.gateway.admission import Admission, Place
from shoal.gateway.http.asgi import Receive


class ClientLeft(Exception):
    """The client closed its connection before its request was answered."""


class RequestBody:
    """One body and its place in the admission: what it declares is counted before it is read, what a chunked one has is
    counted as it comes, and a compressed one counts with its plain size. `leave` follows `enter`."""

    __slots__ = ("_admission", "_chunks", "_declared_nbytes", "_model", "_place")

    def __init__(self, admission: Admission, model: str, declared_nbytes: int) -> None:
        self._admission = admission
        self._model = model
        self._declared_nbytes = declared_nbytes
        self._place: Place | None = None
        self._chunks: list[bytes] = []

    def enter(self) -> None:
        """Raises as `Admission.enter`."""
        self._place = self._admission.enter(self._declared_nbytes, self._model)

    def leave(self) -> None:
        assert self._place is not None  # who leaves has entered
        self._place.leave()

    def grow_to(self, nbytes: int) -> None:
        """Count what the request holds by now, if that is more. Raises Overloaded, or InvalidArgument for what can
        never be taken."""
        assert self._place is not None  # a body is read after `enter`
        self._place.grow_to(nbytes)

    async def read(self, receive: Receive) -> None:
        """Read it whole. Raises as `enter` does, and ClientLeft when the client closes its connection first."""
        nbytes = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientLeft
            chunk: bytes = message["body"]
            nbytes += len(chunk)
            self.grow_to(nbytes)
            self._chunks.append(chunk)
            if not message.get("more_body", False):
                return

    def take(self) -> Sequence[bytes]:
        """The body in the pieces in which it came, one at least; it is kept here no longer. To be called once."""
        chunks, self._chunks = self._chunks, []
        return chunks
