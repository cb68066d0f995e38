"""Every decision of the supervisor, with a manual clock and exact lists of actions."""

from __future__ import annotations

import pytest

from shoal.runtime.supervision import (
    Action,
    Exited,
    Fail,
    Finish,
    Kill,
    Restarting,
    Service,
    Start,
    StartUpDone,
    StopRequested,
    Supervision,
    Terminate,
    Tick,
    WakeAt,
)

GATEWAY = Service("gateway", 0)
AGENT = Service("agent", 1)
BROKER = Service("broker", 2)


def running(*services: Service, exit_timeout_s: float = 30.0) -> Supervision:
    """A supervision whose services are all up since time 0."""
    supervision = Supervision(services, exit_timeout_s)
    supervision.begin(0.0)
    supervision.handle(StartUpDone(), 1.0)
    return supervision


def restart(name: str, code: int, delay_s: float, now: float) -> list[Action]:
    return [Restarting(name, code, delay_s), WakeAt(now + delay_s)]


def test_begin_starts_every_service_in_order() -> None:
    assert Supervision([BROKER, AGENT, GATEWAY], 30.0).begin(0.0) == [
        Start("broker"),
        Start("agent"),
        Start("gateway"),
    ]


def test_a_service_that_ended_is_restarted_after_the_first_delay() -> None:
    supervision = running(AGENT)
    assert supervision.handle(Exited("agent", -9), 2.0) == restart("agent", -9, 0.1, 2.0)
    assert supervision.handle(Tick(), 2.05) == []
    assert supervision.handle(Tick(), 2.1) == [Start("agent")]


def test_the_delay_doubles_up_to_its_limit() -> None:
    supervision = running(AGENT)
    now, delays = 2.0, []
    for _ in range(8):
        told, wake = supervision.handle(Exited("agent", 1), now)
        assert isinstance(told, Restarting)
        assert isinstance(wake, WakeAt)
        delays.append(told.delay_s)
        now = wake.time
        assert supervision.handle(Tick(), now) == [Start("agent")]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_ten_seconds_of_life_reset_the_delay() -> None:
    supervision = running(AGENT)
    supervision.handle(Exited("agent", 1), 2.0)
    supervision.handle(Tick(), 2.1)
    supervision.handle(Exited("agent", 1), 2.2)
    supervision.handle(Tick(), 2.4)
    assert supervision.handle(Exited("agent", 1), 12.4) == restart("agent", 1, 0.1, 12.4)


def test_an_end_with_code_0_is_answered_by_a_restart_too() -> None:
    assert running(AGENT).handle(Exited("agent", 0), 2.0) == restart("agent", 0, 0.1, 2.0)


@pytest.mark.parametrize("code", [2, 3])
def test_trouble_that_a_restart_does_not_mend_stops_the_start(code: int) -> None:
    supervision = Supervision([AGENT, GATEWAY], 30.0)
    supervision.begin(0.0)
    assert supervision.handle(Exited("gateway", code), 1.0) == [
        Fail(f"gateway cannot start (exit code {code})"),
        WakeAt(31.0),
        Terminate("agent"),
    ]
    assert supervision.is_stopping
    assert supervision.handle(Exited("agent", 0), 1.5) == [Finish(1)]


def test_the_same_trouble_after_the_start_is_answered_by_a_restart() -> None:
    assert running(GATEWAY).handle(Exited("gateway", 3), 20.0) == restart("gateway", 3, 0.1, 20.0)


def test_a_service_that_keeps_ending_while_it_starts_stops_the_start() -> None:
    supervision = Supervision([AGENT], 30.0)
    supervision.begin(0.0)
    for _ in range(4):
        supervision.handle(Exited("agent", 1), 0.0)
        supervision.handle(Tick(), 9.0)
    assert supervision.handle(Exited("agent", 1), 9.0) == [
        Fail("agent ended 5 times while starting, the last time with exit code 1"),
        WakeAt(39.0),
        Finish(1),
    ]


def test_stages_are_drained_one_after_another() -> None:
    supervision = running(BROKER, AGENT, GATEWAY, Service("other gateway", 0))
    assert supervision.handle(StopRequested(), 5.0) == [WakeAt(35.0), Terminate("gateway"), Terminate("other gateway")]
    assert supervision.handle(Exited("gateway", 0), 6.0) == []
    assert supervision.handle(Exited("other gateway", 0), 7.0) == [Terminate("agent")]
    assert supervision.handle(Exited("agent", 0), 8.0) == [Terminate("broker")]
    assert supervision.handle(Exited("broker", 1), 9.0) == [Finish(0)]


def test_a_service_that_the_drain_still_needs_is_restarted() -> None:
    supervision = running(BROKER, GATEWAY)
    supervision.handle(StopRequested(), 5.0)
    assert supervision.handle(Exited("broker", -9), 5.5) == restart("broker", -9, 0.1, 5.5)
    assert supervision.handle(Tick(), 5.6) == [Start("broker")]


def test_a_service_that_waits_for_its_restart_is_not_started_for_the_drain() -> None:
    supervision = running(AGENT, GATEWAY)
    supervision.handle(Exited("gateway", 1), 4.9)
    assert supervision.handle(StopRequested(), 5.0) == [WakeAt(35.0), Terminate("agent")]
    assert supervision.handle(Tick(), 5.1) == []
    assert supervision.handle(Exited("agent", 0), 6.0) == [Finish(0)]


def test_the_deadline_of_the_drain_kills_what_is_left() -> None:
    supervision = running(BROKER, AGENT, GATEWAY, exit_timeout_s=3.0)
    supervision.handle(StopRequested(), 5.0)
    supervision.handle(Exited("gateway", 0), 6.0)
    assert supervision.handle(Tick(), 8.0) == [
        Fail("Exit timeout expired. Exiting immediately."),
        Kill("broker"),
        Kill("agent"),
    ]
    assert supervision.handle(Exited("agent", -9), 8.1) == []
    assert supervision.handle(Exited("broker", -9), 8.1) == [Finish(1)]


def test_the_second_request_kills_at_once() -> None:
    supervision = running(AGENT, GATEWAY)
    supervision.handle(StopRequested(), 5.0)
    assert supervision.handle(StopRequested(), 5.1) == [
        Fail("second signal: killing what is left"),
        Kill("agent"),
        Kill("gateway"),
    ]
    assert supervision.handle(StopRequested(), 5.2) == []


def test_stopping_without_anything_running_finishes_at_once() -> None:
    supervision = running(AGENT)
    supervision.handle(Exited("agent", 1), 4.9)
    assert supervision.handle(StopRequested(exit_code=1), 5.0) == [WakeAt(35.0), Finish(1)]
