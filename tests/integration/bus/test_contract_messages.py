"""Messages between two processes' buses over a real broker."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shoal.bus import Bus, Part
from shoal.core.encoding import SCHEMA, encode
from shoal.core.errors import InvalidArgument
from shoal.core.messages import V1, BatchQuery, Cancel, NotOwner

if TYPE_CHECKING:
    from tests.integration.bus.conftest import Buses, Until

    from broker_process import Broker


async def test_messages_arrive_in_the_order_of_sending_with_their_payload(buses: Buses, until: Until) -> None:
    sender, receiver = await buses.connect("gateway"), await buses.connect("scheduler")
    got: list[tuple[str, int, bytes]] = []

    def on_cancel(who: str, message: Cancel, part: Part) -> None:
        got.append((who, message.counters[0], bytes(part.payload)))

    receiver.on(Cancel, on_cancel)
    await asyncio.gather(sender.start(), receiver.start())
    for number in range(100):
        sender.send(receiver.incarnation, Cancel(V1, "x", (number,)), (b"%d" % number, memoryview(b"!")))
        if number % 7 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(got) == 100)
    assert got == [(sender.incarnation, number, b"%d!" % number) for number in range(100)]


async def test_different_types_keep_their_common_order(buses: Buses, until: Until) -> None:
    bus = await buses.connect("gateway")
    got: list[str] = []
    bus.on(Cancel, lambda who, message, part: got.append("cancel"))
    bus.on(NotOwner, lambda who, message, part: got.append("not owner"))
    await bus.start()
    for _ in range(3):
        bus.send(bus.incarnation, Cancel(V1, "x", ()))
        bus.send(bus.incarnation, NotOwner(V1, ()))
    await until(lambda: len(got) == 6)
    assert got == ["cancel", "not owner"] * 3


async def test_large_messages_are_cut_and_whole_again_between_small_ones(buses: Buses, until: Until) -> None:
    bus = await buses.connect("executor")
    got: list[tuple[int, memoryview]] = []
    bus.on(Cancel, lambda who, message, part: got.append((message.counters[0], part.payload)))
    await bus.start()
    large = bytes(range(256)) * 20_000
    for number, payload in enumerate((b"before", large, b"between", large[:600_000], b"after")):
        bus.send(bus.incarnation, Cancel(V1, "x", (number,)), (payload,))
    await until(lambda: len(got) == 5)
    assert [number for number, _ in got] == [0, 1, 2, 3, 4]
    assert [bytes(payload) for _, payload in got] == [b"before", large, b"between", large[:600_000], b"after"]
    assert bus.links == 0


async def test_encoded_header_travels_as_it_is(buses: Buses, until: Until) -> None:
    bus = await buses.connect("scheduler")
    got: list[tuple[BatchQuery, bytes]] = []
    bus.on(BatchQuery, lambda who, message, part: got.append((message, bytes(part.header))))
    await bus.start()
    message = BatchQuery(V1, 7, (1, 2))
    bus.send_encoded(bus.incarnation, SCHEMA[BatchQuery][0], memoryview(encode(message)))
    await until(lambda: got)
    assert got == [(message, encode(message))]


async def test_failing_handler_hurts_no_other_message(buses: Buses, until: Until) -> None:
    bus = await buses.connect("gateway")
    got: list[int] = []

    def on_cancel(who: str, message: Cancel, part: Part) -> None:
        if message.counters[0] == 1:
            raise RuntimeError("a handler's bug")
        got.append(message.counters[0])

    bus.on(Cancel, on_cancel)
    await bus.start()
    for number in range(3):
        bus.send(bus.incarnation, Cancel(V1, "x", (number,)))
    await until(lambda: len(got) == 2)
    bus.send(bus.incarnation, Cancel(V1, "x", (3,)))
    await until(lambda: got == [0, 2, 3])


async def test_message_without_a_handler_is_ignored(buses: Buses, until: Until) -> None:
    bus = await buses.connect("gateway")
    got: list[str] = []
    bus.on(Cancel, lambda who, message, part: got.append(who))
    await bus.start()
    bus.send(bus.incarnation, NotOwner(V1, ()))
    bus.send(bus.incarnation, Cancel(V1, "x", ()))
    await until(lambda: got)


async def test_frame_of_another_release_is_refused_and_the_bus_goes_on(buses: Buses, until: Until) -> None:
    bus = await buses.connect("gateway")
    got: list[str] = []
    bus.on(Cancel, lambda who, message, part: got.append(who))
    await bus.start()
    inbox = f"test.inbox.{bus.incarnation}".encode()
    for frame in (b"", b"S", b"S\x09\xa3abc", b"F\x01\xa3abc", b"nonsense"):
        bus.link.write(b"PUB %s %d\r\n%s\r\n" % (inbox, len(frame), frame))
    bus.send(bus.incarnation, Cancel(V1, "x", ()))
    await until(lambda: got)


async def test_destination_that_is_no_process_is_refused(buses: Buses) -> None:
    bus = await buses.started("gateway")
    with pytest.raises(InvalidArgument, match="no name of a process"):
        bus.send("scheduler.x 5\r\nPUB evil", Cancel(V1, "x", ()))


async def test_burst_at_a_blocked_receiver_loses_nothing(buses: Buses, until: Until) -> None:
    """The pending limits of nats-py's subscriptions would drop messages here and tell only an error callback."""
    sender, receiver = await buses.started("gateway"), await buses.connect("scheduler")
    got: list[int] = []

    def on_cancel(who: str, message: Cancel, part: Part) -> None:
        if not got:
            time.sleep(0.3)
        got.append(message.counters[0])

    receiver.on(Cancel, on_cancel)
    await receiver.start()
    for number in range(3000):
        sender.send(receiver.incarnation, Cancel(V1, "x", (number,)), (bytes(10_000),))
        if number % 100 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(got) == 3000)
    assert got == list(range(3000))
    assert (sender.links, receiver.links) == (0, 0)


async def test_namespaces_do_not_hear_each_other(broker: Broker, buses: Buses) -> None:
    bus = await buses.started("gateway", ("gateway",))
    stranger = await Bus.connect(replace(broker.settings(), namespace="elsewhere"), "gateway", ("gateway",))
    try:
        await stranger.start()
        await asyncio.sleep(0.4)
        assert not bus.peers
        assert not stranger.peers
    finally:
        await stranger.close()


@pytest.mark.slow
async def test_sending_and_receiving_small_messages_takes_microseconds(buses: Buses) -> None:
    """Guards the hot path against a task or queue per message, with a wide margin for busy machines."""
    bus = await buses.connect("gateway")
    count, window = 20_000, 64
    done = asyncio.get_running_loop().create_future()
    header = encode(Cancel(V1, "x", (1,)))
    kind = SCHEMA[Cancel][0]
    received = 0

    def on_cancel(who: str, message: Cancel, part: Part) -> None:
        nonlocal received
        received += 1
        if received < count:
            bus.send_encoded(bus.incarnation, kind, header, (bytes(180),))
        elif not done.done():
            done.set_result(None)

    bus.on(Cancel, on_cancel)
    await bus.start()
    began = time.process_time()
    for _ in range(window):
        bus.send_encoded(bus.incarnation, kind, header, (bytes(180),))
    await asyncio.wait_for(done, 60)
    assert (time.process_time() - began) / count < 20e-6
