"""A folder of shared memory, and programs that own memory in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segments import segment_folder
from shoal.core.tensors import ArenaRef

PROGRAMS = Path(__file__).parent / "programs"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder() -> Iterator[Path]:
    with segment_folder() as made:
        yield made


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts a program with the folder as its first argument; killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def run(program: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / program), str(folder), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate(timeout=10)


@pytest.fixture
def refs_of() -> Callable[[subprocess.Popen[str]], list[ArenaRef]]:
    """The references that a program prints in one line."""

    def read(process: subprocess.Popen[str]) -> list[ArenaRef]:
        assert process.stdout is not None
        return [ArenaRef(*fields) for fields in json.loads(process.stdout.readline())]

    return read
