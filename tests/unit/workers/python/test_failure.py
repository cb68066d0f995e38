from __future__ import annotations

import importlib

from shoal.workers.python.failure import exception_text


def failing() -> None:
    raise ValueError("on purpose")


def caught_from_here() -> ValueError:
    try:
        failing()
    except ValueError as error:
        return error
    raise AssertionError


def test_text_is_type_message_and_the_frames_innermost_first() -> None:
    error = caught_from_here()
    lines = exception_text(error).splitlines()
    assert lines[:3] == ["ValueError: on purpose", "", "At:"]
    assert [line.split(": ")[-1] for line in lines[3:]] == ["failing", "caught_from_here"]
    assert lines[3] == f"  {__file__}({failing.__code__.co_firstlineno + 1}): failing"


def test_frames_of_the_import_system_are_left_out() -> None:
    try:
        importlib.import_module("module_that_is_not_there")
    except ImportError as error:
        assert "frozen" not in exception_text(error)


def test_an_exception_that_was_never_raised_has_no_frames() -> None:
    assert exception_text(ValueError("text")) == "ValueError: text"
