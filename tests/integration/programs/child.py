"""A service to supervise: tells its process id, lives for a while, and tells when it was asked to drain.

    child.py <folder> <name> [--exit-after SECONDS] [--exit-code N] [--ignore-sigterm] [--grandchild]

`<folder>/<name>.pids` gets a line for each start, `<folder>/drained` one line for each drain.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from shoal.runtime.parent_death import die_with_parent


def main() -> None:
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--exit-after", type=float, default=60.0)
    parser.add_argument("--exit-code", type=int, default=0)
    parser.add_argument("--ignore-sigterm", action="store_true")
    parser.add_argument("--grandchild", action="store_true")
    arguments = parser.parse_args()

    def drain(number: int, frame: FrameType | None) -> None:
        note(arguments.folder / "drained", arguments.name)
        if not arguments.ignore_sigterm:
            sys.exit(0)

    signal.signal(signal.SIGTERM, drain)
    if arguments.grandchild:
        # An ordinary program, that knows nothing of its grandparent.
        note(arguments.folder / "grandchild.pids", str(subprocess.Popen(["sleep", "60"]).pid))
    note(arguments.folder / f"{arguments.name}.pids", str(os.getpid()))
    time.sleep(arguments.exit_after)
    sys.exit(arguments.exit_code)


def note(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


if __name__ == "__main__":
    main()
