"""What gateways know alike, with a real broker that may lose its store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from broker_process import Broker
from shoal.bus import Bus, BusSettings, HeartbeatBody, View
from shoal.core.errors import Unavailable
from shoal.core.stamped import GATEWAYS
from shoal.gateway.shared_state import CONFIRMED_WITHIN_S, SharedState

pytestmark = pytest.mark.slow

Change = tuple[str, bytes | None]
WAIT_S = 15.0


class Member:
    """A gateway's part in the shared state; `changes` is what it was told of the keys under `regions/`."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.shared = SharedState(bus)
        self.changes: list[Change] = []
        self.shared.watch("regions/", lambda key, value: self.changes.append((key, value)))

    @classmethod
    @asynccontextmanager
    async def join(cls, settings: BusSettings) -> AsyncIterator[Member]:
        member = cls(await Bus.connect(settings, role="gateway", listen_to=("gateway",)))
        member.bus.body = lambda: HeartbeatBody(confirmed=member.shared.confirmed)
        await member.bus.start()
        await member.shared.open()
        yield member
        await member.shared.close()
        await member.bus.close()


Join = Callable[[], Awaitable[Member]]


@pytest.fixture
async def join(broker: Broker) -> AsyncIterator[Join]:
    """`await join()` for one more gateway that hears the others and is heard by them."""
    members: list[Member] = []
    async with AsyncExitStack() as stack:

        async def one_more() -> Member:
            members.append(await stack.enter_async_context(Member.join(broker.settings())))
            await until(lambda: all(len(member.bus.peers) == len(members) - 1 for member in members))
            return members[-1]

        yield one_more


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


async def restart_empty(broker: Broker, *members: Member) -> None:
    broker.kill()
    await until(lambda: not any(member.bus.is_connected for member in members))
    broker.start(empty=True)
    await until(lambda: all(member.bus.is_connected for member in members))


async def test_every_gateway_has_a_write_when_it_returns(join: Join) -> None:
    one, other = await join(), await join()
    began = time.monotonic()
    for number in range(10):
        await one.shared.put("regions/a", b"%d" % number)
        assert other.shared.get("regions/a") == b"%d" % number
        await other.shared.put("regions/a", b"same")
        await one.shared.put("regions/a", b"same")
    await one.shared.delete("regions/a")
    assert other.shared.get("regions/a") is None
    assert time.monotonic() - began < 10 * CONFIRMED_WITHIN_S


async def test_watchers_are_told_what_is_there_and_every_change_of_their_keys(join: Join) -> None:
    one = await join()
    await one.shared.put("regions/a", b"1")
    await one.shared.put("settings/log", b"{}")
    other = await join()
    assert other.changes == [("regions/a", b"1")]
    await other.shared.put("regions/b", b"2")
    await other.shared.delete("regions/a", "regions/never")
    assert one.changes == [("regions/a", b"1"), ("regions/b", b"2"), ("regions/a", None)]
    assert other.changes == one.changes


async def test_one_of_two_creations_succeeds(join: Join) -> None:
    one, other = await join(), await join()
    results = await asyncio.gather(one.shared.create("regions/a", b"1"), other.shared.create("regions/a", b"2"))
    assert sorted(results) == [False, True]
    assert one.shared.get("regions/a") == other.shared.get("regions/a")
    await one.shared.delete("regions/a")
    assert await other.shared.create("regions/a", b"3")


async def test_concurrent_updates_lose_none(join: Join) -> None:
    one, other = await join(), await join()

    async def count(member: Member) -> None:
        for _ in range(5):
            await member.shared.update("settings/count", lambda value: b"%d" % (int(value or b"0") + 1))

    await asyncio.gather(count(one), count(other))
    assert one.shared.get("settings/count") == b"10"


async def test_a_gateway_that_confirms_nothing_holds_a_write_up_for_a_second(broker: Broker, join: Join) -> None:
    one = await join()
    silent = await Bus.connect(broker.settings(), role="gateway")
    await silent.start()
    await until(lambda: one.bus.peers)
    began = time.monotonic()
    await one.shared.put("regions/a", b"1")
    assert 0.9 * CONFIRMED_WITHIN_S < time.monotonic() - began < 5 * CONFIRMED_WITHIN_S
    await silent.close()
    began = time.monotonic()
    await one.shared.put("regions/a", b"2")
    assert time.monotonic() - began < 0.9 * CONFIRMED_WITHIN_S


async def test_a_lost_bucket_is_written_again(broker: Broker, join: Join) -> None:
    one, other = await join(), await join()
    await one.shared.put("regions/a", b"1")
    await other.shared.put("regions/b", b"2")
    told = list(one.changes)
    await restart_empty(broker, one, other)
    newcomer = await join()
    await until(lambda: (newcomer.shared.get("regions/a"), newcomer.shared.get("regions/b")) == (b"1", b"2"))
    assert one.changes == other.changes == told
    await newcomer.shared.put("regions/a", b"3")
    assert one.shared.get("regions/a") == other.shared.get("regions/a") == b"3"


@pytest.mark.parametrize("now", [None, b"2"])
async def test_what_was_deleted_or_replaced_does_not_come_back_after_a_loss(
    broker: Broker, join: Join, now: bytes | None
) -> None:
    """A gateway that had missed the last change writes again what it knew."""
    one = await join()
    await one.shared.put("regions/a", b"1")
    bus = await Bus.connect(broker.settings(), role="cli")
    bucket = await View.open(bus, GATEWAYS)
    old = bucket.get("regions/a")
    assert old is not None
    await (one.shared.delete("regions/a") if now is None else one.shared.put("regions/a", now))
    told = list(one.changes)
    await restart_empty(broker, one)
    await bucket.put("regions/a", old)
    newcomer = await join()
    await until(lambda: newcomer.shared.get("regions/a") == now)
    assert one.shared.get("regions/a") == now
    assert one.changes == told
    await bucket.close()
    await bus.close()


async def test_a_write_without_a_broker_is_refused(broker: Broker, join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.bus.view.WRITE_TIMEOUT_S", 0.2)
    one = await join()
    await one.shared.put("regions/a", b"1")
    broker.kill()
    with pytest.raises(Unavailable, match="was not written"):
        await one.shared.put("regions/a", b"2")
    assert one.shared.get("regions/a") == b"1"


async def test_many_who_ask_at_once_share_a_reading(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await join()
    readings = 0
    refresh = View.refresh

    async def counted(view: View) -> None:
        nonlocal readings
        readings += 1
        await refresh(view)

    monkeypatch.setattr(View, "refresh", counted)
    await asyncio.gather(*(one.shared.refresh() for _ in range(50)))
    assert readings == 1
    await one.shared.refresh()
    assert readings == 2
