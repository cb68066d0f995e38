"""`shoal shm`: what lies in the shared memory of this host, and the removal of what dead processes left there."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from shoal.cli.command_line import UsageError, parse
from shoal.cli.option import FLAG, works
from shoal.cli.tables import Column, print_table
from shoal.memory import SHM
from shoal.memory.filesystem import size_text
from shoal.memory.inspection import Segment, inspect
from shoal.memory.sweep import sweep

EXIT_OK = 0
EXIT_USAGE = 2

USAGE = """\
usage: shoal shm ls [--json]
       shoal shm sweep

ls      list the segments of this user in /dev/shm: whose they are, whether their owner lives, how large they are, and
        who has to release what is in them. Reads the files alone, so it works without a broker.
sweep   remove the segments of owners that do not live any more; every process of Shoal does so now and then.
"""

_COLUMNS = (
    Column("SEGMENT"),
    Column("OWNER"),
    Column("STATE", colours={"alive": "green", "dead": "red"}),
    Column("AGE", is_number=True),
    Column("SIZE", is_number=True),
    Column("USED", is_number=True),
    Column("BLOCKS", is_number=True),
    Column("HOLDERS"),
)


def shm(argv: Sequence[str], folder: Path = SHM) -> int:
    """Run `shoal shm` with the words after it; returns the exit code."""
    match list(argv):
        case ["--help" | "-h"]:
            sys.stdout.write(USAGE)
            return EXIT_OK
        case ["ls", *options]:
            return _list(options, folder)
        case ["sweep"]:
            _print_removed(sweep(folder), sys.stdout)
            return EXIT_OK
        case _:
            sys.stderr.write(USAGE)
            return EXIT_USAGE


def _list(argv: Sequence[str], folder: Path) -> int:
    try:
        given = parse(argv, {"json": works("json", FLAG, False, "the same as JSON")})
    except UsageError as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        return EXIT_USAGE
    segments = list(inspect(folder))
    if given.boolean("json"):
        sys.stdout.write(f"{json.dumps([_facts(segment) for segment in segments], indent=2)}\n")
    elif segments:
        print_table(_COLUMNS, [_row(segment, time.time()) for segment in segments], sys.stdout)
    else:
        sys.stdout.write("no segments\n")
    return EXIT_OK


def _print_removed(names: Iterable[str], stream: IO[str]) -> None:
    stream.writelines([f"removed {name}\n" for name in names] or ["nothing to remove\n"])


def _row(segment: Segment, now: float) -> tuple[str, ...]:
    holdings = (f"{holder}: {blocks} / {size_text(nbytes)}" for holder, blocks, nbytes in segment.holdings)
    return (
        segment.name,
        segment.header.owner,
        _state(segment),
        _age_text(now - segment.header.created),
        size_text(segment.nbytes),
        size_text(segment.used_nbytes),
        f"{segment.used_blocks}/{segment.header.block_count} of {size_text(segment.header.block_nbytes)}",
        ", ".join(holdings),
    )


def _facts(segment: Segment) -> dict[str, Any]:
    header = segment.header
    return {
        "segment": segment.name,
        "owner": header.owner,
        "server": header.server,
        "pid": header.pid,
        "state": _state(segment),
        "created": header.created,
        "alive_at": header.alive_at,
        "size_bytes": segment.nbytes,
        "used_bytes": segment.used_nbytes,
        "block_bytes": header.block_nbytes,
        "blocks": header.block_count,
        "used_blocks": segment.used_blocks,
        "holders": [holding._asdict() for holding in segment.holdings],
    }


def _state(segment: Segment) -> str:
    return "alive" if segment.is_alive else "dead"


def _age_text(seconds: float) -> str:
    """`12 s`, `3 min`, `5 h`, `2 d`: whole units are enough."""
    if seconds < 60:
        return f"{max(seconds, 0):.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} d"
