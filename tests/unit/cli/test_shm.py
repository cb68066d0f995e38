from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from segments import names, segment_folder
from shoal.cli.main import main
from shoal.cli.shm import shm
from shoal.memory import Arena


@pytest.fixture
def folder() -> Iterator[Path]:
    with segment_folder() as made:
        yield made


def test_the_table_has_a_row_for_each_segment(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arena = Arena.open("gateway-1", 2**30, folder)
    for holder in ("scheduler", "scheduler", "executor-2"):
        arena.allocate(600 * 1024, holder)
    assert shm(["ls"], folder) == 0
    arena.close()
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["SEGMENT", "OWNER", "STATE", "AGE", "SIZE", "USED", "BLOCKS", "HOLDERS"]
    assert [row.split()[:5] for row in rows] == [
        [f"shoal-gateway-1-{number}", "gateway-1", "alive", "0", "s"] for number in (1, 2, 3)
    ]
    assert "600 KiB  1/1 of 640 KiB  scheduler: 1 / 600 KiB" in rows[0]


def test_the_same_comes_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arena = Arena.open("gateway-1", 2**30, folder, server="s1")
    arena.allocate(60_000, "scheduler")
    assert shm(["ls", "--json"], folder) == 0
    arena.close()
    (found,) = json.loads(capsys.readouterr().out)
    assert found["segment"] == "shoal-gateway-1-1"
    assert (found["state"], found["server"], found["used_bytes"]) == ("alive", "s1", 60_000)
    assert found["holders"] == [{"holder": "scheduler", "blocks": 1, "nbytes": 60_000}]


def test_without_segments_it_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (shm(["ls"], folder), capsys.readouterr().out) == (0, "no segments\n")
    assert (shm(["ls", "--json"], folder), capsys.readouterr().out) == (0, "[]\n")
    assert (shm(["sweep"], folder), capsys.readouterr().out) == (0, "nothing to remove\n")


def test_what_a_dead_owner_left_is_shown_and_swept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arena = Arena.open("gateway-1", 2**30, folder, clock=lambda: 1000.0)
    arena.allocate(8192, "scheduler")
    (folder / "kept").hardlink_to(folder / names(folder)[0])
    arena.close()
    (folder / "kept").rename(folder / "shoal-gateway-1-1")
    shm(["ls"], folder)
    assert "dead" in capsys.readouterr().out
    assert shm(["sweep"], folder) == 0
    assert capsys.readouterr().out == "removed shoal-gateway-1-1\n"
    assert names(folder) == []


@pytest.mark.parametrize("argv", [[], ["list"], ["ls", "--yaml"], ["ls", "x"], ["sweep", "now"]])
def test_anything_else_is_a_usage_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shm", *argv]) == 2
    assert "usage: shoal shm ls [--json]" in capsys.readouterr().err


def test_the_help_tells_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shm", "--help"]) == 0
    assert "sweep" in capsys.readouterr().out
