from __future__ import annotations

from typing import cast

import pytest

from scheduler_stage import alone
from shoal.bus import Bus
from shoal.core.answer_counts import AnswerCounts
from shoal.core.errors import InvalidArgument
from shoal.core.messages import V1, V2, Batch, BatchItem, Closed, Message, Stale
from shoal.scheduler.actions import Fault, Tell
from shoal.scheduler.performer import Performer


class Wire:
    """A bus that keeps what is sent, and refuses `Stale` as too large."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []

    def send(self, to: str, message: Message, buffers: object = ()) -> None:
        if isinstance(message, Stale):
            raise InvalidArgument("too large")
        self.sent.append((to, message))


def performer(wire: Wire) -> Performer:
    return Performer(cast(Bus, wire), AnswerCounts(), lambda: None)


def test_a_message_that_cannot_be_sent_does_not_keep_others_from_being_sent() -> None:
    wire = Wire()
    performer(wire).perform([Tell("s", Stale(V1, (1,))), Tell("s", Closed(V1, (2,)))], epoch=1)
    assert wire.sent == [("s", Closed(V1, (2,)))]


def test_a_batch_tells_the_deaths_of_its_requests() -> None:
    wire = Wire()
    performer(wire).perform([alone(7, 1, deaths=1)], epoch=3)
    assert wire.sent == [("e", Batch(V2, 3, 7, 0, "retry alone", (BatchItem(1, 0, 0, 1),)))]


def test_a_fault_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    performer(Wire()).perform([Fault("ModelConfigured", ValueError("poison"))], epoch=1)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "poison" in str(record.exc_info[1])
