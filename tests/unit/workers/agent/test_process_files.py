from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator

import pytest

from shoal.workers.agent.process_files import ProcessFiles


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process whose name looks like fields of /proc/PID/stat."""
    script = "printf 'x) T 1 (' > /proc/self/comm; echo; read line"
    process = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdin is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.fixture
def files(sleeper: subprocess.Popen[bytes]) -> Iterator[ProcessFiles]:
    files = ProcessFiles(sleeper.pid)
    yield files
    files.close()


def test_a_stopped_process_is_told_from_one_that_sleeps(sleeper: subprocess.Popen[bytes], files: ProcessFiles) -> None:
    assert files.state() in "RS"
    sleeper.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED)
    assert files.state() == "T"


def test_the_state_of_a_process_that_is_gone_is_unknown(sleeper: subprocess.Popen[bytes], files: ProcessFiles) -> None:
    files.state()
    sleeper.kill()
    sleeper.wait()
    assert (files.state(), files.own_nbytes()) == ("", 0)


def test_own_bytes_grow_with_what_a_process_takes() -> None:
    files = ProcessFiles(os.getpid())
    before = files.own_nbytes()
    taken = bytearray(b"x") * (64 << 20)
    after = files.own_nbytes()
    files.close()
    assert before > 0
    assert after - before > len(taken) // 2


def test_without_descriptors_everything_is_unknown_for_a_while(files: ProcessFiles) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        assert files.state() == ""
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert files.state() in "RS"
