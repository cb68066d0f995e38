"""`grpc_echo.py` as a process: a gRPC endpoint through either transport, in front of a gateway that needs no broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PROGRAM = Path(__file__).parent.parent / "integration" / "programs" / "grpc_echo.py"


class Server(NamedTuple):
    """A running process that listens at `port` of 127.0.0.1."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"


def start(transport: str, *more: str, port: int = 0, temporary: str | None = None) -> subprocess.Popen[str]:
    argv = [f"--grpc-transport={transport}", "--grpc-address=127.0.0.1", f"--grpc-port={port}", *more]
    environment = {**os.environ, **({"TMPDIR": temporary} if temporary else {})}
    return subprocess.Popen([sys.executable, str(PROGRAM), *argv], stderr=subprocess.PIPE, text=True, env=environment)


def listening(process: subprocess.Popen[str]) -> Server:
    """The process as soon as it says where it listens."""
    assert process.stderr is not None
    for line in process.stderr:
        event = json.loads(line)
        if event["event"] == "grpc listening":
            return Server(process, event["port"])
    raise AssertionError(f"ended with {process.wait()} before it listened")
