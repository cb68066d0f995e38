"""Tables for people: boxes and colour on a terminal, plain aligned text elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from shoal.cli.startup import ModelRow
from shoal.core.messages import READY

_HEADER = ("MODEL", "VERSION", "STATE", "REASON")


def print_models(rows: Sequence[ModelRow], stream: IO[str]) -> None:
    """Write the start-up table to `stream`; one line when there are no models."""
    if not rows:
        stream.write("no models\n")
    elif stream.isatty():
        _print_rich(rows, stream)
    else:
        stream.writelines(f"{line}\n" for line in plain_table(_HEADER, rows))
    stream.flush()


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns as wide as their widest cell; a cell's further lines are indented below it."""
    widths = [max(len(_first_line(row[i])) for row in (header, *rows)) for i in range(len(header))]
    lines = []
    for row in (header, *rows):
        first = (_first_line(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(first).rstrip())
        lines += [f"    {line}" for cell in row for line in cell.splitlines()[1:]]
    return lines


def _first_line(cell: str) -> str:
    return cell.partition("\n")[0]


def _print_rich(rows: Sequence[ModelRow], stream: IO[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*_HEADER)
    for row in rows:
        state = Text(row.state, style="green" if row.state == READY else "red")
        table.add_row(Text(row.model), Text(row.version, justify="right"), state, Text(row.reason))
    Console(file=stream).print(table)
