"""`shoal serve` as tests run it: on free ports, with a temporary folder of its own, and with nothing left at the end.

Every process that a server starts carries a mark in its environment, by which what is left of it is found.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from shoal.bus import free_port

BIN = Path(sys.executable).parent
EXAMPLES = Path(__file__).parents[2] / "examples" / "models"

_MARK = "SHOAL_TEST_MARK"


def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait for the condition; fails when it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


class Server:
    """One run of `shoal serve`. `folder` is its temporary folder; `output` what it printed so far. `launcher` is a
    command that becomes the one that follows it."""

    def __init__(
        self,
        folder: Path,
        *flags: str,
        models: Path = EXAMPLES,
        environment: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        self.http_port, self.grpc_port = free_port(), free_port()
        self.folder = folder
        self._mark = uuid4().hex
        self._lines: list[str] = []
        self.process = subprocess.Popen(
            [
                *launcher,
                *(str(BIN / "shoal"), "serve", f"--model-repository={models}"),
                *("--http-address=127.0.0.1", f"--http-port={self.http_port}"),
                *("--grpc-address=127.0.0.1", f"--grpc-port={self.grpc_port}"),
                *flags,
            ],
            env={**os.environ, **(environment or {}), _MARK: self._mark, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        until(lambda: not self.processes(), within_s=5)
        self._reader.join(timeout=5)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            self._lines.extend(stream)

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def wait_until_started(self, within_s: float = 60) -> None:
        until(lambda: "Started HTTPService" in self.output or self.process.poll() is not None, within_s)
        assert self.process.poll() is None, self.output

    def wait(self, within_s: float = 60) -> int:
        """The exit code, once it has ended by itself or by a signal; `output` is complete then."""
        code = self.process.wait(timeout=within_s)
        self._reader.join(timeout=5)
        return code

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def processes(self) -> dict[int, str]:
        """Command lines of the server's processes that run now, the supervisor included, by process id."""
        mark = f"{_MARK}={self._mark}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes():
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
        return found
