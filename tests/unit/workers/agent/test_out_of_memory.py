from __future__ import annotations

from pathlib import Path

import pytest

from shoal.workers.agent.out_of_memory import OutOfMemoryKills

VERSION_2 = ("0::/a/b", "sys/fs/cgroup/a/b/memory.events")
VERSION_1 = ("5:cpu:/x\n4:memory:/a\n0::/", "sys/fs/cgroup/memory/a/memory.oom_control")
CONTAINER = ("4:memory:/docker/1", "sys/fs/cgroup/memory/memory.oom_control")
MACHINE = ("0::/", "proc/vmstat")


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@pytest.mark.parametrize(("groups", "counter"), [VERSION_2, VERSION_1, CONTAINER, MACHINE])
def test_a_kill_since_the_last_look_is_noticed(tmp_path: Path, groups: str, counter: str) -> None:
    write(tmp_path, "proc/self/cgroup", groups)
    write(tmp_path, counter, "low 0\noom_kill 2\noom_group_kill 7\n")
    kills = OutOfMemoryKills(tmp_path)
    assert not kills.has_grown()
    write(tmp_path, counter, "low 0\noom_kill 3\noom_group_kill 7\n")
    assert kills.has_grown()
    kills.look()
    assert not kills.has_grown()


def test_our_own_group_counts_and_not_the_machine(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", VERSION_2[0])
    write(tmp_path, VERSION_2[1], "oom_kill 0\n")
    write(tmp_path, "proc/vmstat", "oom_kill 1\n")
    kills = OutOfMemoryKills(tmp_path)
    write(tmp_path, "proc/vmstat", "oom_kill 2\n")
    assert not kills.has_grown()


def test_without_any_counter_nothing_is_known(tmp_path: Path) -> None:
    kills = OutOfMemoryKills(tmp_path)
    kills.look()
    assert not kills.has_grown()
