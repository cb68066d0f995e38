from __future__ import annotations

import os
import sys

import pytest

from shoal.runtime.parent_death import PARENT_PID
from shoal.workers.agent.children import command, environment


def test_a_child_runs_our_interpreter_without_the_working_directory() -> None:
    assert command("shoal.workers.describe", "x:Y") == [sys.executable, "-P", "-m", "shoal.workers.describe", "x:Y"]


def test_thread_pools_of_numpy_are_small_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    child = environment({"EXTRA": "1"})
    assert (child["OMP_NUM_THREADS"], child["OPENBLAS_NUM_THREADS"], child["EXTRA"]) == ("1", "3", "1")


def test_a_child_knows_whom_to_die_with() -> None:
    assert environment({})[PARENT_PID] == str(os.getpid())
