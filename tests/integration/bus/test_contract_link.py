"""The link to the broker: made within a deadline, mended for ever, and what is lost meanwhile."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker_process import Broker
from proxy import Proxy
from shoal.bus import Bus, BusSettings, free_port
from shoal.bus.frames import cut
from shoal.bus.link import Link
from shoal.bus.requests import NoResponders, RequestFailed
from shoal.core.errors import InvalidArgument, Unavailable
from shoal.core.messages import V1, Cancel

if TYPE_CHECKING:
    from tests.integration.bus.conftest import Buses, Until


async def test_started_bus_hears_the_very_next_message(buses: Buses, until: Until) -> None:
    """nats-py's flush returns before the broker knows a subscription made just before."""
    sender = await buses.started("gateway")
    for _ in range(20):
        receiver = await buses.connect("scheduler")
        got: list[str] = []
        receiver.on(Cancel, lambda who, message, part, got=got: got.append(who))  # type: ignore[misc]
        await receiver.start()
        sender.send(receiver.incarnation, Cancel(V1, "x", ()))
        await until(lambda got=got: got, timeout_s=2)  # type: ignore[misc]
        await receiver.close()


async def test_receiver_that_raises_does_not_end_the_hearing(broker: Broker, until: Until) -> None:
    """An exception that reaches nats-py's read loop ends it silently."""
    link = await Link.open(broker.settings(), "gateway-1")
    got: list[bytes] = []

    def receive(subject: bytes, data: bytes, header_block: bytes) -> None:
        got.append(data)
        raise RuntimeError("a receiver's bug")

    try:
        await link.subscribe("test.x", receive)
        await link.settle()
        link.write(b"PUB test.x 1\r\na\r\nPUB test.x 1\r\nb\r\n")
        await until(lambda: got == [b"a", b"b"])
    finally:
        await link.close()


async def test_link_watcher_that_raises_does_not_stop_the_mending(broker: Broker, buses: Buses, until: Until) -> None:
    bus = await buses.started("gateway")
    heard: list[bool] = []

    def fail(connected: bool) -> None:
        raise RuntimeError("a watcher's bug")

    bus.on_link(fail)
    bus.on_link(heard.append)
    broker.kill()
    await until(lambda: heard == [False])
    broker.start()
    await until(lambda: heard == [False, True])


async def test_unreachable_broker_is_reported_within_the_deadline() -> None:
    settings = BusSettings(url=f"nats://127.0.0.1:{free_port()}", connect_timeout_s=0.5)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"did not answer within 0\.5 s"):
        await Bus.connect(settings, "gateway")
    assert time.monotonic() - began < 2


async def test_silent_listener_is_reported_within_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = BusSettings(url=f"nats://127.0.0.1:{server.getsockname()[1]}", connect_timeout_s=0.5)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer"):
            await Bus.connect(settings, "gateway")
        assert time.monotonic() - began < 2


async def test_wrong_token_is_reported_at_once(broker: Broker) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="refused us"):
        await Bus.connect(replace(broker.settings(), token="wrong"), "gateway")
    assert time.monotonic() - began < 2


async def test_address_without_a_host_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="of no use"):
        await Bus.connect(BusSettings(url="nats://:4222"), "gateway")


async def test_broker_that_starts_after_us_is_found_quickly(broker: Broker) -> None:
    broker.stop()
    starter = threading.Timer(0.4, broker.start)
    starter.start()
    began = time.monotonic()
    bus = await Bus.connect(broker.settings(), "gateway")
    await bus.close()
    starter.join()
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_link_is_mended_soon_after_the_broker_is_back(
    broker: Broker, buses: Buses, until: Until, end: str
) -> None:
    bus = await buses.connect("gateway")
    got: list[int] = []
    bus.on(Cancel, lambda who, message, part: got.append(message.counters[0]))
    heard: list[bool] = []
    bus.on_link(heard.append)
    await bus.start()
    getattr(broker, end)()
    await until(lambda: not bus.is_connected)
    bus.send(bus.incarnation, Cancel(V1, "x", (1,)))
    broker.start()
    began = time.monotonic()
    await until(lambda: bus.is_connected)
    assert time.monotonic() - began < 1
    assert bus.links == 1
    assert heard == [False, True]
    bus.send(bus.incarnation, Cancel(V1, "x", (2,)))
    await until(lambda: got)
    await asyncio.sleep(0.05)
    assert got == [2], "what was sent without a link must not be replayed"
    assert not bus.closed.is_set()


async def test_open_request_fails_with_the_link(broker: Broker, buses: Buses) -> None:
    """nats-py would let it wait out its timeout."""
    bus = await buses.started("gateway")
    await bus.link.subscribe("test.silent", lambda subject, data, header_block: None)
    asking = asyncio.ensure_future(bus.link.request("test.silent", timeout_s=60))
    await asyncio.sleep(0.05)
    broker.kill()
    with pytest.raises(RequestFailed, match="lost"):
        await asyncio.wait_for(asking, 5)
    with pytest.raises(RequestFailed):
        await bus.link.request("test.silent", timeout_s=60)


async def test_request_without_anybody_listening_fails_at_once(buses: Buses) -> None:
    bus = await buses.started("gateway")
    with pytest.raises(NoResponders):
        await bus.link.request("test.nobody", timeout_s=60)


async def test_request_without_an_answer_ends_at_its_timeout(buses: Buses) -> None:
    bus = await buses.started("gateway")
    await bus.link.subscribe("test.silent", lambda subject, data, header_block: None)
    with pytest.raises(RequestFailed, match=r"within 0\.05 s"):
        await bus.link.request("test.silent", timeout_s=0.05)


async def test_too_long_control_line_closes_the_bus_for_good(buses: Buses) -> None:
    bus = await buses.started("gateway")
    await bus.link.subscribe("test." + "x" * 5000, lambda subject, data, header_block: None)
    await asyncio.wait_for(bus.closed.wait(), 5)
    assert not bus.is_connected


async def test_closing_leaves_no_task_behind(broker: Broker) -> None:
    before = asyncio.all_tasks()
    bus = await Bus.connect(broker.settings(), "gateway", ("gateway",))
    await bus.start()
    await bus.close()
    await bus.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert bus.closed.is_set()


async def test_closing_without_a_broker_ends_in_time(broker: Broker, until: Until) -> None:
    bus = await Bus.connect(broker.settings(), "gateway")
    await bus.start()
    broker.kill()
    await until(lambda: not bus.is_connected)
    await asyncio.wait_for(bus.close(), 5)


async def test_bus_that_was_never_started_closes(broker: Broker) -> None:
    bus = await Bus.connect(broker.settings(), "gateway")
    await bus.close()
    assert bus.closed.is_set()


async def test_messages_lost_while_the_link_is_up_are_told_like_a_mended_link(buses: Buses, until: Until) -> None:
    """Whoever follows the link asks then for what may be missing, instead of waiting until it is old."""
    sender, receiver = await buses.started("gateway"), await buses.started("scheduler")
    heard: list[bool] = []
    receiver.on_link(heard.append)
    chunks = [bytes(300), bytes(300), bytes(300)]
    fragments = [b"".join(f) for f in cut(chunks, 900, sender.incarnation, 1, 400)]
    inbox = f"test.inbox.{receiver.incarnation}".encode()
    for fragment in (fragments[0], *fragments[2:]):
        sender.link.write(b"PUB %s %d\r\n%s\r\n" % (inbox, len(fragment), fragment))
    await until(lambda: heard == [True])
    assert (sender.links, receiver.links) == (0, 1)


async def test_who_reads_too_slowly_is_cut_off_alone_and_hears_again(tmp_path: Path, until: Until) -> None:
    """The broker keeps only so much for one that does not read; the link that ends for it is mended as any other."""
    broker = Broker(tmp_path / "impatient")
    config = tmp_path / "impatient" / "nats-server.conf"
    config.write_text(config.read_text().replace("max_pending: 512MB", "max_pending: 4MB"))
    broker.start()
    with Proxy(broker.port) as proxy:
        sender = await Bus.connect(broker.settings(), "gateway")
        receiver = await Bus.connect(replace(broker.settings(), url=f"nats://127.0.0.1:{proxy.port}"), "scheduler")
        got: list[int] = []
        receiver.on(Cancel, lambda who, message, part: got.append(message.counters[0]))
        try:
            await sender.start()
            await receiver.start()
            proxy.stall("scheduler")
            for number in range(64):
                sender.send(receiver.incarnation, Cancel(V1, "x", (number,)), (bytes(400_000),))
                await asyncio.sleep(0)
            await until(lambda: "Slow Consumer" in (tmp_path / "impatient" / "nats-server.log").read_text())
            proxy.resume("scheduler")
            await until(lambda: receiver.links > 0 and receiver.is_connected)
            sender.send(receiver.incarnation, Cancel(V1, "x", (64,)))
            await until(lambda: got[-1:] == [64])
            assert len(got) < 65
            assert (sender.links, sender.is_connected) == (0, True)
        finally:
            await receiver.close()
            await sender.close()
            broker.stop()
