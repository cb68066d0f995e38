import os
import shutil
import subprocess
import sys
from pathlib import Path
from struct import unpack

import pytest

from copies import FROM_NBYTES, CopyCounter

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")]


def copied_nbytes(folder: Path, program: str) -> int:
    """The bytes that a Python program copied, beyond those that Python itself needs to start."""
    nbytes = []
    for code in ("", program):
        here = folder / str(len(code))
        here.mkdir()
        environment = {**os.environ, **CopyCounter(here).environment}
        with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
            pass
        nbytes.append(unpack("=QQ", (here / "counts" / str(process.pid)).read_bytes())[0])
    return int(nbytes[1] - nbytes[0])


def test_large_copies_are_counted_by_their_bytes(tmp_path: Path) -> None:
    program = "data = bytes(10_000_000); copies = [bytearray(data) for _ in range(3)]"

    assert copied_nbytes(tmp_path, program) == pytest.approx(30_000_000, rel=0.01)


def test_small_copies_are_not_counted(tmp_path: Path) -> None:
    program = f"data = bytes({FROM_NBYTES - 100}); copies = [bytearray(data) for _ in range(3000)]"

    assert copied_nbytes(tmp_path, program) < 1_000_000
