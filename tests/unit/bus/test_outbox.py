from __future__ import annotations

import pytest

from shoal.bus import outbox as outbox_module
from shoal.bus.frames import is_fragment, read_bundle, read_piece
from shoal.bus.outbox import BACKLOG_LIMIT_NBYTES, FRAME_LIMIT_NBYTES, Outbox
from shoal.bus.reassembly import Reassembler
from shoal.core.errors import InvalidArgument

MAX_PAYLOAD = 1024 * 1024


def commands(writes: list[bytes]) -> list[tuple[str, bytes]]:
    """Subject and data of every PUB command."""
    stream, found = b"".join(writes), []
    while stream:
        line, _, rest = stream.partition(b"\r\n")
        verb, subject, nbytes = line.split(b" ")
        assert verb == b"PUB"
        data, stream = rest[: int(nbytes)], rest[int(nbytes) :]
        assert stream[:2] == b"\r\n"
        stream = stream[2:]
        found.append((subject.decode(), data))
    return found


def payloads(data: bytes) -> list[bytes]:
    return [bytes(part.payload) for part in read_bundle(data)[1]]


@pytest.fixture
def outbox() -> Outbox:
    return Outbox("a-1", "ns.inbox.")


def test_what_goes_to_one_destination_is_one_command_in_order(outbox: Outbox) -> None:
    outbox.add("b-2", 1, b"h1", (b"one", memoryview(b"more")))
    outbox.add("c-3", 2, b"h2", ())
    outbox.add("b-2", 3, b"h3", (b"two",))
    found = commands(outbox.take(MAX_PAYLOAD, 0))
    assert [subject for subject, _ in found] == ["ns.inbox.b-2", "ns.inbox.c-3"]
    sender, parts = read_bundle(found[0][1])
    assert sender == "a-1"
    assert [(p.kind, bytes(p.header), bytes(p.payload)) for p in parts] == [(1, b"h1", b"onemore"), (3, b"h3", b"two")]


def test_taken_messages_are_gone(outbox: Outbox) -> None:
    outbox.add("b-2", 1, b"h", ())
    assert outbox.take(MAX_PAYLOAD, 0)
    assert outbox.take(MAX_PAYLOAD, 0) == []


def test_size_of_a_typed_view_is_counted_in_bytes(outbox: Outbox) -> None:
    outbox.add("b-2", 1, b"h", (memoryview(bytearray(8)).cast("I"),))
    ((_, data),) = commands(outbox.take(MAX_PAYLOAD, 0))
    assert payloads(data) == [bytes(8)]


def test_full_bundle_is_followed_by_another_in_order(outbox: Outbox) -> None:
    block = bytes(FRAME_LIMIT_NBYTES // 4)
    for number in range(10):
        outbox.add("b-2", 1, bytes([number]), (block,))
    found = commands(outbox.take(MAX_PAYLOAD, 0))
    assert len(found) == 4
    assert all(len(data) <= FRAME_LIMIT_NBYTES for _, data in found)
    assert [part.header[0] for _, data in found for part in read_bundle(data)[1]] == list(range(10))


@pytest.mark.parametrize("max_payload", [64 * 1024, MAX_PAYLOAD])
def test_large_message_is_cut_to_what_the_broker_takes(outbox: Outbox, max_payload: int) -> None:
    payload = bytes(range(256)) * 8192
    outbox.add("b-2", 1, b"before", ())
    outbox.add("b-2", 2, b"large", (payload,))
    outbox.add("b-2", 3, b"after", ())
    reassembler = Reassembler()
    headers: list[bytes] = []
    for _, data in commands(outbox.take(max_payload, 0)):
        assert len(data) <= min(max_payload, FRAME_LIMIT_NBYTES)
        bundle = reassembler.add(read_piece(data), 0.0) if is_fragment(data) else data
        if bundle is not None:
            headers += [bytes(part.header) for part in read_bundle(bundle)[1]]
    assert headers == [b"before", b"large", b"after"]
    assert reassembler.lost == 0


def test_backlog_drops_the_turn_and_counts_it(outbox: Outbox) -> None:
    outbox.add("b-2", 1, b"h", ())
    assert outbox.take(MAX_PAYLOAD, BACKLOG_LIMIT_NBYTES + 1) == []
    assert outbox.dropped == 1
    assert outbox.take(MAX_PAYLOAD, BACKLOG_LIMIT_NBYTES + 1) == []
    assert outbox.dropped == 1


@pytest.mark.parametrize("to", ["", "a.b", "a b", ">", "a\r\nPUB x 0", "x" * 129])
def test_destination_that_is_no_process_is_refused(outbox: Outbox, to: str) -> None:
    with pytest.raises(InvalidArgument, match="no name of a process"):
        outbox.add(to, 1, b"h", ())


def test_message_beyond_the_largest_is_refused(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "MAX_MESSAGE_NBYTES", 1000)
    with pytest.raises(InvalidArgument, match="beyond the 1000 bytes"):
        outbox.add("b-2", 1, b"h", (bytes(1000),))
    assert outbox.take(MAX_PAYLOAD, 0) == []
