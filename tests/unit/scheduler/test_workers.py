from __future__ import annotations

from shoal.bus import Peer, PeerEvent
from shoal.core.messages import NOTHING_CONFIRMED, READY, V3, EndedExecutor, Heartbeat, InstanceStatus
from shoal.scheduler.events import ExecutorGone, HostChanged, InstanceReady, LinkChanged
from shoal.scheduler.inventory import Inventory
from shoal.scheduler.workers import host_events, worker_events

ROW = InstanceStatus("m", 1, "g", "m_0_0", "e", 0, READY, "")
READY_EVENT = InstanceReady("m", 1, "g", "e", 0, "m_0_0")


def beat(who: str, role: str, links: int = 0, instances: tuple[InstanceStatus, ...] = ()) -> Heartbeat:
    return Heartbeat(V3, who, role, "host", 1, links, False, {}, (), instances, (), (), NOTHING_CONFIRMED)


def peer(heartbeat: Heartbeat, suspected: bool = False) -> Peer:
    return Peer(heartbeat.incarnation, heartbeat.role, heartbeat, suspected)


AGENT = peer(beat("a", "agent", instances=(ROW,)))


def test_an_agents_heartbeats_are_observed() -> None:
    assert worker_events(Inventory(), PeerEvent("appeared", AGENT, None), ()) == [READY_EVENT]


def test_an_agent_that_is_suspected_or_leaves_loses_the_executors_that_are_not_heard() -> None:
    inventory = Inventory()
    worker_events(inventory, PeerEvent("appeared", AGENT, None), ())
    assert worker_events(inventory, PeerEvent("suspected", AGENT, None), {"e"}) == []
    lost = [ExecutorGone("e", "worker a has left", None)]
    assert worker_events(inventory, PeerEvent("left", AGENT, None), ()) == lost


def test_executors_tell_of_trouble_on_their_links() -> None:
    before, after = beat("e", "executor", links=1), beat("e", "executor", links=2)
    assert worker_events(Inventory(), PeerEvent("beat", peer(after), before), ()) == [LinkChanged("e")]
    assert worker_events(Inventory(), PeerEvent("beat", peer(before), before), ()) == []
    assert worker_events(Inventory(), PeerEvent("appeared", peer(after), None), ()) == []


def test_a_suspected_executor_is_not_given_up_while_its_agent_is_heard() -> None:
    inventory = Inventory()
    worker_events(inventory, PeerEvent("appeared", AGENT, None), ())
    executor = peer(beat("e", "executor"), suspected=True)
    assert worker_events(inventory, PeerEvent("suspected", executor, None), ()) == []
    assert worker_events(inventory, PeerEvent("left", executor, None), ()) == []


def test_an_executor_that_says_farewell_is_gone() -> None:
    inventory = Inventory()
    worker_events(inventory, PeerEvent("appeared", AGENT, None), ())
    leaving = beat("e", "executor")._replace(leaving=True)
    gone = ExecutorGone("e", "executor e ended: it left", ())
    assert worker_events(inventory, PeerEvent("left", peer(leaving), None), ()) == [gone]


def test_an_agent_tells_which_executors_have_ended() -> None:
    inventory = Inventory()
    worker_events(inventory, PeerEvent("appeared", AGENT, None), ())
    news = beat("a", "agent")._replace(ended=(EndedExecutor("e", "signal 9", ((1, 2),)),))
    gone = ExecutorGone("e", "executor e ended: signal 9", ((1, 2),))
    assert worker_events(inventory, PeerEvent("beat", peer(news), None), ()) == [gone]


def test_a_host_that_was_cut_off_for_long_serves_again() -> None:
    inventory = Inventory()
    worker_events(inventory, PeerEvent("appeared", AGENT, None), ())
    executor = peer(beat("e", "executor"), suspected=True)
    worker_events(inventory, PeerEvent("suspected", executor, None), ())
    worker_events(inventory, PeerEvent("suspected", AGENT, None), ())
    worker_events(inventory, PeerEvent("left", AGENT, None), ())
    assert worker_events(inventory, PeerEvent("left", executor, None), ()) == [
        ExecutorGone("e", "executor e: its host was lost", None)
    ]
    assert worker_events(inventory, PeerEvent("appeared", AGENT, None), ()) == [READY_EVENT]


def test_executors_tell_where_they_are_when_that_is_news() -> None:
    here = beat("e", "executor")
    there = here._replace(host="elsewhere")
    assert host_events(PeerEvent("appeared", peer(here), None)) == [HostChanged("e", "host")]
    assert host_events(PeerEvent("beat", peer(here), here)) == []
    assert host_events(PeerEvent("beat", peer(there), here)) == [HostChanged("e", "elsewhere")]
    assert host_events(PeerEvent("left", peer(here), here)) == [HostChanged("e", None)]
    assert host_events(PeerEvent("appeared", AGENT, None)) == []


def test_other_roles_are_no_workers() -> None:
    assert worker_events(Inventory(), PeerEvent("left", peer(beat("g", "gateway")), None), ()) == []
