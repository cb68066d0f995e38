"""Views of key-value buckets, with a broker that restarts with and without its store."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from shoal.bus import Bus, BusSettings, Conflict, View, find_nats_server, free_port
from shoal.bus import view as view_module
from shoal.core.errors import InvalidArgument, Unavailable

if TYPE_CHECKING:
    from tests.integration.bus.conftest import Buses, Until

    from broker_process import Broker

Change = tuple[str, bytes | None, int]


async def test_content_is_read_and_followed(buses: Buses, until: Until) -> None:
    writer, reader = await buses.connect("repository"), await buses.connect("gateway")
    written = await buses.view(writer, "desired")
    await written.put("before", b"1")
    changes: list[Change] = []
    view = await buses.view(reader, "desired", lambda *change: changes.append(change))
    assert changes == [("before", b"1", 1)]
    await written.put("after", b"2")
    await written.put("after", b"3")
    await written.delete("before")
    await until(lambda: changes[-1] == ("before", None, 4))
    assert dict(view.items()) == {"after": b"3"}
    assert (view.get("after"), view.get("before"), view.get("never")) == (b"3", None, None)
    assert (view.revision("after"), view.revision("before"), view.revision("never")) == (3, 4, 0)


async def test_change_is_seen_within_milliseconds(buses: Buses, until: Until) -> None:
    writer, reader = await buses.connect("repository"), await buses.connect("gateway")
    written, view = await buses.view(writer, "desired"), await buses.view(reader, "desired")
    for number in range(20):
        await written.put("key", b"%d" % number)
        await until(lambda number=number: view.get("key") == b"%d" % number, timeout_s=0.3)  # type: ignore[misc]


@pytest.mark.parametrize("key", ["a.b", "modèle/1", "with space", "*", ">", "$KV", "x" * 500, "="])
async def test_any_name_is_a_key(buses: Buses, key: str) -> None:
    bus = await buses.connect("gateway")
    written = await buses.view(bus, "desired")
    await written.put(key, b"value")
    read = await buses.view(bus, "desired")
    assert dict(read.items()) == {key: b"value"}


async def test_bucket_with_more_entries_than_one_read(buses: Buses) -> None:
    bus = await buses.connect("gateway")
    written = await buses.view(bus, "desired")
    await asyncio.gather(*(written.put(f"model-{number}", b"%d" % number) for number in range(600)))
    read = await buses.view(bus, "desired")
    assert dict(read.items()) == {f"model-{number}": b"%d" % number for number in range(600)}


async def test_own_write_is_readable_at_once(buses: Buses) -> None:
    bus = await buses.connect("gateway")
    changes: list[Change] = []
    view = await buses.view(bus, "desired", lambda *change: changes.append(change))
    assert await view.put("key", b"1") == 1
    assert view.get("key") == b"1"
    await asyncio.sleep(0.05)
    assert changes == [("key", b"1", 1)]


async def test_compare_and_set_lets_one_of_two_writers_win(buses: Buses) -> None:
    bus = await buses.connect("gateway")
    one, other = await buses.view(bus, "b"), await buses.view(bus, "b")
    results = await asyncio.gather(
        one.compare_and_set("key", b"1", 0), other.compare_and_set("key", b"2", 0), return_exceptions=True
    )
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert one.get("key") == other.get("key")


async def test_refused_write_is_known_afterwards(buses: Buses) -> None:
    bus = await buses.connect("gateway")
    one, other = await buses.view(bus, "b"), await buses.view(bus, "b")
    revision = await one.put("key", b"1")
    with pytest.raises(Conflict):
        await other.compare_and_set("key", b"2", revision + 5)
    assert other.get("key") == b"1"
    assert await other.compare_and_set("key", b"2", other.revision("key")) > revision


async def test_deleted_key_can_be_claimed_again(buses: Buses) -> None:
    bus = await buses.connect("gateway")
    view = await buses.view(bus, "b")
    await view.put("key", b"1")
    await view.delete("key")
    await view.compare_and_set("key", b"2", view.revision("key"))
    assert view.get("key") == b"2"


async def test_value_too_big_for_a_message_is_refused(buses: Buses) -> None:
    bus = await buses.connect("gateway")
    view = await buses.view(bus, "b")
    with pytest.raises(InvalidArgument, match="1048576 in one message"):
        await view.put("key", bytes(1024 * 1024))


async def test_callback_that_raises_does_not_stop_the_following(buses: Buses, until: Until) -> None:
    bus = await buses.connect("gateway")
    seen: list[str] = []

    def fail(key: str, value: bytes | None, revision: int) -> None:
        seen.append(key)
        raise RuntimeError("a callback's bug")

    await buses.view(bus, "b", fail)
    other = await buses.view(bus, "b")
    await other.put("one", b"1")
    await other.put("two", b"2")
    await until(lambda: seen == ["one", "two"])


async def test_view_follows_right_after_a_restart(broker: Broker, buses: Buses, until: Until) -> None:
    """A watch of nats-py's key-value client is blind for 20 s here."""
    writer, reader = await buses.connect("repository"), await buses.connect("gateway")
    lost: list[bool] = []
    written, view = await buses.view(writer, "b"), await buses.view(reader, "b", on_lost=lambda: lost.append(True))
    await written.put("key", b"1")
    broker.kill()
    await until(lambda: not reader.is_connected)
    broker.start()
    await until(lambda: writer.is_connected)
    await written.put("key", b"2")
    await until(lambda: view.get("key") == b"2", timeout_s=2)
    await written.put("other", b"3")
    await until(lambda: view.get("other") == b"3", timeout_s=0.5)
    assert lost == []


async def test_change_during_our_absence_is_seen_at_the_reconnect(broker: Broker, buses: Buses, until: Until) -> None:
    bus = await buses.connect("gateway")
    view = await buses.view(bus, "b")
    broker.kill()
    await until(lambda: not bus.is_connected)
    broker.start()
    other = await Bus.connect(broker.settings(), "repository")
    try:
        answer = await other.link.request("$KV.test-b.key", b"1")
        assert json.loads(answer[0].data)["seq"] == 1
        await until(lambda: view.get("key") == b"1", timeout_s=2)
    finally:
        await other.close()


async def test_write_during_a_restart_waits_for_the_broker(broker: Broker, buses: Buses, until: Until) -> None:
    bus = await buses.connect("repository")
    view = await buses.view(bus, "b")
    broker.kill()
    await until(lambda: not bus.is_connected)
    writing = asyncio.ensure_future(view.put("key", b"1"))
    await asyncio.sleep(0.2)
    assert not writing.done()
    broker.start()
    assert await asyncio.wait_for(writing, 5) == 1


@pytest.mark.slow
async def test_write_without_a_broker_is_refused_in_time(broker: Broker, buses: Buses) -> None:
    bus = await buses.connect("repository")
    view = await buses.view(bus, "b")
    broker.kill()
    with pytest.raises(Unavailable, match="was not written"):
        await asyncio.wait_for(view.put("key", b"1"), 8)


async def test_lost_store_keeps_what_was_known_and_asks_to_rebuild(broker: Broker, buses: Buses, until: Until) -> None:
    owner, reader = await buses.connect("repository"), await buses.connect("gateway")
    lost: list[bool] = []
    changes: list[Change] = []
    written = await buses.view(owner, "b", on_lost=lambda: lost.append(True))
    view = await buses.view(reader, "b", lambda *change: changes.append(change))
    for number in range(3):
        await written.put(f"key-{number}", b"1")
    await until(lambda: len(changes) == 3)
    broker.kill()
    await until(lambda: not owner.is_connected)
    broker.start(empty=True)
    await until(lambda: lost, timeout_s=3)
    await until(lambda: view.revision("key-0") == 0, timeout_s=3)
    assert dict(view.items()) == {f"key-{number}": b"1" for number in range(3)}
    assert len(changes) == 3, "an emptied store says nothing about the keys"
    for key, value in written.items():
        await written.put(key, value)
    await written.put("key-0", b"2")
    await until(lambda: changes[-1] == ("key-0", b"2", 4), timeout_s=1)
    assert lost == [True]


async def test_bucket_made_anew_by_another_is_a_loss_too(broker: Broker, buses: Buses, until: Until) -> None:
    bus = await buses.connect("gateway")
    lost: list[bool] = []
    view = await buses.view(bus, "b", on_lost=lambda: lost.append(True))
    await view.put("key", b"old")
    broker.kill()
    broker.start(empty=True)
    other = await Bus.connect(broker.settings(), "repository")
    try:
        fresh = await buses.view(other, "b")
        for number in range(5):
            await fresh.put("key", b"new %d" % number)
        await until(lambda: lost and view.get("key") == b"new 4", timeout_s=3)
        assert lost == [True]
    finally:
        await other.close()


async def test_missing_jetstream_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "OPEN_TIMEOUT_S", 0.2)
    port = free_port()
    argv = [str(find_nats_server()), "-a", "127.0.0.1", "-p", str(port)]
    server = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
    try:
        bus = await Bus.connect(BusSettings(url=f"nats://127.0.0.1:{port}"), "gateway")
        with pytest.raises(Unavailable, match="with JetStream"):
            await View.open(bus, "b")
        await bus.close()
    finally:
        server.kill()
        await server.wait()


async def test_view_of_a_closed_bus_is_refused(buses: Buses) -> None:
    bus = await buses.connect("gateway")
    await bus.close()
    with pytest.raises(Unavailable, match="is closed"):
        await View.open(bus, "b")


async def test_closed_view_follows_no_longer(buses: Buses) -> None:
    bus = await buses.connect("gateway")
    changes: list[Change] = []
    closed, other = await buses.view(bus, "b", lambda *change: changes.append(change)), await buses.view(bus, "b")
    await closed.close()
    await closed.close()
    await other.put("key", b"1")
    await asyncio.sleep(0.05)
    assert changes == []


async def test_view_of_one_key_holds_and_follows_nothing_else(buses: Buses, until: Until) -> None:
    bus = await buses.connect("gateway")
    written = await buses.view(bus, "b")
    await written.put("a.b", b"1")
    await written.put("other", b"1")
    changes: list[Change] = []
    view = await View.open(bus, "b", lambda *change: changes.append(change), key="a.b")
    buses.at_end(view.close)
    await written.put("other", b"2")
    await written.put("a.b", b"2")
    await until(lambda: changes == [("a.b", b"1", 1), ("a.b", b"2", 4)])
    assert dict(view.items()) == {"a.b": b"2"}


async def test_deletion_can_be_bound_to_a_revision(buses: Buses) -> None:
    view = await buses.view(await buses.connect("gateway"), "b")
    revision = await view.put("key", b"1")
    await view.put("key", b"2")
    with pytest.raises(Conflict):
        await view.delete("key", revision)
    assert view.get("key") == b"2"
    assert await view.delete("key", view.revision("key")) == view.revision("key")
    assert view.get("key") is None


async def test_how_far_a_view_has_come_can_be_compared_within_one_life_of_the_bucket(
    broker: Broker, buses: Buses, until: Until
) -> None:
    writer, reader = await buses.connect("repository"), await buses.connect("gateway")
    written, view = await buses.view(writer, "b"), await buses.view(reader, "b")
    await written.put("key", b"1")
    revision = await written.put("other", b"1")
    await until(lambda: view.applied.revision == revision)
    before = view.applied.bucket
    assert before == written.applied.bucket
    broker.kill()
    await until(lambda: not reader.is_connected)
    broker.start(empty=True)
    await until(lambda: view.applied.bucket != before and view.applied.revision == 0)
