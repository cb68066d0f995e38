from __future__ import annotations

from shoal.core.messages import RunningBatch
from shoal.workers.executor.ledger import Arrival, BatchLedger

KEYS = (("gateway-1", 1), ("gateway-1", 2))
DEATHS = (0,) * len(KEYS)


def test_a_batch_is_new_then_held_then_done() -> None:
    ledger = BatchLedger()
    assert ledger.arrival(5, 1) is Arrival.NEW
    ledger.hold(RunningBatch(5, 1, 3, KEYS, DEATHS))
    assert ledger.arrival(5, 1) is Arrival.HELD
    assert ledger.held() == (RunningBatch(5, 1, 3, KEYS, DEATHS),)
    ledger.finish(5, 1)
    assert ledger.arrival(5, 1) is Arrival.DONE
    assert ledger.held() == ()
    assert ledger.done(5, 1) == RunningBatch(5, 1, 3, KEYS, DEATHS)


def test_a_batch_of_a_lower_epoch_is_outdated() -> None:
    ledger = BatchLedger()
    ledger.meet_owner(7, "scheduler-b")
    assert ledger.arrival(6, 1) is Arrival.OUTDATED


def test_the_same_id_in_another_epoch_is_another_batch() -> None:
    ledger = BatchLedger()
    ledger.hold(RunningBatch(5, 1, 0, KEYS, DEATHS))
    assert ledger.arrival(6, 1) is Arrival.NEW


def test_an_owner_is_met_once_per_epoch_and_never_an_older_one() -> None:
    ledger = BatchLedger()
    assert ledger.meet_owner(5, "scheduler-a")
    assert not ledger.meet_owner(5, "scheduler-a")
    assert not ledger.meet_owner(4, "scheduler-z")
    assert ledger.meet_owner(6, "scheduler-b")
    assert (ledger.epoch, ledger.owner) == (6, "scheduler-b")


def test_unknown_is_what_is_neither_held_nor_done() -> None:
    ledger = BatchLedger()
    ledger.hold(RunningBatch(5, 1, 0, KEYS, DEATHS))
    ledger.hold(RunningBatch(5, 2, 0, KEYS, DEATHS))
    ledger.finish(5, 2)
    assert ledger.unknown(5, (1, 2, 3)) == (3,)


def test_done_batches_are_remembered_up_to_a_limit() -> None:
    ledger = BatchLedger(done_limit=2)
    for batch_id in (1, 2, 3):
        ledger.hold(RunningBatch(5, batch_id, 0, KEYS, DEATHS))
        ledger.finish(5, batch_id)
    assert ledger.unknown(5, (1, 2, 3)) == (1,)
