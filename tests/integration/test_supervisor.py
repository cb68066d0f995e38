"""The supervisor with real processes: restarts, drains, and nothing left behind however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal.runtime.supervisor import Command, Supervisor
from shoal_server import until

PROGRAMS = Path(__file__).parent / "programs"

Supervise = Callable[..., subprocess.Popen[str]]


def child(folder: Path, name: str, stage: int = 0, *options: str) -> dict[str, object]:
    argv = [sys.executable, str(PROGRAMS / "child.py"), str(folder), name, *options]
    return {"name": name, "stage": stage, "argv": argv}


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    """Start a supervisor over the given commands; whatever is left at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*commands: dict[str, object], exit_timeout_s: float = 30.0) -> subprocess.Popen[str]:
        argv = [sys.executable, str(PROGRAMS / "supervise.py"), json.dumps(commands)]
        process = subprocess.Popen(
            [*argv, f"--exit-timeout-s={exit_timeout_s}"], stderr=subprocess.PIPE, start_new_session=True, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def pids(folder: Path, name: str) -> list[int]:
    return [int(line) for line in lines(folder / f"{name}.pids")]


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_child_that_ends_just_before_its_signal_is_reaped_all_the_same() -> None:
    supervisor = Supervisor([Command("brief", 0, [sys.executable, "-c", ""])], 30.0)
    running = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0)
    # The loop stands still meanwhile, so the supervisor does not know yet that the child has ended.
    until(lambda: not is_alive(supervisor.pids["brief"]))
    supervisor.request_stop()
    assert await asyncio.wait_for(running, 5) == 0


def test_no_child_outlives_a_killed_supervisor(tmp_path: Path, supervise: Supervise) -> None:
    supervisor = supervise(child(tmp_path, "one"), child(tmp_path, "two", 1))
    until(lambda: bool(pids(tmp_path, "one") and pids(tmp_path, "two")))
    children = [*pids(tmp_path, "one"), *pids(tmp_path, "two")]
    supervisor.kill()
    until(lambda: not any(map(is_alive, children)), within_s=2)


def test_a_foreign_program_does_not_outlive_it_either(tmp_path: Path, supervise: Supervise) -> None:
    script = f"echo $$ > {tmp_path}/foreign.pids; exec sleep 60"
    argv = [sys.executable, "-m", "shoal.runtime.launch", "--", "/bin/sh", "-c", script]
    supervisor = supervise({"name": "foreign", "stage": 0, "argv": argv})
    until(lambda: bool(pids(tmp_path, "foreign")))
    supervisor.kill()
    until(lambda: not is_alive(pids(tmp_path, "foreign")[0]), within_s=2)


def test_what_a_dead_child_left_behind_is_killed(tmp_path: Path, supervise: Supervise) -> None:
    supervise(child(tmp_path, "parent", 0, "--grandchild"))
    until(lambda: len(pids(tmp_path, "parent")) == 1)
    os.kill(pids(tmp_path, "parent")[0], signal.SIGKILL)
    until(lambda: not is_alive(pids(tmp_path, "grandchild")[0]))


def test_a_killed_child_is_restarted(tmp_path: Path, supervise: Supervise) -> None:
    supervise(child(tmp_path, "one"))
    until(lambda: len(pids(tmp_path, "one")) == 1)
    os.kill(pids(tmp_path, "one")[0], signal.SIGKILL)
    until(lambda: len(pids(tmp_path, "one")) == 2)


@pytest.mark.slow
def test_restarts_are_spaced_out(tmp_path: Path, supervise: Supervise) -> None:
    supervisor = supervise(child(tmp_path, "brief", 0, "--exit-after=0", "--exit-code=1"))
    assert supervisor.wait(timeout=30) == 1
    assert len(pids(tmp_path, "brief")) == 5
    assert supervisor.stderr is not None
    events = [json.loads(line) for line in supervisor.stderr]
    delays = [event["restart_in_s"] for event in events if event["event"] == "service lost"]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_a_child_with_trouble_in_its_environment_stops_everything(tmp_path: Path, supervise: Supervise) -> None:
    supervisor = supervise(child(tmp_path, "good"), child(tmp_path, "troubled", 0, "--exit-after=0.5", "--exit-code=3"))
    assert supervisor.wait(timeout=20) == 1
    assert supervisor.stderr is not None
    assert "troubled cannot start (exit code 3)" in supervisor.stderr.read()
    assert not any(map(is_alive, pids(tmp_path, "good")))


def test_a_signal_drains_stage_by_stage(tmp_path: Path, supervise: Supervise) -> None:
    names = ["broker", "agent", "gateway"]
    supervisor = supervise(*(child(tmp_path, name, stage) for stage, name in zip((2, 1, 0), names, strict=True)))
    until(lambda: all(pids(tmp_path, name) for name in names))
    supervisor.terminate()
    assert supervisor.wait(timeout=20) == 0
    assert lines(tmp_path / "drained") == ["gateway", "agent", "broker"]


def test_a_child_that_does_not_drain_is_killed_at_the_deadline(tmp_path: Path, supervise: Supervise) -> None:
    supervisor = supervise(child(tmp_path, "stubborn", 0, "--ignore-sigterm"), exit_timeout_s=0.3)
    until(lambda: bool(pids(tmp_path, "stubborn")))
    supervisor.terminate()
    assert supervisor.wait(timeout=20) == 1
    assert supervisor.stderr is not None
    assert "Exit timeout expired. Exiting immediately." in supervisor.stderr.read()
    assert not is_alive(pids(tmp_path, "stubborn")[0])


def test_the_second_signal_kills(tmp_path: Path, supervise: Supervise) -> None:
    supervisor = supervise(child(tmp_path, "stubborn", 0, "--ignore-sigterm"))
    until(lambda: bool(pids(tmp_path, "stubborn")))
    supervisor.terminate()
    until(lambda: lines(tmp_path / "drained") == ["stubborn"])
    supervisor.terminate()
    assert supervisor.wait(timeout=5) == 1
    assert not is_alive(pids(tmp_path, "stubborn")[0])


def test_a_program_that_is_not_there_is_named(tmp_path: Path, supervise: Supervise) -> None:
    supervisor = supervise({"name": "absent", "stage": 0, "argv": [str(tmp_path / "absent")]})
    assert supervisor.wait(timeout=20) == 1
    assert supervisor.stderr is not None
    assert "service not started" in supervisor.stderr.read()
