from __future__ import annotations

import pytest

from shoal.core.errors import InvalidArgument
from shoal.core.process_policy import ProcessPolicy, problems, process_policy


def test_a_model_that_says_nothing_has_no_limits() -> None:
    assert process_policy("m", {"other": "1"}) == ProcessPolicy(None, None, None)


def test_limits_are_read_from_the_parameters() -> None:
    parameters = {
        "shoal.execution_timeout": "2.5",
        "shoal.recycle_after_executions": "1000",
        "shoal.recycle_above_resident_bytes": "2000000000",
    }
    assert process_policy("m", parameters) == ProcessPolicy(2.5, 1000, 2_000_000_000)


@pytest.mark.parametrize("value", ["", "soon", "0", "0.0", "-1", "inf", "nan", "1e3", "2,5", " 2", "9" * 400])
def test_a_timeout_is_a_positive_number_of_seconds(value: str) -> None:
    expected = (
        f"parameter 'shoal.execution_timeout' of model 'm' is '{value}', expected a number of seconds greater than 0, "
        "such as 2.5"
    )
    assert list(problems("m", {"shoal.execution_timeout": value})) == [("shoal.execution_timeout", expected)]


@pytest.mark.parametrize("value", ["", "many", "0", "-1", "1.5", "1e6", "2GB", "9" * 19, "\u0663"])
@pytest.mark.parametrize("name", ["shoal.recycle_after_executions", "shoal.recycle_above_resident_bytes"])
def test_limits_of_recycling_are_positive_whole_numbers(name: str, value: str) -> None:
    ((found, text),) = problems("m", {name: value})
    assert found == name
    assert text.startswith(f"parameter '{name}' of model 'm' is '{value}', expected a whole number of ")


def test_an_unknown_parameter_of_ours_is_a_mistake() -> None:
    ((_, text),) = problems("m", {"shoal.excution_timeout": "1"})
    assert "expected one of the parameters shoal.execution_timeout, " in text


def test_an_unsound_policy_is_refused_with_all_that_is_wrong() -> None:
    with pytest.raises(InvalidArgument, match=r"execution_timeout.*; .*recycle_after_executions"):
        process_policy("m", {"shoal.execution_timeout": "x", "shoal.recycle_after_executions": "x"})
