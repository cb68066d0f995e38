"""The standard input and output of a child of the agent, kept for the agent: nothing a model prints gets between."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
from typing import NamedTuple, NoReturn


class Pipes(NamedTuple):
    """Descriptors of the pipes from and to the agent; not inherited by what this process starts."""

    from_agent: int
    to_agent: int


#: What to put back in place of a standard descriptor that was closed, and what tells which was, for the fewest system
#: calls; both are empty until `take_standard_pipes`.
_put_back: dict[int, int] = {}
_standard_descriptors = select.poll()


def take_standard_pipes() -> Pipes:
    """Move standard input and output aside: reads find the end of file, what is printed goes to standard error."""
    pipes = Pipes(os.dup(0), os.dup(1))
    nothing, errors = os.open(os.devnull, os.O_RDONLY), os.dup(2)
    for number, kept in enumerate((nothing, errors, errors)):
        _put_back[number] = kept
        _standard_descriptors.register(number, 0)
    os.dup2(nothing, 0)
    os.dup2(errors, 1)
    return pipes


def restore_standard_streams() -> None:
    """Put back the standard descriptors that a model has closed, as programs that become daemons do. Otherwise the next
    file or socket of ours would get the number, and with it all that is printed. To be called after a model's code, by
    one thread; takes less than a microsecond when nothing is to be done."""
    for number, event in _standard_descriptors.poll(0):
        if event & select.POLLNVAL:
            os.dup2(_put_back[number], number)


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
