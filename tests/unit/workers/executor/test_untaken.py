from __future__ import annotations

from typing import cast

from shoal.core.encoding import SCHEMA, decode
from shoal.core.messages import InferResponse
from shoal.workers.executor.answers import Answer, Place
from shoal.workers.executor.untaken import PROBE_S, Untaken


def answer(name: str, generation: int | None = None) -> Answer:
    return Answer(name.encode(), (), generation)


def untaken(*names: str) -> Untaken:
    made = Untaken()
    for number, name in enumerate(names):
        made.add(Place(number, False, False), 10, answer(name, generation=number), 1.0)
    return made


def test_what_was_taken_is_forgotten_and_its_size_told() -> None:
    kept = untaken("a", "b", "c")
    assert kept.taken(1, 2.0) == (2, 20)
    assert kept.taken(1, 2.0) == (0, 0)
    assert list(kept) == [answer("c", 2)]


def test_it_is_complete_while_the_final_one_is_there() -> None:
    kept = untaken("a")
    assert not kept.is_complete
    kept.add(Place(1, True, True), 0, answer("b"), 1.0)
    assert kept.is_complete
    kept.taken(1, 2.0)
    assert not kept.is_complete


def test_the_newest_is_sent_again_when_nothing_has_moved_for_long() -> None:
    kept = untaken("a", "b")
    assert kept.probe(1.0 + PROBE_S - 0.1) is None
    assert kept.probe(1.0 + PROBE_S) == answer("b", 1)
    assert kept.probe(1.0 + PROBE_S + 0.1) is None
    kept.taken(0, 1.0 + 2 * PROBE_S)
    assert kept.probe(1.0 + 2 * PROBE_S + 0.1) is None
    kept.taken(1, 20.0)
    assert kept.probe(99.0) is None


def test_a_response_whose_block_is_gone_is_an_end_when_it_is_sent_again() -> None:
    kept = untaken("a", "b")
    kept.released(7, [1])
    first, second = kept
    assert first == answer("a", 0)
    message = cast(InferResponse, decode(SCHEMA[InferResponse][0], second.header))
    assert (message.counter, message.response_index, message.final) == (7, 1, True)
    assert message.error is not None
    assert "a response was lost on the way and is no longer kept" in message.error[1]
    assert not kept.is_complete
