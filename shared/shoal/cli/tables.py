"""Tables for people: boxes and colour on a terminal, plain aligned text elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple

from shoal.cli.startup import ModelRow
from shoal.core.messages import READY


class Column(NamedTuple):
    """A column: its title, whether its cells are aligned right, and on a terminal the colours of certain cells (""
    for every other)."""

    title: str
    is_number: bool = False
    colours: Mapping[str, str] = {}


_MODELS = (
    Column("MODEL"),
    Column("VERSION", is_number=True),
    Column("STATE", colours={READY: "green", "": "red"}),
    Column("REASON"),
)


def print_models(rows: Sequence[ModelRow], stream: IO[str]) -> None:
    """Write the start-up table to `stream`; one line when there are no models."""
    if rows:
        print_table(_MODELS, rows, stream)
    else:
        stream.write("no models\n")
        stream.flush()


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], stream: IO[str]) -> None:
    """Write a table to `stream`, as suits it."""
    if stream.isatty():
        _print_rich(columns, rows, stream)
    else:
        stream.writelines(f"{line}\n" for line in plain_table(columns, rows))
    stream.flush()


def plain_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns as wide as their widest cell; a cell's further lines are indented below it."""
    titles = [column.title for column in columns]
    widths = [max(len(_first_line(row[i])) for row in (titles, *rows)) for i in range(len(columns))]
    lines = []
    for row in (titles, *rows):
        cells = zip(columns, map(_first_line, row), widths, strict=True)
        first = (cell.rjust(width) if column.is_number else cell.ljust(width) for column, cell, width in cells)
        lines.append("  ".join(first).rstrip())
        lines += [f"    {line}" for cell in row for line in cell.splitlines()[1:]]
    return lines


def _first_line(cell: str) -> str:
    return cell.partition("\n")[0]


def _print_rich(columns: Sequence[Column], rows: Sequence[Sequence[str]], stream: IO[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        table.add_column(column.title, justify="right" if column.is_number else "left")
    for row in rows:
        colours = (
            column.colours.get(cell, column.colours.get("", "")) for column, cell in zip(columns, row, strict=True)
        )
        table.add_row(*(Text(cell, style=colour) for cell, colour in zip(row, colours, strict=True)))
    Console(file=stream).print(table)
