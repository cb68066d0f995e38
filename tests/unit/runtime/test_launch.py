from __future__ import annotations

import subprocess
import sys

import pytest

from shoal.runtime.parent_death import child_environment


def launch(*argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shoal.runtime.launch", *argv]
    return subprocess.run(command, env=child_environment(), check=False, capture_output=True, text=True)


def test_the_program_takes_the_place_of_the_launcher() -> None:
    ended = launch("--", "/bin/sh", "-c", "echo $SHOAL_PARENT_PID; exit 7")
    assert (ended.returncode, ended.stdout) == (7, "\n")


@pytest.mark.parametrize(("program", "code"), [("/no/such/program", 127), ("/", 126)])
def test_a_program_that_cannot_be_executed_is_named(program: str, code: int) -> None:
    ended = launch("--", program)
    assert ended.returncode == code
    assert f"cannot execute '{program}'" in ended.stderr


def test_without_a_program_the_usage_is_told() -> None:
    assert "usage" in launch().stderr
