"""Reads `config.pbtxt`: protobuf text format to the JSON form, and where in the text a field stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from google.protobuf import text_format

from shoal.core.errors import InvalidArgument
from shoal.repository.config.json_form import JsonForm, render
from shoal.repository.config.schema import new_config

#: protobuf puts `line:column : ` and often the line itself in front of what it has to say.
_POSITION = re.compile(r"^\d+:\d+ : (?:'.*': )?", re.DOTALL)
_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[A-Za-z_]\w*""")


def parse_text(text: str, source: str) -> JsonForm:
    """The configuration written in `text`, with protobuf's defaults and nothing else filled in.

    `source` names the file in errors. Raises InvalidArgument, `<source>:<line>:<column>: <what is wrong>`, for
    syntax errors, unknown fields and values that do not fit.
    """
    message = new_config()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        line, column = error.GetLine() or 1, error.GetColumn() or 1
        raise InvalidArgument(f"{source}:{line}:{column}: {_POSITION.sub('', str(error))}") from error
    return render(message)


def line_of(text: str, where: Sequence[str]) -> int | None:
    """The line (from 1) where the last word of `where` stands, each word searched after the one before it; None when
    one is missing. A word is a field's name or the content of a string, so `("input", "IMAGE")` finds the tensor."""
    if not where:
        return None
    tokens = _words(text)
    line: int | None = None
    for word in where:
        line = next((found for token, found in tokens if token == word), None)
        if line is None:
            return None
    return line


def _words(text: str) -> Iterator[tuple[str, int]]:
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token.startswith("#"):
            continue
        yield (token[1:-1] if token[0] in "\"'" else token), text.count("\n", 0, match.start()) + 1
