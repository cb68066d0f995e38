"""Which steps of an ensemble run, and who reads what. Rules: scheduling.md 5."""

from __future__ import annotations

from shoal.core.model_config import EnsembleStep
from shoal.scheduler.ensemble_plan import EnsemblePlan


def step(inputs: str, outputs: str) -> EnsembleStep:
    def mapping(names: str) -> dict[str, str]:
        return {f"T{number}": name for number, name in enumerate(names.split())}

    return EnsembleStep("m", -1, mapping(inputs), mapping(outputs))


FAN = (step("IN", "left"), step("IN", "right"), step("left right", "OUT"), step("right", "MORE"))


def plan(steps: tuple[EnsembleStep, ...], *outputs: str, decoupled: tuple[int, ...] = ()) -> EnsemblePlan:
    return EnsemblePlan(steps, outputs, [number in decoupled for number in range(len(steps))])


def test_only_steps_that_contribute_to_a_wanted_output_are_needed() -> None:
    assert plan(FAN, "OUT", "MORE").needed == (0, 1, 2, 3)
    assert plan(FAN, "OUT").needed == (0, 1, 2)
    assert plan(FAN, "MORE").needed == (1, 3)
    assert plan(FAN, "IN").needed == ()


def test_a_tensor_is_read_by_the_needed_steps_once_each() -> None:
    assert plan(FAN, "OUT", "MORE").readers("right", 0) == [2, 3]
    assert plan(FAN, "OUT").readers("right", 0) == [2]
    assert plan((step("IN IN", "OUT"),), "OUT").readers("IN", 0) == [0]


def test_without_decoupled_steps_there_is_one_iteration() -> None:
    found = plan(FAN, "OUT")
    assert (found.readers("left", 1), found.is_answered_with("OUT", 1)) == ((), False)
    assert found.is_answered_with("OUT", 0)


def test_everything_that_is_made_of_a_decoupled_steps_responses_alone_is_repeated() -> None:
    chain = (step("IN", "a"), step("a", "b"), step("b", "OUT"))
    found = plan(chain, "OUT", decoupled=(0,))
    assert (found.readers("a", 7), found.readers("b", 7), found.is_answered_with("OUT", 7)) == ([1], [2], True)


def test_a_step_that_reads_a_repeated_tensor_with_another_one_runs_once() -> None:
    chain = (step("IN", "a"), step("a IN", "b"), step("a", "OUT"))
    found = plan(chain, "OUT", "b", decoupled=(0,))
    assert (found.readers("a", 0), found.readers("a", 1)) == ([1, 2], [2])
    assert (found.is_answered_with("OUT", 0), found.is_answered_with("OUT", 1)) == (True, False)
