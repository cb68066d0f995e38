"""What a rule finds wrong with a configuration, and how problems become the one error of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from shoal.core.errors import InvalidArgument


class Problem(NamedTuple):
    """`text` is Triton's wording where it has one. `where` leads to the place in `config.pbtxt`: names of fields and of
    tensors, outermost first; empty when the file has no such place."""

    text: str
    where: tuple[str, ...] = ()


#: Finds the line of `Problem.where`, None when the file does not have it.
Locate = Callable[[tuple[str, ...]], int | None]


def check(problems: Iterable[Problem], source: str, locate: Locate) -> None:
    """Raise InvalidArgument with all problems, each with its place in the file `source` where it is known."""
    texts = [_located(problem, source, locate) for problem in problems]
    if texts:
        raise InvalidArgument("; ".join(texts))


def suffixed(problems: Iterable[Problem], suffix: str) -> Iterator[Problem]:
    """The same problems with `suffix` behind each text."""
    return (Problem(text + suffix, where) for text, where in problems)


def _located(problem: Problem, source: str, locate: Locate) -> str:
    line = locate(problem.where)
    return problem.text if line is None else f"{problem.text} ({source}:{line})"
