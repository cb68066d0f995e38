"""Heartbeats and the peers made of them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from shoal.bus import HeartbeatBody, PeerEvent
from shoal.core.messages import READY, InstanceStatus
from shoal.memory import host_id

if TYPE_CHECKING:
    from tests.integration.bus.conftest import Buses, Program, Until

    from broker_process import Broker

STATUS = InstanceStatus("m", 1, "0123456789abcdef", "m_0", "executor-1", 0, READY, "")


async def test_peers_appear_with_what_they_say_of_themselves(buses: Buses, until: Until) -> None:
    gateway = await buses.started("gateway", ("agent",))
    agent = await buses.connect("agent")
    agent.body = lambda: HeartbeatBody(owned={"models": 7}, backends=("python",), instances=(STATUS,))
    await agent.start()
    await until(lambda: gateway.peers)
    heartbeat = gateway.peers[agent.incarnation].heartbeat
    assert (heartbeat.role, heartbeat.pid, heartbeat.links) == ("agent", os.getpid(), 0)
    assert heartbeat.host == host_id()
    assert (heartbeat.owned, heartbeat.backends, heartbeat.instances) == ({"models": 7}, ("python",), (STATUS,))


async def test_only_the_roles_listened_to_are_peers(buses: Buses, until: Until) -> None:
    gateway = await buses.started("gateway", ("scheduler",))
    await buses.started("agent")
    scheduler = await buses.started("scheduler")
    await until(lambda: gateway.peers)
    await asyncio.sleep(0.3)
    assert list(gateway.peers) == [scheduler.incarnation]


async def test_beat_tells_a_change_at_once_and_once_per_turn(buses: Buses, until: Until) -> None:
    gateway, agent = await buses.started("gateway", ("agent",)), await buses.connect("agent")
    owned: dict[str, int] = {}
    agent.body = lambda: HeartbeatBody(owned=dict(owned))
    await agent.start()
    await until(lambda: gateway.peers)
    events: list[PeerEvent] = []
    gateway.watch_peers(events.append)
    owned["models"] = 1
    began = time.monotonic()
    for _ in range(5):
        agent.beat()
    await until(lambda: events)
    assert time.monotonic() - began < 0.2
    assert events[0].kind == "beat"
    assert events[0].peer.heartbeat.owned == {"models": 1}
    assert events[0].previous is not None
    assert events[0].previous.owned == {}
    assert len(events) <= 2


async def test_farewell_leaves_at_once(buses: Buses, until: Until) -> None:
    gateway, agent = await buses.started("gateway", ("agent",)), await buses.started("agent")
    events: list[str] = []
    gateway.watch_peers(lambda event: events.append(event.kind))
    await until(lambda: gateway.peers)
    await agent.close()
    await until(lambda: "left" in events, timeout_s=1)
    assert not gateway.peers


async def test_killed_process_is_suspected_after_a_second(buses: Buses, until: Until, program: Program) -> None:
    gateway = await buses.started("gateway", ("agent",))
    events: list[str] = []
    gateway.watch_peers(lambda event: events.append(event.kind))
    process = program("agent")
    await until(lambda: gateway.peers)
    process.kill()
    began = time.monotonic()
    await until(lambda: "suspected" in events)
    assert 0.7 < time.monotonic() - began < 1.6
    assert [peer.suspected for peer in gateway.peers.values()] == [True]


async def test_paused_process_recovers(buses: Buses, until: Until, program: Program) -> None:
    gateway = await buses.started("gateway", ("agent",))
    events: list[str] = []
    gateway.watch_peers(lambda event: events.append(event.kind))
    process = program("agent")
    await until(lambda: gateway.peers)
    process.send_signal(signal.SIGSTOP)
    await until(lambda: "suspected" in events)
    process.send_signal(signal.SIGCONT)
    await until(lambda: "recovered" in events)


async def test_lost_link_makes_nobody_suspected(broker: Broker, buses: Buses, until: Until) -> None:
    gateway, agent = await buses.started("gateway", ("agent",)), await buses.started("agent")
    events: list[str] = []
    await until(lambda: gateway.peers)
    gateway.watch_peers(lambda event: events.append(event.kind))
    broker.kill()
    await asyncio.sleep(1.5)
    broker.start()
    await until(lambda: gateway.is_connected and agent.is_connected)
    await until(lambda: gateway.peers[agent.incarnation].heartbeat.links == 1)
    assert set(events) <= {"beat"}


@pytest.mark.slow
async def test_stuck_broker_makes_nobody_suspected(broker: Broker, buses: Buses, until: Until) -> None:
    gateway = await buses.started("gateway", ("agent",))
    await buses.started("agent")
    events: list[str] = []
    await until(lambda: gateway.peers)
    gateway.watch_peers(lambda event: events.append(event.kind))
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(1.6)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    await asyncio.sleep(0.4)
    assert set(events) <= {"beat"}


@pytest.mark.slow
async def test_blocked_event_loop_makes_nobody_suspected(buses: Buses, until: Until, program: Program) -> None:
    gateway = await buses.started("gateway", ("agent",))
    program("agent")
    await until(lambda: gateway.peers)
    events: list[str] = []
    gateway.watch_peers(lambda event: events.append(event.kind))
    time.sleep(1.6)  # noqa: ASYNC251 - the block is what is tested
    await asyncio.sleep(0.4)
    assert set(events) == {"beat"}


async def test_heartbeat_goes_on_when_its_body_fails(buses: Buses, until: Until) -> None:
    gateway, agent = await buses.started("gateway", ("agent",)), await buses.connect("agent")

    def fail() -> HeartbeatBody:
        raise RuntimeError("a body's bug")

    agent.body = fail
    await agent.start()
    await until(lambda: gateway.peers)


async def test_peer_watcher_that_raises_hurts_no_other(buses: Buses, until: Until) -> None:
    gateway = await buses.connect("gateway", ("agent",))
    events: list[str] = []

    def fail(event: PeerEvent) -> None:
        raise RuntimeError("a watcher's bug")

    gateway.watch_peers(fail)
    gateway.watch_peers(lambda event: events.append(event.kind))
    await gateway.start()
    await buses.started("agent")
    await until(lambda: len(events) >= 2)
