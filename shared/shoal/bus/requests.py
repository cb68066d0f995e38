"""Questions to the broker and its answers, over one subscription of ours.

nats-py's own requests would wait out their timeout when the link is lost in between; these fail at once. An answer may
consist of several messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

_STATUS_LINE = b"NATS/1.0"
_NO_RESPONDERS = "503"


class RequestFailed(Exception):
    """No answer came; the request may or may not have had its effect. Worth another try."""


class NoResponders(RequestFailed):
    """Nobody listens on the subject: the stream behind it is missing, or JetStream is not ready."""


class Reply(NamedTuple):
    """One message of an answer. `status` is the broker's three digits, empty for an ordinary message."""

    data: bytes
    status: str
    headers: dict[str, str]


class Requests:
    """Open questions by token. `receive_for` makes what a subscription calls; the owner feeds link losses in."""

    def __init__(self) -> None:
        self._counter = 0
        self._open: dict[str, tuple[asyncio.Future[list[Reply]], list[Reply], Callable[[Reply], bool]]] = {}

    def open(self, is_last: Callable[[Reply], bool]) -> tuple[str, asyncio.Future[list[Reply]]]:
        """A token for the reply subject, and the answer to be: every message up to the one that `is_last`."""
        self._counter += 1
        token = str(self._counter)
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self._open[token] = (future, [], is_last)
        return token, future

    def close(self, token: str) -> None:
        """Forget a question; answers that still come are dropped."""
        self._open.pop(token, None)

    def answer(self, token: str, data: bytes, header_block: bytes) -> None:
        entry = self._open.get(token)
        if entry is None:
            return
        future, replies, is_last = entry
        if future.done():
            return
        reply = _read_reply(data, header_block)
        if reply.status == _NO_RESPONDERS:
            future.set_exception(NoResponders("nobody answers on this subject"))
            return
        replies.append(reply)
        if is_last(reply):
            future.set_result(replies)

    def fail_all(self, why: str) -> None:
        """The link was lost: no answer to an open question can come any more."""
        for future, _, _ in self._open.values():
            if not future.done():
                future.set_exception(RequestFailed(why))


def _read_reply(data: bytes, header_block: bytes) -> Reply:
    lines = header_block.split(b"\r\n")
    status = lines[0].removeprefix(_STATUS_LINE).strip()[:3].decode("ascii", "replace")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.strip().decode("ascii", "replace")] = value.strip().decode("utf-8", "replace")
    return Reply(data, status, headers)
