"""The errors that Shoal answers with: one class per situation.

The class decides Triton's code, and with it the HTTP status and the gRPC status; no call site picks one
(tables: Triton's HTTP and gRPC front ends). Errors cross process borders as `(code, message)`; `from_wire` makes
an error again.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Code(IntEnum):
    """Triton's error codes; the numbers are those of `TRITONSERVER_Error_Code` and travel on the wire."""

    UNKNOWN = 0
    INTERNAL = 1
    NOT_FOUND = 2
    INVALID_ARG = 3
    UNAVAILABLE = 4
    UNSUPPORTED = 5
    ALREADY_EXISTS = 6
    CANCELLED = 7


HTTP_STATUS: dict[Code, int] = {
    Code.UNKNOWN: 400,
    Code.INTERNAL: 500,
    Code.NOT_FOUND: 404,
    Code.INVALID_ARG: 400,
    Code.UNAVAILABLE: 503,
    Code.UNSUPPORTED: 501,
    Code.ALREADY_EXISTS: 400,
    Code.CANCELLED: 400,
}

#: Numbers of `grpc.StatusCode`, kept as integers so that only the gateway's gRPC part needs grpc.
GRPC_STATUS: dict[Code, int] = {
    Code.UNKNOWN: 2,
    Code.INTERNAL: 13,
    Code.NOT_FOUND: 5,
    Code.INVALID_ARG: 3,
    Code.UNAVAILABLE: 14,
    Code.UNSUPPORTED: 12,
    Code.ALREADY_EXISTS: 6,
    Code.CANCELLED: 1,
}

#: How a code is spelled in index reasons and log lines, as Triton spells it.
CODE_TEXT: dict[Code, str] = {
    Code.UNKNOWN: "Unknown",
    Code.INTERNAL: "Internal",
    Code.NOT_FOUND: "Not found",
    Code.INVALID_ARG: "Invalid argument",
    Code.UNAVAILABLE: "Unavailable",
    Code.UNSUPPORTED: "Unsupported",
    Code.ALREADY_EXISTS: "Already exists",
    Code.CANCELLED: "Cancelled",
}


class ShoalError(Exception):
    """Base of every error that may reach a client; `message` is the text the client reads."""

    code: ClassVar[Code] = Code.INTERNAL

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def http_status(self) -> int:
        return HTTP_STATUS[self.code]

    @property
    def grpc_status(self) -> int:
        return GRPC_STATUS[self.code]

    def to_wire(self) -> tuple[int, str]:
        return int(self.code), self.message

    def reason(self) -> str:
        """The form of an index reason, `<Code>: <message>`."""
        return f"{CODE_TEXT[self.code]}: {self.message}"


class UnknownError(ShoalError):
    code = Code.UNKNOWN


class InternalError(ShoalError):
    code = Code.INTERNAL


class NotFound(ShoalError):
    code = Code.NOT_FOUND


class InvalidArgument(ShoalError):
    code = Code.INVALID_ARG


class Unavailable(ShoalError):
    code = Code.UNAVAILABLE


class Unsupported(ShoalError):
    code = Code.UNSUPPORTED


class AlreadyExists(ShoalError):
    code = Code.ALREADY_EXISTS


class Cancelled(ShoalError):
    code = Code.CANCELLED


_BY_CODE: dict[Code, type[ShoalError]] = {
    cls.code: cls
    for cls in (
        UnknownError,
        InternalError,
        NotFound,
        InvalidArgument,
        Unavailable,
        Unsupported,
        AlreadyExists,
        Cancelled,
    )
}


def from_wire(error: tuple[int, str]) -> ShoalError:
    """Make the error again that another process sent; an unknown code becomes UNKNOWN."""
    number, message = error
    try:
        code = Code(number)
    except ValueError:
        code = Code.UNKNOWN
    return _BY_CODE[code](message)
