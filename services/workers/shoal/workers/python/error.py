"""How a model reports trouble: `TritonError` in a response, `TritonModelException` by raising it."""

from __future__ import annotations

from shoal.core.errors import Code


class TritonModelException(Exception):
    """Raised by this module's functions when they are used wrongly or cannot do what was asked.

    A model may raise it too: the load, or every request of the batch, fails with its text.
    """

    def message(self) -> str:
        return str(self)


class TritonError:
    """The error of one response. Its code decides the HTTP and gRPC status that the client gets (default: 500)."""

    __slots__ = ("_code", "_message")

    UNKNOWN = Code.UNKNOWN
    INTERNAL = Code.INTERNAL
    NOT_FOUND = Code.NOT_FOUND
    INVALID_ARG = Code.INVALID_ARG
    UNAVAILABLE = Code.UNAVAILABLE
    UNSUPPORTED = Code.UNSUPPORTED
    ALREADY_EXISTS = Code.ALREADY_EXISTS
    CANCELLED = Code.CANCELLED

    def __init__(self, message: str, code: int = Code.INTERNAL) -> None:
        self._message = message
        self._code = Code(code)

    def message(self) -> str:
        return self._message

    def code(self) -> Code:
        return self._code

    def __str__(self) -> str:
        return self._message


def not_available(feature: str, instead: str) -> TritonModelException:
    """The exception for a part of Triton's interface that this release does not have yet."""
    return TritonModelException(f"{feature} is not available in this release of Shoal; {instead}")
