"""The requests that this executor has, from their arrival to their final response. Belongs to the loop's thread."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.errors import ShoalError
from shoal.core.messages import RequestKey
from shoal.workers.executor.instance import Instance
from shoal.workers.executor.item import Item


class _Open:
    """`is_executed`: its execution is over; `has_ended`: it was answered finally."""

    __slots__ = ("has_ended", "instance", "is_executed", "item")

    def __init__(self, item: Item, instance: Instance) -> None:
        self.item = item
        self.instance = instance
        self.is_executed = False
        self.has_ended = False


class OpenItems:
    """An item is open until both its execution and its stream, if it has one, have ended, whichever does first."""

    def __init__(self) -> None:
        self._open: dict[RequestKey, _Open] = {}

    def __contains__(self, key: RequestKey) -> bool:
        return key in self._open

    def take(self, instance: Instance, items: Iterable[Item]) -> None:
        """Items wait for this instance."""
        for item in items:
            self._open[item.key] = _Open(item, instance)

    def executed(self, items: Iterable[Item]) -> None:
        """The execution of these items is over; those without a stream are answered."""
        for item in items:
            known = self._open.get(item.key)
            if known is None or known.item is not item:
                continue
            if item.stream is None or known.has_ended:
                del self._open[item.key]
            known.is_executed = True

    def ended(self, key: RequestKey) -> Instance | None:
        """A stream has had its final response. Its instance, if that is done with the request."""
        known = self._open.get(key)
        if known is None:
            return None
        known.has_ended = True
        if not known.is_executed:
            return None
        del self._open[key]
        return known.instance

    def cancel(self, key: RequestKey) -> None:
        """Nobody waits for this request any more."""
        known = self._open.get(key)
        if known is not None:
            known.item.cancel()

    def of_submitter(self, submitter: str) -> list[RequestKey]:
        return [key for key in self._open if key[0] == submitter]

    def streaming(self) -> list[RequestKey]:
        """The requests whose execution is over, and which are answered later."""
        return [key for key, known in self._open.items() if known.is_executed]

    def has_any(self, instance: Instance) -> bool:
        """Whether an instance has anything left to do."""
        return any(known.instance is instance for known in self._open.values())

    def end_streams(self, instance: Instance, error: ShoalError) -> None:
        """End every stream of an instance that is still open with this error."""
        for known in self._open.values():
            if known.instance is instance and known.item.stream is not None:
                known.item.stream.end(error)
