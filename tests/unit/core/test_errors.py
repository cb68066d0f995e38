from __future__ import annotations

import pytest

from shoal.core.errors import (
    CODE_TEXT,
    AlreadyExists,
    Cancelled,
    Code,
    InternalError,
    InvalidArgument,
    NotFound,
    ShoalError,
    Unavailable,
    UnknownError,
    Unsupported,
    from_wire,
)

#: Code, HTTP status, gRPC status and text of every error, as Triton's front ends map them.
TABLE: list[tuple[type[ShoalError], int, int, int, str]] = [
    (UnknownError, 0, 400, 2, "Unknown"),
    (InternalError, 1, 500, 13, "Internal"),
    (NotFound, 2, 404, 5, "Not found"),
    (InvalidArgument, 3, 400, 3, "Invalid argument"),
    (Unavailable, 4, 503, 14, "Unavailable"),
    (Unsupported, 5, 501, 12, "Unsupported"),
    (AlreadyExists, 6, 400, 6, "Already exists"),
    (Cancelled, 7, 400, 1, "Cancelled"),
]


@pytest.mark.parametrize(("cls", "code", "http", "grpc", "text"), TABLE)
def test_the_class_decides_code_and_statuses(cls: type[ShoalError], code: int, http: int, grpc: int, text: str) -> None:
    error = cls("why")
    assert (error.to_wire(), error.http_status, error.grpc_status) == ((code, "why"), http, grpc)
    assert error.reason() == f"{text}: why"
    assert CODE_TEXT[cls.code] == text


@pytest.mark.parametrize("cls", [row[0] for row in TABLE])
def test_an_error_that_crossed_a_process_border_is_the_same_error(cls: type[ShoalError]) -> None:
    made = from_wire(cls("why").to_wire())
    assert type(made) is cls
    assert made.message == "why"


def test_every_code_has_a_class() -> None:
    assert {cls.code for cls, *_ in TABLE} == set(Code)


def test_a_code_of_another_release_is_unknown() -> None:
    assert type(from_wire((99, "why"))) is UnknownError
