from __future__ import annotations

from shoal.bus.heartbeat import LEFT_AFTER_S, TICK_INTERVAL_S, TICK_LIMIT_S, PeerEvent, PeerTable
from shoal.core.messages import NOTHING_CONFIRMED, V3, Heartbeat

OWN = "gateway-own"


def heartbeat(who: str, links: int = 0, leaving: bool = False) -> Heartbeat:
    return Heartbeat(V3, who, who.partition("-")[0], "host", 1, links, leaving, {}, (), (), (), (), NOTHING_CONFIRMED)


class Clock:
    """Ticks a table as its shell does."""

    def __init__(self) -> None:
        self.now = 0.0
        self.table = PeerTable(OWN, self.now)

    def run(self, seconds: float, can_hear: bool = True) -> list[tuple[str, str]]:
        events: list[PeerEvent] = []
        for _ in range(round(seconds / TICK_INTERVAL_S)):
            self.now += TICK_INTERVAL_S
            events += self.table.tick(self.now, can_hear)
        return [(event.kind, event.peer.incarnation) for event in events]


def test_first_heartbeat_appears_and_later_ones_beat() -> None:
    table = PeerTable(OWN, 0.0)
    first, second = heartbeat("agent-1"), heartbeat("agent-1", links=1)
    (appeared,) = table.heard(first)
    (beat,) = table.heard(second)
    assert (appeared.kind, appeared.peer.role, appeared.previous) == ("appeared", "agent", None)
    assert (beat.kind, beat.peer.heartbeat, beat.previous) == ("beat", second, first)
    assert table.peers["agent-1"].heartbeat == second


def test_own_heartbeat_makes_no_peer() -> None:
    table = PeerTable(OWN, 0.0)
    assert table.heard(heartbeat(OWN)) == []
    assert not table.peers


def test_silence_of_a_second_is_suspected_once_and_a_beat_recovers() -> None:
    clock = Clock()
    clock.table.heard(heartbeat("agent-1"))
    assert clock.run(0.875) == []
    assert clock.run(1.0) == [("suspected", "agent-1")]
    assert clock.table.peers["agent-1"].suspected
    (event,) = clock.table.heard(heartbeat("agent-1"))
    assert event.kind == "recovered"
    assert not clock.table.peers["agent-1"].suspected


def test_ten_seconds_of_silence_leave_and_a_later_beat_appears_anew() -> None:
    clock = Clock()
    clock.table.heard(heartbeat("agent-1"))
    assert clock.run(LEFT_AFTER_S) == [("suspected", "agent-1"), ("left", "agent-1")]
    assert not clock.table.peers
    assert [event.kind for event in clock.table.heard(heartbeat("agent-1"))] == ["appeared"]


def test_farewell_leaves_at_once() -> None:
    table = PeerTable(OWN, 0.0)
    table.heard(heartbeat("agent-1"))
    assert [event.kind for event in table.heard(heartbeat("agent-1", leaving=True))] == ["left"]
    assert not table.peers
    assert table.heard(heartbeat("agent-2", leaving=True)) == []


def test_time_in_which_nothing_could_be_heard_does_not_count() -> None:
    clock = Clock()
    clock.table.heard(heartbeat("agent-1"))
    clock.run(0.5)
    assert clock.run(60.0, can_hear=False) == []
    assert clock.run(0.375) == []
    assert clock.run(0.125) == [("suspected", "agent-1")]


def test_blocked_event_loop_makes_nobody_suspected() -> None:
    clock = Clock()
    for number in range(5):
        clock.table.heard(heartbeat(f"agent-{number}"))
    clock.run(0.5)
    clock.now += 30.0
    assert clock.table.tick(clock.now, can_hear=True) == []
    assert TICK_LIMIT_S < 0.5


def test_mended_link_starts_the_count_anew_but_keeps_suspicions() -> None:
    clock = Clock()
    clock.table.heard(heartbeat("agent-1"))
    clock.run(1.0)
    clock.table.heard(heartbeat("agent-2"))
    clock.run(0.875)
    clock.table.forgive_silence()
    assert clock.run(0.875) == []
    assert [peer.suspected for peer in clock.table.peers.values()] == [True, False]
    assert clock.run(0.125) == [("suspected", "agent-2")]
