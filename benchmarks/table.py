"""Tables of texts for a terminal and for Markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """`note` is what a reader must know to read it; each row has as many cells as `header`."""

    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def as_text(table: Table) -> str:
    """For a terminal: the first column aligned left, all others right."""
    lines = [table.header, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.header))]
    shown = ["  ".join(map(_aligned, line, widths, range(len(widths)))) for line in lines]
    return "\n".join([table.title.upper(), *shown, *([table.note] if table.note else [])]) + "\n"


def as_markdown(table: Table) -> str:
    """For a Markdown file: a section with the note, then the table."""
    lines = [table.header, ["---"] * len(table.header), *table.rows]
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    note = f"{table.note}\n\n" if table.note else ""
    return f"## {table.title}\n\n{note}{rows}\n"


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)
