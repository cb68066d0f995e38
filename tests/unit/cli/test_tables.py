from __future__ import annotations

import io

from shoal.cli.startup import ModelRow
from shoal.cli.tables import print_models

ROWS = [ModelRow("ocr", "3", "READY", ""), ModelRow("asr", "-", "UNAVAILABLE", "Internal: broken\nline 2")]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_off_a_terminal_the_table_is_plain_and_aligned() -> None:
    stream = io.StringIO()
    print_models(ROWS, stream)
    assert stream.getvalue().splitlines() == [
        "MODEL  VERSION  STATE        REASON",
        "ocr          3  READY",
        "asr          -  UNAVAILABLE  Internal: broken",
        "    line 2",
    ]


def test_on_a_terminal_every_row_is_there() -> None:
    stream = Terminal()
    print_models(ROWS, stream)
    assert all(text in stream.getvalue() for text in ("MODEL", "ocr", "READY", "asr", "UNAVAILABLE"))


def test_without_models_it_says_so() -> None:
    stream = io.StringIO()
    print_models([], stream)
    assert stream.getvalue() == "no models\n"
