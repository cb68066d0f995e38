"""One key-value bucket as the broker keeps it: a JetStream stream with the last message of each key.

Spoken directly instead of through nats-py's key-value client, whose watches are blind for 20 s after a restart of the
broker: every read here is one question, "all last values from this revision on", which the broker answers in order.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from shoal.bus import subjects
from shoal.bus.link import Link
from shoal.bus.requests import Reply, RequestFailed
from shoal.core.errors import InternalError, InvalidArgument
from shoal.telemetry.logs import get_logger

#: Room left for the headers of a write.
_HEADERS_NBYTES = 4096
#: Entries per read; with entries of 64 KiB at most a read stays below 16 MiB.
READ_COUNT = 256

_OPERATION = "KV-Operation"
_NAME = "Shoal-Key"
_PENDING = "Nats-Num-Pending"
_REVISION = "Nats-Sequence"
_END_OF_READ = ("204", "404")
_NOT_FOUND = 404
_NAME_IN_USE = 10058
_WRONG_LAST_REVISION = (10071, 10164)

_log = get_logger("bus")


class Conflict(Exception):
    """The key was written by someone else since the revision that was named; read it again."""


class Identity(NamedTuple):
    """Which stream this is: `created` differs when the bucket was lost and made anew. `last_revision` is its newest."""

    created: str
    last_revision: int


class Stored(NamedTuple):
    """One key's last message; `value` is None when the key was deleted."""

    key: str
    value: bytes | None
    revision: int


class Store:
    """A bucket of this namespace on the broker, or one `key` of it. Every method raises RequestFailed while the broker
    cannot answer."""

    def __init__(self, link: Link, namespace: str, name: str, key: str | None = None) -> None:
        self._link = link
        self._bucket = subjects.bucket(namespace, name)
        self._stream = f"KV_{self._bucket}"
        self._prefix = f"$KV.{self._bucket}."
        #: What a subscription hears of every write, also of those that are refused.
        self.changes = self._prefix + (">" if key is None else subjects.escape(key))

    async def identify(self) -> Identity | None:
        """The stream behind the bucket, None when there is none."""
        answer = await self._ask("STREAM.INFO", b"")
        error = answer.get("error")
        if error is None:
            return Identity(answer["created"], answer["state"]["last_seq"])
        if error.get("code") == _NOT_FOUND:
            return None
        raise RequestFailed(error.get("description", "the broker answered with an error"))

    async def create(self) -> None:
        """Make the bucket; it is fine when somebody else was faster."""
        config = {
            "name": self._stream,
            "subjects": [f"{self._prefix}>"],
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "num_replicas": 1,
            "max_msgs_per_subject": 1,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_msg_size": -1,
            "max_age": 0,
            "allow_direct": True,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
        }
        error = (await self._ask("STREAM.CREATE", json.dumps(config).encode())).get("error")
        if error is not None and error.get("err_code") != _NAME_IN_USE:
            raise RequestFailed(error.get("description", "the broker answered with an error"))

    async def read_from(self, revision: int) -> list[Stored]:
        """Every key whose last write has this revision or a later one, oldest write first."""
        found: list[Stored] = []
        more = True
        while more:
            question = {"seq": max(revision, 1), "next_by_subj": self.changes, "batch": READ_COUNT}
            replies = await self._link.request(
                f"$JS.API.DIRECT.GET.{self._stream}", json.dumps(question).encode(), is_last=_is_last
            )
            end = replies.pop()
            if end.status not in _END_OF_READ:
                raise _read_trouble(end)
            found += [stored for reply in replies if (stored := self._stored(reply)) is not None]
            more = bool(replies) and end.headers.get(_PENDING, "0") != "0"
            revision = int(replies[-1].headers[_REVISION]) + 1 if replies else revision
        return found

    async def write(self, key: str, value: bytes | None, expected_revision: int | None = None) -> int:
        """Write a value, or the mark of a deletion for None; returns its revision.

        With `expected_revision` only if the key's last write has that revision, 0 for a key never written; raises
        Conflict otherwise. After RequestFailed the write may have happened or not. Raises InvalidArgument for a value
        that does not fit into one message.
        """
        if value is not None and len(value) > self._link.max_payload - _HEADERS_NBYTES:
            raise InvalidArgument(
                f"the value of key {key!r} has {len(value)} bytes; the broker takes {self._link.max_payload} "
                "in one message, headers included"
            )
        token = subjects.escape(key)
        headers: dict[str, str] = {}
        if expected_revision is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected_revision)
        if value is None:
            headers[_OPERATION] = "DEL"
        if subjects.is_digest(token):
            headers[_NAME] = json.dumps(key)
        (reply,) = await self._link.request(self._prefix + token, value or b"", headers or None)
        answer = json.loads(reply.data)
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        if error.get("err_code") in _WRONG_LAST_REVISION:
            raise Conflict(f"key {key!r} was written by someone else: {error.get('description')}")
        raise RequestFailed(error.get("description", "the broker answered with an error"))

    def heard(self, subject: bytes, data: bytes, header_block: bytes) -> tuple[str, bytes | None]:
        """Token and value (None for a deletion) of a message on `changes`. It may never get into the store."""
        token = subject.decode().removeprefix(self._prefix)
        return token, None if _OPERATION.encode() in header_block else data

    def _stored(self, reply: Reply) -> Stored | None:
        """What a reply of a read says; None for a key that no Shoal process made."""
        token = reply.headers["Nats-Subject"].removeprefix(self._prefix)
        try:
            named = reply.headers.get(_NAME)
            key = json.loads(named) if named is not None else subjects.unescape(token)
        except ValueError:
            _log.warning("foreign key ignored", bucket=self._bucket, key=token)
            return None
        value = None if _OPERATION in reply.headers else reply.data
        return Stored(key, value, int(reply.headers[_REVISION]))

    async def _ask(self, what: str, payload: bytes) -> dict[str, Any]:
        (reply,) = await self._link.request(f"$JS.API.{what}.{self._stream}", payload)
        answer: dict[str, Any] = json.loads(reply.data)
        return answer


def _is_last(reply: Reply) -> bool:
    return reply.status != "" or _PENDING not in reply.headers


def _read_trouble(end: Reply) -> Exception:
    if end.status == "":
        return InternalError("the broker does not know batched reads of a bucket; nats-server 2.11 or newer is needed")
    return RequestFailed(f"the broker answered {end.status} to a read")
