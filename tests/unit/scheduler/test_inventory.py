from __future__ import annotations

from shoal.core.messages import LOADING, READY, UNAVAILABLE, UNLOADING, EndedExecutor, InstanceStatus
from shoal.scheduler.events import (
    Event,
    ExecutorGone,
    InstanceDraining,
    InstanceReady,
    OutlookChanged,
)
from shoal.scheduler.inventory import Inventory


def row(state: str, executor: str = "e", slot: int = 0, reason: str = "", **fields: str) -> InstanceStatus:
    name = fields.get("name", f"m_0_{slot}")
    return InstanceStatus("m", 1, fields.get("generation", "g"), name, executor, slot, state, reason)


def ready(executor: str = "e", slot: int = 0) -> InstanceReady:
    return InstanceReady("m", 1, "g", executor, slot, f"m_0_{slot}")


def observed(*heartbeats: tuple[InstanceStatus, ...]) -> list[Event]:
    """The events of the last of these heartbeats of one agent."""
    inventory = Inventory()
    events: list[Event] = []
    for rows in heartbeats:
        events = inventory.observe("a", rows)
    return events


def test_an_instance_is_told_once_when_it_is_ready() -> None:
    assert observed((row(LOADING, executor=""),)) == []
    assert observed((row(LOADING),), (row(READY),)) == [ready()]
    assert observed((row(READY),), (row(READY),)) == []
    assert observed((row(READY),), (row(READY), row(LOADING, slot=1))) == []


def test_unloading_is_draining_told_once() -> None:
    assert observed((row(READY),), (row(UNLOADING),)) == [InstanceDraining("e", 0)]
    assert observed((row(READY),), (row(UNLOADING),), (row(UNLOADING), row(LOADING, "", 1))) == []


def test_an_instance_that_was_unloading_when_first_heard_of_is_nothing_to_us() -> None:
    assert observed((row(UNLOADING),)) == []


def test_an_executor_that_is_not_listed_any_more_is_gone() -> None:
    gone = ExecutorGone("e", "executor e ended", None)
    assert observed((row(READY),), (row(LOADING, executor=""),)) == [gone]
    assert observed((row(READY),), (row(READY, "e2"),)) == [gone, ready("e2")]


def test_a_failed_instance_is_gone_with_the_agents_reason_and_nothing_will_come() -> None:
    reason = "Internal: signal 9"
    assert observed((row(READY),), (row(UNAVAILABLE, "", reason=reason),)) == [
        OutlookChanged("m", 1, "g", reason),
        ExecutorGone("e", f"executor e ended: {reason}", None),
    ]


def test_an_instance_that_vanishes_from_a_living_executor_was_unloaded() -> None:
    assert observed((row(READY), row(READY, slot=1)), (row(READY),)) == [InstanceDraining("e", 1)]


def test_an_instance_that_vanishes_with_its_executor_is_gone() -> None:
    gone = ExecutorGone("e", "executor e ended", None)
    assert observed((row(READY),), ()) == [gone]
    assert observed((row(READY),), (row(UNLOADING),), ()) == [gone]
    assert observed((row(READY), row(READY, slot=1)), ()) == [gone]


def test_an_instance_that_is_loaded_anew_in_a_living_process_is_only_draining() -> None:
    assert observed((row(READY),), (row(LOADING),)) == [InstanceDraining("e", 0)]


def test_the_outlook_is_hopeless_only_when_all_instances_of_all_agents_are_unavailable() -> None:
    inventory = Inventory()
    assert inventory.observe("a", (row(UNAVAILABLE, "", reason="x"), row(LOADING, "", 1))) == []
    assert inventory.observe("a", (row(UNAVAILABLE, "", reason="x"),)) == [OutlookChanged("m", 1, "g", "x")]
    assert inventory.observe("b", (row(LOADING, ""),)) == [OutlookChanged("m", 1, "g", None)]
    assert inventory.observe("b", ()) == [OutlookChanged("m", 1, "g", "x")]
    assert inventory.observe("a", ()) == [OutlookChanged("m", 1, "g", None)]


def test_generations_have_an_outlook_of_their_own() -> None:
    rows = (row(READY), row(UNAVAILABLE, "", 1, reason="x", generation="g2"))
    assert observed(rows) == [OutlookChanged("m", 1, "g2", "x"), ready()]


def test_a_silent_agent_takes_the_instances_of_silent_executors_with_it() -> None:
    inventory = Inventory()
    inventory.observe("a", (row(READY, "e1"), row(READY, "e2")))
    assert inventory.agent_silent("a", {"e2"}, "worker a is silent") == [ExecutorGone("e1", "worker a is silent", None)]
    assert inventory.executor_silent("e2") == [ExecutorGone("e2", "executor e2: its host was lost", None)]


def test_a_silent_executor_of_a_living_agent_is_only_busy() -> None:
    inventory = Inventory()
    inventory.observe("a", (row(READY),))
    assert inventory.executor_silent("e") == []


def test_an_agent_that_is_heard_again_tells_its_instances_anew() -> None:
    inventory = Inventory()
    rows = (row(READY, "e1"), row(READY, "e2"))
    inventory.observe("a", rows)
    inventory.agent_silent("a", {"e2"}, "silent")
    assert inventory.observe("a", rows) == [ready("e1")]
    assert inventory.executor_silent("e2") == []


def test_an_executor_that_left_is_gone_although_its_agent_still_lists_it() -> None:
    inventory = Inventory()
    inventory.observe("a", (row(READY),))
    assert inventory.executor_left("e") == [ExecutorGone("e", "executor e ended: it left", ())]
    assert inventory.observe("a", (row(READY), row(LOADING, "", 1))) == []
    assert inventory.observe("a", (row(READY, "e2"),)) == [ready("e2")]


def test_an_executor_that_vanished_means_nothing_while_a_living_agent_lists_it() -> None:
    inventory = Inventory()
    inventory.observe("a", (row(READY),))
    assert inventory.executor_vanished("e") == []
    inventory.observe("a", (row(LOADING, ""),))
    assert inventory.executor_vanished("e") == [ExecutorGone("e", "executor e: its host was lost", None)]


SEGFAULT = EndedExecutor("e", "signal 11 (SIGSEGV)", ((1, 7),))
GONE = ExecutorGone("e", "executor e ended: signal 11 (SIGSEGV)", ((1, 7),))


def test_an_agent_tells_why_an_executor_ended_and_what_it_was_executing() -> None:
    inventory = Inventory()
    inventory.observe("a", (row(READY), row(READY, slot=1)))
    assert inventory.observe("a", (row(LOADING, ""), row(LOADING, "", 1)), (SEGFAULT,)) == [GONE]


def test_an_end_is_told_once_however_often_it_is_heard_of() -> None:
    inventory = Inventory()
    inventory.observe("a", (row(READY),))
    inventory.observe("a", (row(LOADING, ""),), (SEGFAULT,))
    assert inventory.observe("a", (row(LOADING, ""),), (SEGFAULT,)) == []
    assert inventory.observe("a", (row(READY, "e2"),), (SEGFAULT,)) == [ready("e2")]
    assert inventory.executor_left("e") == []


def test_an_end_is_told_of_executors_whose_instances_nobody_knows() -> None:
    assert Inventory().observe("a", (), (SEGFAULT,)) == [GONE]


def test_an_executor_that_has_ended_is_not_believed_to_be_there_when_it_is_still_listed() -> None:
    inventory = Inventory()
    assert inventory.observe("a", (row(READY),), (SEGFAULT,)) == [GONE]


def test_why_no_instance_will_come_is_told_before_the_end_of_the_last() -> None:
    inventory = Inventory()
    inventory.observe("a", (row(READY),))
    failed = (row(UNAVAILABLE, "", reason="Internal: x"),)
    assert inventory.observe("a", failed, (SEGFAULT,)) == [OutlookChanged("m", 1, "g", "Internal: x"), GONE]


def test_a_new_core_is_told_everything_that_is_so() -> None:
    inventory = Inventory()
    inventory.observe("a", (row(READY), row(READY, slot=1), row(UNAVAILABLE, "", 2, "x", generation="g2")))
    inventory.observe("a", (row(READY), row(UNLOADING, slot=1), row(UNAVAILABLE, "", 2, "x", generation="g2")))
    assert inventory.events() == [
        OutlookChanged("m", 1, "g2", "x"),
        ready(slot=0),
        ready(slot=1),
        InstanceDraining("e", 1),
    ]
