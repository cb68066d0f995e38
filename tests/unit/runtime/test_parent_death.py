from __future__ import annotations

import os
import subprocess
import sys

import pytest

from shoal.runtime.parent_death import PARENT_PID, child_environment, die_with_parent


def test_a_process_started_by_a_person_lives_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARENT_PID, raising=False)
    die_with_parent()


def test_children_are_told_who_their_parent_is() -> None:
    environment = child_environment({"EXTRA": "1"})
    assert (environment[PARENT_PID], environment["EXTRA"]) == (str(os.getpid()), "1")


def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    program = "from shoal.runtime.parent_death import die_with_parent; die_with_parent(); print('alive')"
    environment = {**os.environ, PARENT_PID: "1"}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, check=False, capture_output=True)
    assert (ended.returncode, ended.stdout) == (1, b"")
