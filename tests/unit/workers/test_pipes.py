from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest


def run(script: str) -> subprocess.CompletedProcess[bytes]:
    """A process whose pipes were taken before `script` goes on with them as `pipes`."""
    head = "import os, sys\nfrom shoal.workers.pipes import *\npipes = take_standard_pipes()\n"
    command = [sys.executable, "-c", head + dedent(script)]
    return subprocess.run(command, input=b"from the agent", capture_output=True, timeout=60, check=False)


def test_the_pipes_are_the_agents_and_what_is_printed_is_an_error() -> None:
    done = run("""
        os.write(pipes.to_agent, os.read(pipes.from_agent, 100) + b", answered")
        print("printed", flush=True)
        os.write(1, b"and written")
        assert sys.stdin.read() == ""
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"from the agent, answered", b"printed\nand written")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_descriptors_that_a_model_closed_are_put_back(closed: tuple[int, ...]) -> None:
    done = run(f"""
        for number in {closed}:
            os.close(number)
        restore_standard_streams()
        assert os.open(os.devnull, os.O_RDONLY) > 2
        assert os.read(0, 1) == b""
        os.write(1, b"one ")
        os.write(2, b"two")
        os.write(pipes.to_agent, b"fine")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"fine", b"one two")


def test_descriptors_that_a_model_uses_for_itself_are_left_alone() -> None:
    done = run("""
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        restore_standard_streams()
        os.write(1, b"mine")
        assert os.read(reader, 4) == b"mine"
    """)
    assert (done.returncode, done.stderr) == (0, b"")


def test_nothing_is_put_back_in_a_process_that_keeps_its_streams() -> None:
    script = "import os\nfrom shoal.workers.pipes import *\nos.close(0)\nrestore_standard_streams()\nos.fstat(0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert b"OSError: [Errno 9]" in done.stderr
