from __future__ import annotations

import logging

import pytest

from shoal.core.messages import LOADING, READY, UNAVAILABLE, UNLOADING, InstanceStatus
from shoal.workers.agent.events import RecyclingBegan, RecyclingFailed
from shoal.workers.agent.instances import InstanceKey
from shoal.workers.agent.status_log import StatusLog


def status(state: str, reason: str = "") -> InstanceStatus:
    return InstanceStatus("m", 1, "g1", "m_0", "executor-1", 0, state, reason)


def events(*states: list[InstanceStatus], caplog: pytest.LogCaptureFixture) -> list[str]:
    log = StatusLog()
    with caplog.at_level(logging.INFO, logger="shoal.agent"):
        for statuses in states:
            log.note(statuses)
    return [record.getMessage() for record in caplog.records]


@pytest.fixture(autouse=True)
def propagating(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("shoal"), "propagate", True)


def test_each_change_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    life = [[status(state)] for state in (LOADING, READY, READY, UNLOADING)]
    assert events(*life, [], caplog=caplog) == ["instance ready", "instance unloaded"]


def test_trouble_is_told_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    assert events([status(UNAVAILABLE, "Internal: no")], caplog=caplog) == ["instance unavailable"]
    (record,) = caplog.records
    assert record.__dict__["fields"]["reason"] == "Internal: no"


def test_an_instance_that_comes_back_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    assert events([status(READY)], [status(LOADING)], [status(READY)], caplog=caplog) == ["instance ready"] * 2


def test_two_processes_of_one_name_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    old, fresh = status(READY), status(READY)._replace(executor="executor-2")
    life = [[old], [fresh, old._replace(state=UNLOADING)], [fresh]]
    assert events(*life, caplog=caplog) == ["instance ready", "instance ready", "instance unloaded"]


def test_a_failed_recycling_is_told_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    key = InstanceKey("m", 1, "g1", "m_0")
    with caplog.at_level(logging.INFO, logger="shoal.agent"):
        StatusLog().note_recycling(RecyclingBegan(key, "100 executions"))
        StatusLog().note_recycling(RecyclingFailed(key, "Internal: no", 10.0))
    began, failed = [record.__dict__["fields"] for record in caplog.records]
    assert (began["instance"], began["why"]) == ("m_0", "100 executions")
    assert (failed["reason"], failed["next_attempt_in_s"]) == ("Internal: no", 10.0)
