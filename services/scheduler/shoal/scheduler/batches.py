"""The batches that executors hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from shoal.core.messages import RequestKey
from shoal.scheduler.queued_request import QueuedRequest

#: Epoch and number of a batch.
BatchRef = tuple[int, int]
#: Incarnation of an executor and the slot in it.
InstanceKey = tuple[str, int]
#: Model, version and generation.
VersionKey = tuple[str, int, str]

#: Batches taken back that are remembered, in case that they are done after all.
_REVOKED_LIMIT = 4096


class OpenBatch(NamedTuple):
    """A batch on its way or executing. `closing` are those of its requests whose submitters have to be told when
    nobody reads their inputs any more.

    `members` and `version` are empty and None for one adopted from an owner before us: then only its keys are known,
    and `deaths` of each; its requests cannot be queued again from here, and all are `closing`.
    """

    ref: BatchRef
    instance: InstanceKey
    keys: tuple[RequestKey, ...]
    version: VersionKey | None
    members: tuple[QueuedRequest, ...]
    sent_ns: int
    closing: tuple[RequestKey, ...]
    deaths: tuple[int, ...] = ()


class OpenBatches:
    """Open batches by their reference, their instance and their requests. An instance normally has at most one, and a
    request is in at most one, unless an executor turns out to hold what was sent to another one meanwhile."""

    def __init__(self) -> None:
        self._by_ref: dict[BatchRef, OpenBatch] = {}
        self._by_instance: dict[InstanceKey, list[BatchRef]] = {}
        self._running: dict[RequestKey, BatchRef] = {}
        #: Further batches of a request, beside the one in `_running`.
        self._besides: dict[RequestKey, list[BatchRef]] = {}
        self._revoked: OrderedDict[BatchRef, OpenBatch] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_ref)

    def __iter__(self) -> Iterator[OpenBatch]:
        """Oldest first. Nothing may be changed meanwhile."""
        return iter(self._by_ref.values())

    def __contains__(self, ref: BatchRef) -> bool:
        return ref in self._by_ref

    def add(self, batch: OpenBatch) -> None:
        self._by_ref[batch.ref] = batch
        self._by_instance.setdefault(batch.instance, []).append(batch.ref)
        if batch.version is None:
            for key in batch.keys:
                if key in self._running:
                    self._besides.setdefault(key, []).append(self._running[key])
        for key in batch.keys:
            self._running[key] = batch.ref

    def remove(self, ref: BatchRef) -> OpenBatch | None:
        """Close a batch; None for one that is not open."""
        batch = self._by_ref.pop(ref, None)
        if batch is None:
            return None
        refs = self._by_instance[batch.instance]
        refs.remove(ref)
        if not refs:
            del self._by_instance[batch.instance]
        if self._besides:
            for key in batch.keys:
                self._leave(key, ref)
        else:
            for key in batch.keys:
                self._running.pop(key, None)
        return batch

    def revoke(self, ref: BatchRef) -> OpenBatch | None:
        """`remove` for a batch that is believed dead; should it be done all the same, `reviving` knows it."""
        batch = self.remove(ref)
        if batch is not None:
            self._revoked[ref] = batch
            if len(self._revoked) > _REVOKED_LIMIT:
                self._revoked.popitem(last=False)
        return batch

    def reviving(self, ref: BatchRef) -> OpenBatch | None:
        """The batch that was revoked and is done after all; it is forgotten here."""
        return self._revoked.pop(ref, None)

    def was_revoked(self, ref: BatchRef) -> bool:
        return ref in self._revoked

    def of_request(self, key: RequestKey) -> OpenBatch | None:
        """The open batch that a request is in."""
        ref = self._running.get(key)
        return None if ref is None else self._by_ref[ref]

    def is_running(self, key: RequestKey) -> bool:
        return key in self._running

    def forget_submitter(self, submitter: str) -> None:
        """Nobody has to be told what becomes of the inputs of this submitter's requests."""
        for ref, batch in self._by_ref.items():
            if any(key[0] == submitter for key in batch.closing):
                closing = tuple(key for key in batch.closing if key[0] != submitter)
                self._by_ref[ref] = batch._replace(closing=closing)

    def running_keys(self) -> Iterator[RequestKey]:
        return iter(self._running)

    def on(self, instance: InstanceKey) -> tuple[BatchRef, ...]:
        """The batches that an instance holds."""
        return tuple(self._by_instance.get(instance, ()))

    def on_executor(self, executor: str) -> tuple[BatchRef, ...]:
        """The batches that an executor holds, on whatever instance."""
        found = (refs for instance, refs in self._by_instance.items() if instance[0] == executor)
        return tuple(ref for refs in found for ref in refs)

    def executors(self) -> set[str]:
        """The executors that hold batches."""
        return {executor for executor, _ in self._by_instance}

    def _leave(self, key: RequestKey, ref: BatchRef) -> None:
        """A request is not in this batch any more, but perhaps in another one."""
        besides = self._besides.get(key, [])
        if ref in besides:
            besides.remove(ref)
        elif besides:
            self._running[key] = besides.pop()
        else:
            self._running.pop(key, None)
        if not besides:
            self._besides.pop(key, None)
