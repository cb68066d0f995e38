"""How the agent's children are started: by our interpreter, away from the working directory, not outliving us."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from shoal.runtime.parent_death import child_environment

#: numpy's own thread pools spin otherwise, one for each executor.
_SINGLE_THREADED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def command(module: str, *arguments: str) -> list[str]:
    """-P: neither the working directory nor a script's folder comes before installed modules."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Ours, with `extra`, and with the thread counts that the user did not set."""
    defaults = {name: value for name, value in _SINGLE_THREADED.items() if name not in os.environ}
    return child_environment({**defaults, **extra})
