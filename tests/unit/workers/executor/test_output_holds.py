from __future__ import annotations

from shoal.workers.executor.output_holds import Due, Hold, OutputHolds

PRESENT = ("g1", "g2")


def holds() -> OutputHolds:
    """Blocks 1 and 2 of `g1` since 0 s and 4 s, block 3 of `g2` since 4 s."""
    made = OutputHolds(ask_after_s=10.0, ask_every_s=5.0)
    made.hold("g1", 1, ("g1", 71), 0.0)
    made.hold("g1", 2, ("g1", 72), 4.0)
    made.hold("g2", 3, ("g2", 71), 4.0)
    return made


def test_a_release_ends_what_it_names_and_the_holder_holds() -> None:
    made = holds()
    assert made.release("g1", (2, 3, 99)) == [Hold(2, ("g1", 72), 4.0)]
    assert made.release("g1", (2,)) == []
    assert made.release("nobody", (1,)) == []
    assert made


def test_nothing_is_held_after_the_last_release() -> None:
    made = holds()
    made.release("g1", (1, 2))
    made.release("g2", (3,))
    assert not made


def test_a_holder_that_leaves_ends_all_of_its_holds_and_no_others() -> None:
    made = holds()
    assert made.leave("g1") == [Hold(1, ("g1", 71), 0.0), Hold(2, ("g1", 72), 4.0)]
    assert made.leave("g1") == []
    assert made.release("g2", (3,))


def test_a_holder_is_asked_after_ten_seconds_for_what_it_has_held_that_long() -> None:
    made = holds()
    assert made.due(9.9, PRESENT) == Due({}, [])
    assert made.due(10.0, PRESENT) == Due({"g1": (1,)}, [])


def test_a_holder_is_asked_again_every_five_seconds() -> None:
    made = holds()
    made.due(10.0, PRESENT)
    assert made.due(14.9, PRESENT).questions == {"g2": (3,)}
    assert made.due(15.0, PRESENT).questions == {"g1": (1, 2)}


def test_nothing_is_asked_after_that_was_released() -> None:
    made = holds()
    made.release("g1", (1,))
    assert made.due(10.0, PRESENT) == Due({}, [])


def test_after_trouble_with_a_link_its_reconciliation_comes_first() -> None:
    made = holds()
    made.postpone(12.0, "g1")
    assert made.due(21.9, PRESENT).questions == {"g2": (3,)}
    assert made.due(22.0, PRESENT).questions == {"g1": (1, 2)}


def test_a_link_that_is_mended_again_and_again_does_not_put_the_question_off_for_ever() -> None:
    """Otherwise what was lost in each of its troubles would fill the arena."""
    made = holds()
    asked = []
    for second in range(10, 41):
        made.postpone(second, "g1")
        asked += [(second, made.due(second, ("g1",)).questions)] if second >= 30 else []
    assert [(second, questions) for second, questions in asked if questions] == [
        (30, {"g1": (1, 2)}),
        (35, {"g1": (1, 2)}),
        (40, {"g1": (1, 2)}),
    ]


def test_after_trouble_with_our_own_link_nobody_is_asked_at_once() -> None:
    made = holds()
    made.postpone(12.0)
    assert made.due(21.9, PRESENT) == Due({}, [])
    assert made.due(22.0, PRESENT).questions == {"g1": (1, 2), "g2": (3,)}


def test_a_holder_that_was_never_heard_has_left_when_it_would_be_asked() -> None:
    made = holds()
    assert made.due(9.9, ()) == Due({}, [])
    assert made.due(10.0, ("g2",)) == Due({}, [Hold(1, ("g1", 71), 0.0), Hold(2, ("g1", 72), 4.0)])
    assert made.due(20.0, ("g2",)).questions == {"g2": (3,)}
