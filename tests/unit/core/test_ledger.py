from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from shoal.core.ledger import CounterLedger
from shoal.core.messages import ModelCounters

NOTHING = ModelCounters("m", 1, "g", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (), {})


def executed(count: int, model: str = "m", generation: str = "g") -> ModelCounters:
    """Counters of an executor after so many executions of batch size 2."""
    return NOTHING._replace(
        model=model,
        generation=generation,
        inference_count=2 * count,
        execution_count=count,
        last_inference_ms=100 * count,
        batch_stats=((2, count, 10 * count, 20 * count, 30 * count),),
    )


def answered(success: int, fail: int = 0) -> ModelCounters:
    """Counters of a gateway after so many answers."""
    reasons = {"REJECTED": fail} if fail else {}
    return NOTHING._replace(success=success, success_ns=1000 * success, fail=fail, fail_ns=7 * fail, reasons=reasons)


def test_the_total_is_the_sum_over_all_incarnations() -> None:
    ledger = CounterLedger()
    ledger.observe("executor-1", [executed(3)])
    ledger.observe("executor-2", [executed(1)._replace(batch_stats=((1, 1, 1, 1, 1),))])
    ledger.observe("gateway-1", [answered(5, fail=1)])
    ledger.observe("gateway-2", [answered(2, fail=2)._replace(reasons={"REJECTED": 1, "CANCELED": 1})])
    total = ledger.total("m", 1, "g")
    assert (total.success, total.success_ns, total.fail, total.fail_ns) == (7, 7000, 3, 21)
    assert (total.inference_count, total.execution_count, total.last_inference_ms) == (8, 4, 300)
    assert total.batch_stats == ((1, 1, 1, 1, 1), (2, 3, 30, 60, 90))
    assert total.reasons == {"REJECTED": 2, "CANCELED": 1}


def test_what_nobody_counted_is_zero() -> None:
    assert CounterLedger().total("m", 1, "g") == NOTHING


def test_newer_counters_replace_older_ones_whatever_the_order() -> None:
    ledger = CounterLedger()
    for count in (2, 5, 3, 5):
        ledger.observe("e", [executed(count)])
    assert ledger.total("m", 1, "g") == executed(5)


def test_generations_and_models_are_counted_apart() -> None:
    ledger = CounterLedger()
    ledger.observe("e", [executed(1), executed(2, generation="h"), executed(3, model="n")])
    assert ledger.total("m", 1, "g").execution_count == 1
    assert ledger.total("m", 1, "h").execution_count == 2
    assert ledger.total("n", 1, "g").execution_count == 3
    assert set(ledger.generations()) == {("m", 1, "g"), ("m", 1, "h"), ("n", 1, "g")}


def test_a_generation_that_is_not_mentioned_keeps_its_counters() -> None:
    ledger = CounterLedger()
    ledger.observe("e", [executed(1), executed(3, model="n")])
    ledger.observe("e", [executed(2)])
    assert ledger.total("n", 1, "g").execution_count == 3


def test_counters_of_those_that_are_silent_stay_in_the_total_and_are_told_to_others() -> None:
    ledger = CounterLedger()
    ledger.observe("e1", [executed(1), executed(4, model="n")])
    ledger.observe("e2", [executed(2)])
    assert ledger.without({"e2"}) == {"e1": (executed(1), executed(4, model="n"))}
    assert ledger.total("m", 1, "g").execution_count == 3


def test_whoever_counted_nothing_leaves_nothing() -> None:
    ledger = CounterLedger()
    ledger.observe("e", [])
    assert ledger.without(()) == {}


def test_what_others_know_of_a_silent_one_is_merged_with_what_we_know() -> None:
    ledger = CounterLedger()
    ledger.observe("e", [executed(1)])
    ledger.merge({"e": (executed(2),), "other": (executed(5),)})
    assert ledger.without({"other"}) == {"e": (executed(2),)}
    assert ledger.total("m", 1, "g").execution_count == 7


def test_only_what_is_live_is_retained() -> None:
    ledger = CounterLedger()
    ledger.observe("e", [executed(1), executed(2, generation="h")])
    ledger.observe("f", [executed(2, generation="h")])
    ledger.retain({("m", 1, "g")})
    assert ledger.total("m", 1, "h").execution_count == 0
    assert ledger.without(()) == {"e": (executed(1),)}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=20), st.randoms())
def test_order_and_repetition_do_not_matter(heard: list[tuple[str, int]], random: Random) -> None:
    once, shuffled = CounterLedger(), CounterLedger()
    for who, count in heard:
        once.observe(who, [executed(count)])
    again = heard + heard
    random.shuffle(again)
    for who, count in again:
        shuffled.merge({who: [executed(count)]})
    assert once.total("m", 1, "g") == shuffled.total("m", 1, "g")
