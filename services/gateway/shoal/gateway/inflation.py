"""Decompression of what clients send: in steps, so that a small body that becomes a large one holds nobody else up.

How large a compressed body becomes is not known before. What becomes large goes on in a thread, one at a time: many at
once would hold as many times the limit in memory.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator

#: As much is decompressed on the event loop, in a millisecond or two.
_ON_LOOP_NBYTES = 512 * 1024
_STEP_NBYTES = 1024 * 1024
_INPUT_STEP_NBYTES = 64 * 1024


class NotCompressed(Exception):
    """The bytes are no whole zlib stream; the text says why."""


class TooLarge(Exception):
    """The stream becomes larger than it may."""


class Inflator:
    """Decompresses for one event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def inflate(self, data: bytes | memoryview, window_bits: int, limit_nbytes: int) -> list[bytes]:
        """What the stream becomes, in pieces, one at least. `window_bits` as of `zlib.decompressobj`.

        Raises NotCompressed, and TooLarge as soon as there are more than `limit_nbytes`.
        """
        steps = _steps(data, window_bits)
        pieces: list[bytes] = []
        if not _take(steps, pieces, _ON_LOOP_NBYTES, limit_nbytes):
            async with self._turn:
                await asyncio.to_thread(_take, steps, pieces, limit_nbytes, limit_nbytes)
        return pieces or [b""]


def _take(steps: Iterator[bytes], pieces: list[bytes], stop_nbytes: int, limit_nbytes: int) -> bool:
    """Add pieces until there are more than `stop_nbytes`; whether that was all."""
    nbytes = sum(map(len, pieces))
    for piece in steps:
        pieces.append(piece)
        nbytes += len(piece)
        if nbytes > limit_nbytes:
            raise TooLarge
        if nbytes > stop_nbytes:
            return False
    return True


def _steps(data: bytes | memoryview, window_bits: int) -> Iterator[bytes]:
    """The plain bytes, a step at a time. What follows the stream is ignored."""
    stream = zlib.decompressobj(window_bits)
    try:
        for start in range(0, len(data), _INPUT_STEP_NBYTES):
            given: bytes | memoryview = data[start : start + _INPUT_STEP_NBYTES]
            while given and not stream.eof:
                yield stream.decompress(given, _STEP_NBYTES)
                given = stream.unconsumed_tail
    except zlib.error as error:
        raise NotCompressed(str(error)) from error
    if not stream.eof:
        raise NotCompressed("it is cut off")
