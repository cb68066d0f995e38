"""Counts how often the bytes of a tensor are copied in user space, by process, while requests go through a server.

The counting is done by `count_copies.c`, which is compiled here and loaded into every process of the server. What it
cannot see is said there. Figures are exact, but the servers are slower meanwhile: nothing else is to be measured then.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from identity_model import FLOAT_NBYTES
from measurement import LoadGenerator, Run, Work, measure
from servers import Server

SOURCE = Path(__file__).with_name("count_copies.c")
#: Smaller copies are not of tensors, but of text and of what belongs to a request beside them.
FROM_NBYTES = 4096
_COMPILE_LIMIT_S = 60.0
_COUNTS = Struct("=QQ")


class NoCompiler(Exception):
    """Without a C compiler there is no counting; the text says what was missing."""


class Copied(NamedTuple):
    """How many bytes were copied per byte of the tensor, by role: 1.0 means the whole tensor once, be it the input or
    the output. None when the run had no requests."""

    server: str
    work: Work
    per_tensor_byte: dict[str, float] | None
    run: Run


class CopyCounter:
    """The compiled counter with its files in `folder`, which is to be empty. Start servers with `environment`."""

    def __init__(self, folder: Path) -> None:
        """Raises NoCompiler."""
        self._counts = folder / "counts"
        self._counts.mkdir()
        library = folder / "count_copies.so"
        _compile(library)
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": str(library),
            "COPIES_FOLDER": str(self._counts),
            "COPIES_FROM_NBYTES": str(FROM_NBYTES),
        }

    def count(self, server: Server, work: Work, generator: LoadGenerator) -> Copied:
        """Load the server once, and see what its processes have copied meanwhile."""
        before = self._copied_nbytes(server)
        run = measure(server, work, generator, 0)
        after = self._copied_nbytes(server)
        tensor_nbytes = run.requests * work.floats * FLOAT_NBYTES
        if not tensor_nbytes:
            return Copied(server.name, work, None, run)
        ratios = {role: (nbytes - before.get(role, 0)) / tensor_nbytes for role, nbytes in after.items()}
        return Copied(server.name, work, ratios, run)

    def _copied_nbytes(self, server: Server) -> dict[str, int]:
        copied: dict[str, int] = defaultdict(int)
        for pid, process in server.processes().items():
            path = self._counts / str(pid)
            if path.exists():
                nbytes, _ = _COUNTS.unpack(path.read_bytes())
                copied[process.role] += nbytes
        return copied


def _compile(library: Path) -> None:
    # Neither may the compiler make calls of memcpy out of loops, nor loops out of calls.
    flags = ("-shared", "-fPIC", "-O2", "-fno-builtin", "-fno-tree-loop-distribute-patterns")
    argv = ["cc", *flags, "-o", str(library), str(SOURCE), "-ldl"]
    try:
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=_COMPILE_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCompiler(f"no C compiler: {error}") from error
    if ended.returncode != 0:
        raise NoCompiler(f"{SOURCE.name} was not compiled: {ended.stderr.strip()}")
