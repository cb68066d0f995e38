"""Shared memory that is smaller than the limits of those who use it: they are refused, and nothing crashes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "programs" / "fill_shared_memory.py"
NOT_PERMITTED = 77


def fill(folder: Path, mib: int) -> dict[str, Any]:
    command = ["unshare", "--mount", sys.executable, str(PROGRAM), str(folder), str(mib)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == NOT_PERMITTED or "unshare" in done.stderr:
        pytest.skip("mounting a file system is not permitted here")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("mib", [1, 64])
def test_more_than_the_file_system_has_is_refused_and_what_was_given_holds(tmp_path: Path, mib: int) -> None:
    found = fill(tmp_path, mib)
    assert "shared memory is full: 99 MiB were asked for" in found["too_large"]
    assert f"of the {mib} MiB of {tmp_path} are left" in found["too_large"]
    assert found["blocks"] >= mib * 2**20 // 114_688 - 2
    assert "shared memory is full" in found["small_when_full"]
    assert found["by_default"] == mib * 2**20 // 2
    assert found["large_when_empty"] == 1
    assert found["left"] == ["shoal-host-0"]
