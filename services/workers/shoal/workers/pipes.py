"""The standard input and output of a child of the agent, kept for the agent: nothing a model prints gets between."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import NamedTuple, NoReturn


class Pipes(NamedTuple):
    """Descriptors of the pipes from and to the agent; not inherited by what this process starts."""

    from_agent: int
    to_agent: int


def take_standard_pipes() -> Pipes:
    """Move standard input and output aside: reads find the end of file, what is printed goes to standard error."""
    pipes = Pipes(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return pipes


async def connect(pipes: Pipes) -> tuple[asyncio.StreamReader, asyncio.WriteTransport]:
    """The pipes as streams of the running loop."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipes.from_agent, "rb", 0))
    writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(pipes.to_agent, "wb", 0))
    return reader, writer


def end_process(code: int) -> NoReturn:
    """End without waiting for threads that a model may have left behind."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a model may have closed them
            stream.flush()
    os._exit(code)
