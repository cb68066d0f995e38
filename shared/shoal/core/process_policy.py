"""What a model's configuration asks of the processes that run it: parameters of Shoal's own, named `shoal.*`.

They stand in `config.pbtxt` as Triton's parameters do:

    parameters { key: "shoal.execution_timeout" value { string_value: "2.5" } }
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from shoal.core.errors import InvalidArgument

#: Names that begin so are ours: an unknown one is a mistake, not a parameter of the model.
PREFIX = "shoal."

EXECUTION_TIMEOUT = "shoal.execution_timeout"
RECYCLE_AFTER_EXECUTIONS = "shoal.recycle_after_executions"
RECYCLE_ABOVE_RESIDENT_BYTES = "shoal.recycle_above_resident_bytes"

#: Those that replace a process by a fresh one, and so need one for each instance.
RECYCLING = (RECYCLE_AFTER_EXECUTIONS, RECYCLE_ABOVE_RESIDENT_BYTES)

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
_COUNT = re.compile(r"[0-9]{1,18}")


class ProcessPolicy(NamedTuple):
    """None where the configuration does not say.

    `execution_timeout_s`: seconds, greater than 0; an execution that takes longer ends its process.
    `recycle_after_executions`: at least 1; an instance that has executed so many batches, failed ones included, is
    replaced by a fresh one. `recycle_above_resident_bytes`: at least 1; so is one whose process has more bytes of its
    own in memory, mapped files and shared memory not counted.
    """

    execution_timeout_s: float | None = None
    recycle_after_executions: int | None = None
    recycle_above_resident_bytes: int | None = None


def process_policy(model: str, parameters: Mapping[str, str]) -> ProcessPolicy:
    """The policy in a model's parameters. Raises InvalidArgument when `problems` finds any."""
    texts = [text for _, text in problems(model, parameters)]
    if texts:
        raise InvalidArgument("; ".join(texts))
    timeout = parameters.get(EXECUTION_TIMEOUT)
    return ProcessPolicy(
        None if timeout is None else float(timeout),
        _count(parameters.get(RECYCLE_AFTER_EXECUTIONS)),
        _count(parameters.get(RECYCLE_ABOVE_RESIDENT_BYTES)),
    )


def problems(model: str, parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the parameters that are ours: name of the parameter and text."""
    for name, value in parameters.items():
        expected = _expected(name, value) if name.startswith(PREFIX) else ""
        if expected:
            yield name, f"parameter '{name}' of model '{model}' is '{value}', expected {expected}"


def _expected(name: str, value: str) -> str:
    """What should stand there instead; empty when the value is sound."""
    if name == EXECUTION_TIMEOUT:
        is_sound = bool(_SECONDS.fullmatch(value)) and 0 < float(value) < math.inf
        return "" if is_sound else "a number of seconds greater than 0, such as 2.5"
    if name in RECYCLING:
        unit = "executions" if name == RECYCLE_AFTER_EXECUTIONS else "bytes"
        is_sound = bool(_COUNT.fullmatch(value)) and int(value) > 0
        return "" if is_sound else f"a whole number of {unit} greater than 0, such as 1000000"
    return f"one of the parameters {EXECUTION_TIMEOUT}, {', '.join(RECYCLING)}; names with '{PREFIX}' are Shoal's own"


def _count(value: str | None) -> int | None:
    return None if value is None else int(value)
