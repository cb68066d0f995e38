from __future__ import annotations

import pytest

from shoal.core.errors import InvalidArgument
from shoal.repository.problems import Problem, check, suffixed


def test_no_problem_is_no_error() -> None:
    check([], "m/config.pbtxt", lambda where: 1)


def test_all_problems_are_told_with_their_lines() -> None:
    def locate(where: tuple[str, ...]) -> int | None:
        return 4 if where == ("input", "A") else None

    problems = suffixed([Problem("input is odd", ("input", "A")), Problem("output is odd", ("output",))], " for m")
    with pytest.raises(InvalidArgument) as caught:
        check(problems, "m/config.pbtxt", locate)
    assert caught.value.message == "input is odd for m (m/config.pbtxt:4); output is odd for m"
