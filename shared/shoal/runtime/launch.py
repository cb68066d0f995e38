"""Start a foreign program that dies with its parent: `python -m shoal.runtime.launch -- program argument ...`.

The program takes this process's place (same process id, same descriptors); exit codes 126 and 127 say, as a shell's,
that it could not be executed or was not found.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from shoal.runtime.parent_death import PARENT_PID, die_with_parent


def main(argv: list[str]) -> NoReturn:
    """Become the program that `argv` names after an optional `--`."""
    command = argv[1:] if argv[:1] == ["--"] else argv
    if not command:
        sys.exit("usage: python -m shoal.runtime.launch -- program [argument ...]")
    die_with_parent()
    os.environ.pop(PARENT_PID, None)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"cannot execute '{command[0]}': {error.strerror}\n")
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    main(sys.argv[1:])
