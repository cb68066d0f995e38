"""Failures of user code as text: the exception, and where in the user's code it came from."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from traceback import walk_tb

import shoal.core.errors
import shoal.workers.backend

#: Frames of these files are ours, the event loop's or the import system's, and tell the author of a model nothing.
_NOT_THE_USERS = (
    f"{Path(shoal.workers.backend.__file__).parent}{os.sep}",
    f"{Path(shoal.core.errors.__file__).parents[1]}{os.sep}",
    f"{Path(asyncio.__file__).parent}{os.sep}",
    "<frozen ",
)


def exception_text(error: BaseException) -> str:
    """`<type>: <text>`, then `At:` and the user's frames, innermost first: `  <file>(<line>): <function>`."""
    text = f"{type(error).__name__}: {error}"
    frames = [
        f"  {frame.f_code.co_filename}({line}): {frame.f_code.co_name}\n"
        for frame, line in walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(_NOT_THE_USERS)
    ]
    return f"{text}\n\nAt:\n{''.join(reversed(frames))}" if frames else text
