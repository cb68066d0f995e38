from __future__ import annotations

import pytest

from shoal.bus.claim import Action, Holder, Situation, decide, decode_holder, encode_holder, next_epoch

ME, OTHER = "scheduler-me", "scheduler-other"
SEAT = "server-1/scheduler"


def situation(
    held_epoch: int | None = None,
    holder: Holder | None = None,
    in_store: bool = True,
    is_holder_alive: bool = False,
    connected_s: float | None = 5.0,
) -> Situation:
    return Situation(ME, SEAT, held_epoch, holder, in_store, is_holder_alive, connected_s)


@pytest.mark.parametrize(
    ("expected", "facts"),
    [
        pytest.param("claim", situation(in_store=False, connected_s=0.0), id="never owned"),
        pytest.param("claim", situation(holder=Holder("", 7), connected_s=0.0), id="released"),
        pytest.param("claim", situation(holder=Holder(ME, 7), connected_s=0.0), id="claim whose answer was lost"),
        pytest.param("wait", situation(holder=Holder(OTHER, 7), is_holder_alive=True), id="owner alive"),
        pytest.param("claim", situation(holder=Holder(OTHER, 7)), id="owner gone"),
        pytest.param("wait", situation(holder=Holder(OTHER, 7), connected_s=0.9), id="not listened long enough"),
        pytest.param(
            "claim", situation(holder=Holder(OTHER, 7, SEAT), is_holder_alive=True, connected_s=0.5), id="sat here"
        ),
        pytest.param("wait", situation(holder=Holder(OTHER, 7, SEAT), connected_s=0.4), id="sat here, others unheard"),
        pytest.param("wait", situation(holder=Holder(OTHER, 7, "other"), connected_s=0.9), id="sat elsewhere"),
        pytest.param("wait", situation(connected_s=None, in_store=False), id="no link"),
        pytest.param("wait", situation(holder=Holder(OTHER, 7), in_store=False, is_holder_alive=True), id="lost store"),
        pytest.param("keep", situation(held_epoch=7, holder=Holder(ME, 7)), id="still ours"),
        pytest.param("lose", situation(held_epoch=7, holder=Holder(OTHER, 8)), id="taken over"),
        pytest.param("lose", situation(held_epoch=7, holder=Holder(ME, 8)), id="other epoch"),
        pytest.param("claim", situation(held_epoch=7, holder=Holder(ME, 7), in_store=False), id="ours, store lost"),
        pytest.param("wait", situation(held_epoch=7, holder=Holder(OTHER, 8), connected_s=None), id="owner, no link"),
    ],
)
def test_decision(expected: Action, facts: Situation) -> None:
    assert decide(facts) == expected


def test_epoch_grows_with_and_without_a_store() -> None:
    assert next_epoch(0, 1_700_000_000_000) == 1_700_000_000_000
    assert next_epoch(1_700_000_000_000, 1_600_000_000_000) == 1_700_000_000_001


def test_entry_encoding_is_pinned() -> None:
    entry = encode_holder(Holder("s-1", 5, "here"))
    assert entry == b"\x93\xa3s-1\x05\xa4here"
    assert decode_holder(entry) == Holder("s-1", 5, "here")
