from __future__ import annotations

import asyncio
import random
import threading
import zlib

import pytest

from shoal.gateway.inflation import Inflator, NotCompressed, TooLarge

LARGE = bytes(8 * 2**20)


async def inflate(data: bytes, limit_nbytes: int = 2**30) -> bytes:
    return b"".join(await Inflator().inflate(data, zlib.MAX_WBITS, limit_nbytes))


@pytest.mark.parametrize("plain", [b"", b"tensor", LARGE, random.Random(0).randbytes(3 * 2**20)])
async def test_what_was_compressed_comes_back(plain: bytes) -> None:
    assert await inflate(zlib.compress(plain)) == plain
    assert await inflate(zlib.compress(plain) + b"more") == plain


@pytest.mark.parametrize("size", [1000, len(LARGE)])
async def test_what_becomes_larger_than_it_may_is_refused(size: int) -> None:
    packed = zlib.compress(bytes(size))
    assert len(await inflate(packed, size)) == size
    with pytest.raises(TooLarge):
        await inflate(packed, size - 1)


@pytest.mark.parametrize("data", [b"", b"no stream", zlib.compress(b"tensor")[:-1], zlib.compress(LARGE)[:-5]])
async def test_what_is_no_whole_stream_is_refused(data: bytes) -> None:
    with pytest.raises(NotCompressed):
        await inflate(data)


async def test_a_small_body_that_becomes_large_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    run = asyncio.to_thread

    async def to_thread(*work: object) -> object:
        threads.add(threading.get_ident())
        return await run(*work)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    await inflate(zlib.compress(b"small"))
    assert not threads
    await inflate(zlib.compress(LARGE))
    assert threads
