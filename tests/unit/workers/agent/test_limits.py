from __future__ import annotations

import pytest

from planner_scene import entry, planned
from shoal.workers.agent.instances import PlannedInstance
from shoal.workers.agent.limits import timed_out_text, timeouts_s, worn_text


def instance(**parameters: str) -> PlannedInstance:
    values = {f"shoal.{name}": {"string_value": value} for name, value in parameters.items()}
    return planned(entry(backend="alone", parameters=values))[0]


def bytes_taken() -> int:
    return 1001


def not_asked() -> int:
    pytest.fail("the size was asked for without need")


def test_timeouts_are_those_of_the_models_that_have_one() -> None:
    assert timeouts_s({0: instance(), 3: instance(execution_timeout="2.5")}) == {3: 2.5}


def test_a_timeout_names_model_instance_and_limit() -> None:
    expected = "execution of model 'm' (instance m_0) took longer than its shoal.execution_timeout of 2.5 s"
    assert timed_out_text(instance(execution_timeout="2.50")) == expected


def test_an_instance_is_worn_by_its_executions() -> None:
    limited = instance(recycle_after_executions="100")
    assert worn_text(limited, 99, not_asked) == ""
    assert worn_text(limited, 100, not_asked) == "100 executions, shoal.recycle_after_executions is 100"


def test_an_instance_is_worn_by_its_size() -> None:
    limited = instance(recycle_above_resident_bytes="1000")
    assert worn_text(limited, 1, bytes_taken) == "1001 bytes, shoal.recycle_above_resident_bytes is 1000"
    assert worn_text(limited, 1, lambda: 1000) == ""


def test_an_instance_that_has_not_executed_yet_is_not_worn() -> None:
    limited = instance(recycle_above_resident_bytes="1000", recycle_after_executions="1")
    assert worn_text(limited, 0, not_asked) == ""


def test_without_limits_nothing_wears_out() -> None:
    assert worn_text(instance(), 10**12, not_asked) == ""
