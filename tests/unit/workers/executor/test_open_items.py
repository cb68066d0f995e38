from __future__ import annotations

from typing import cast

import pytest

from requests_to_execute import infer_request, items_of, tensor
from shoal.core.errors import ShoalError, Unavailable
from shoal.workers.executor.instance import Instance
from shoal.workers.executor.item import Item
from shoal.workers.executor.open_items import OpenItems
from shoal.workers.executor.stream import Stream

INSTANCE, OTHER = cast(Instance, object()), cast(Instance, object())


class Ended:
    """A stream of which only the end matters."""

    def __init__(self) -> None:
        self.errors: list[ShoalError] = []
        self.is_dropped = False

    def end(self, error: ShoalError) -> None:
        self.errors.append(error)

    def drop(self) -> None:
        self.is_dropped = True


def item(counter: int = 1, stream: Ended | None = None) -> Item:
    (made,) = items_of(infer_request(tensor("A", [[1.0]]), counter=counter))
    made.stream = cast("Stream | None", stream)
    return made


def test_an_item_without_a_stream_is_open_until_its_execution_is_over() -> None:
    items, one = OpenItems(), item()
    items.take(INSTANCE, [one])
    assert one.key in items
    assert items.has_any(INSTANCE)
    assert not items.has_any(OTHER)
    items.executed([one])
    assert one.key not in items
    assert not items.has_any(INSTANCE)


@pytest.mark.parametrize("first", ["executed", "ended"])
def test_an_item_with_a_stream_is_open_until_both_are_over(first: str) -> None:
    items, one = OpenItems(), item(stream=Ended())
    items.take(INSTANCE, [one])
    if first == "executed":
        items.executed([one])
        assert items.streaming() == [one.key]
        assert items.ended(one.key) is INSTANCE
    else:
        assert items.ended(one.key) is None
        assert items.streaming() == []
        items.executed([one])
    assert one.key not in items


def test_an_earlier_execution_of_a_request_does_not_end_the_later_one() -> None:
    items, earlier, later = OpenItems(), item(), item()
    items.take(INSTANCE, [earlier])
    items.take(INSTANCE, [later])
    items.executed([earlier])
    assert later.key in items


def test_cancelling_reaches_an_item_and_its_stream() -> None:
    items, stream = OpenItems(), Ended()
    one = item(stream=stream)
    items.take(INSTANCE, [one])
    assert items.of_submitter("gateway-1") == [one.key]
    items.cancel(one.key)
    items.cancel(("nobody", 1))
    assert (one.is_dropped, stream.is_dropped) == (True, True)


def test_the_streams_of_one_instance_can_be_ended() -> None:
    items, mine, others = OpenItems(), Ended(), Ended()
    items.take(INSTANCE, [item(1, mine), item(2)])
    items.take(OTHER, [item(3, others)])
    error = Unavailable("unloaded")
    items.end_streams(INSTANCE, error)
    assert (mine.errors, others.errors) == ([error], [])
