import os
import sys

from process_cpu import OTHER, Process, processes, used_s


def test_time_is_summed_by_role() -> None:
    before = {1: Process("http", 1.0), 2: Process("executor", 5.0), 3: Process("executor", 2.0)}
    after = {1: Process("http", 1.5), 2: Process("executor", 6.0), 3: Process("executor", 2.0)}

    assert used_s(before, after) == {"http": 0.5, "executor": 1.0}


def test_a_process_that_was_started_again_counts_from_its_start() -> None:
    assert used_s({7: Process("executor", 50.0)}, {8: Process("executor", 0.25)}) == {"executor": 0.25}


def test_a_process_is_known_by_its_command_line() -> None:
    assert processes(os.getpid(), {sys.executable: "python"})[os.getpid()].role == "python"
    assert processes(os.getpid(), {})[os.getpid()].role == OTHER
