"""One owner at a time, over deaths, pauses and a broker that comes back with or without its store."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import pytest

from shoal.bus import Bus, Ownership, View
from shoal.bus.claim import decode_holder

if TYPE_CHECKING:
    from tests.integration.bus.conftest import Buses, Program, Until

    from broker_process import Broker


class Candidate:
    """A process that stands by for the key, and what it was told."""

    def __init__(self, bus: Bus, view: View) -> None:
        self.bus = bus
        self.view = view
        self.gains: list[int] = []
        self.losses = 0
        self.ownership: Ownership

    def lose(self) -> None:
        self.losses += 1


async def candidate(buses: Buses, seat: str = "") -> Candidate:
    bus = await buses.started("scheduler", ("scheduler",))
    bus.seat = seat
    view = await buses.view(bus, "ownership")
    made = Candidate(bus, view)
    made.ownership = Ownership(bus, view, "models", made.gains.append, made.lose)
    await made.ownership.start()
    buses.at_end(made.ownership.release)
    return made


async def test_first_candidate_owns_at_once(buses: Buses) -> None:
    first = await candidate(buses)
    assert first.ownership.epoch is not None
    assert first.gains == [first.ownership.epoch]
    assert abs(first.ownership.epoch - time.time() * 1000) < 10_000


async def test_only_one_of_many_candidates_owns(buses: Buses) -> None:
    candidates = await asyncio.gather(*(candidate(buses) for _ in range(4)))
    await asyncio.sleep(1.3)
    assert sum(one.ownership.epoch is not None for one in candidates) == 1
    assert sum(len(one.gains) for one in candidates) == 1


async def test_released_key_is_claimed_by_the_standby_with_a_higher_epoch(buses: Buses, until: Until) -> None:
    first, second = await candidate(buses), await candidate(buses)
    await first.ownership.release()
    assert first.ownership.epoch is None
    await until(lambda: second.gains, timeout_s=0.5)
    assert second.gains[0] > first.gains[0]
    assert first.losses == 0


async def test_farewell_without_release_is_enough(buses: Buses, until: Until) -> None:
    first = await candidate(buses)
    second = await candidate(buses)
    await asyncio.sleep(1.0)
    await first.bus.close()
    await until(lambda: second.gains, timeout_s=1)


async def test_who_sits_where_the_owner_sat_need_not_wait_for_its_silence(buses: Buses, until: Until) -> None:
    first, elsewhere = await candidate(buses, "server/scheduler"), await candidate(buses, "other/scheduler")
    successor = await candidate(buses, "server/scheduler")
    await until(lambda: successor.gains, timeout_s=1.5)
    assert successor.gains > first.gains
    assert elsewhere.gains == []


@pytest.mark.slow
async def test_standby_takes_over_within_two_seconds_of_a_kill(buses: Buses, until: Until, program: Program) -> None:
    process = program("scheduler", "own")
    watching = await buses.connect("gateway")
    view = await buses.view(watching, "ownership")
    await until(lambda: view.get("models"))
    killed_epoch = decode_holder(view.get("models") or b"").epoch
    standby = await candidate(buses)
    await until(lambda: standby.bus.peers)
    await asyncio.sleep(1.1)
    assert standby.gains == []
    process.kill()
    began = time.monotonic()
    await until(lambda: standby.gains)
    assert time.monotonic() - began < 2
    assert standby.gains[0] > killed_epoch


@pytest.mark.slow
async def test_paused_owner_learns_of_its_loss(buses: Buses, until: Until, program: Program) -> None:
    process = program("scheduler", "own")
    await until(lambda: program.said(process, "gained"))
    standby = await candidate(buses)
    await until(lambda: standby.bus.peers)
    await asyncio.sleep(1.1)
    process.send_signal(signal.SIGSTOP)
    await until(lambda: standby.gains)
    process.send_signal(signal.SIGCONT)
    await until(lambda: program.said(process, "lost"))
    await asyncio.sleep(0.3)
    assert standby.losses == 0
    assert standby.ownership.epoch == standby.gains[-1]


async def test_owner_stays_owner_over_a_restart_with_the_store(broker: Broker, buses: Buses, until: Until) -> None:
    owner, standby = await candidate(buses), await candidate(buses)
    broker.kill()
    await asyncio.sleep(0.3)
    broker.start()
    await until(lambda: owner.bus.is_connected and standby.bus.is_connected)
    await asyncio.sleep(1.5)
    assert (len(owner.gains), owner.losses) == (1, 0)
    assert standby.gains == []


async def test_owner_claims_again_with_a_higher_epoch_after_the_loss_of_the_store(
    broker: Broker, buses: Buses, until: Until
) -> None:
    owner, standby = await candidate(buses), await candidate(buses)
    broker.kill()
    await until(lambda: not owner.bus.is_connected)
    broker.start(empty=True)
    await until(lambda: len(owner.gains) == 2, timeout_s=3)
    assert owner.gains[1] > owner.gains[0]
    await asyncio.sleep(1.2)
    assert (owner.losses, standby.gains) == (0, [])
    assert owner.ownership.epoch == owner.gains[1]


async def test_restart_after_the_owner_died_with_the_broker_finds_a_new_one(
    broker: Broker, buses: Buses, until: Until, program: Program
) -> None:
    process = program("scheduler", "own")
    await until(lambda: program.said(process, "gained"))
    standby = await candidate(buses)
    await until(lambda: standby.bus.peers)
    broker.kill()
    process.kill()
    await until(lambda: not standby.bus.is_connected)
    broker.start(empty=True)
    await until(lambda: standby.gains, timeout_s=4)
