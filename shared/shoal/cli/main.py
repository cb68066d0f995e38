"""The `shoal` command."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import metadata

COMMANDS = {
    "serve": "serve the models of a Triton model repository",
    "keys": "make API keys, and check a file of them",
    "shm": "show the shared memory of this host, and remove what dead processes left in it",
}

EXIT_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (by default the process's arguments) names; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words else ""
    if name == "serve":
        # Imported when it is needed, so that `shoal --version` answers at once.
        from shoal.cli.serve import serve

        return serve(words[1:])
    if name == "keys":
        from shoal.cli.keys import keys

        return keys(words[1:])
    if name == "shm":
        from shoal.cli.shm import shm

        return shm(words[1:])
    if name in ("--version", "-V"):
        sys.stdout.write(f"shoal {metadata.version('shoal')}\n")
        return 0
    if name in ("--help", "-h"):
        sys.stdout.write(_usage())
        return 0
    sys.stderr.write(f"{_complaint(name)}\n{_usage()}")
    return EXIT_USAGE


def _complaint(name: str) -> str:
    if not name:
        return "no command given"
    nearest = difflib.get_close_matches(name, COMMANDS, n=1)
    advice = f"; did you mean '{nearest[0]}'?" if nearest else ""
    return f"there is no command '{name}'{advice}"


def _usage() -> str:
    lines = [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    return "\n".join(["usage: shoal <command> [option ...]", "", *lines, "  --version", "  --help", ""])


if __name__ == "__main__":
    sys.exit(main())
