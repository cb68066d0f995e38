"""The instances of one generation of a model version, on whatever workers, and which of them is next."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Container

from shoal.core.model_config import ModelConfig
from shoal.scheduler.batches import InstanceKey, VersionKey

_NUMBER = re.compile(r"_\d+(_gpu\d+)?$")


class Pool:
    """`ready` instances take batches, `busy` ones hold one (those that only drain included); the idle one that has
    been idle for longest is next. Instances of passive groups are known and never used; those of executors that are
    reserved are not idle: only what the executor is reserved for is sent there."""

    def __init__(self, key: VersionKey, now: int, reserved: Container[str] = ()) -> None:
        """`reserved`: a live view of the executors that are."""
        self.key = key
        self.ready: dict[InstanceKey, str] = {}
        self.busy: set[InstanceKey] = set()
        self.idle: OrderedDict[InstanceKey, None] = OrderedDict()
        #: Why no instance will come; None while some are there or on their way.
        self.hopeless: str | None = None
        #: When the last instance went away.
        self.unready_since_ns = now
        self._passive: frozenset[str] = frozenset()
        self._reserved = reserved

    @property
    def is_unused(self) -> bool:
        """Whether nothing is left here to be remembered."""
        return not self.ready and not self.busy

    @property
    def can_serve(self) -> bool:
        """Whether any instance takes batches, now or when it is done with what it holds, or its executor with what it
        is reserved for."""
        if self.idle or not self.ready.keys().isdisjoint(self.busy):
            return True
        return any(not self._is_passive(instance) for instance in self.ready)

    def executors(self) -> dict[str, InstanceKey | None]:
        """The executors with instances that take batches, each with one that holds none, None where all are busy."""
        found: dict[str, InstanceKey | None] = {}
        for instance in self.ready:
            executor = instance[0]
            if found.get(executor) is None and not self._is_passive(instance):
                found[executor] = None if instance in self.busy else instance
        return found

    def configure(self, config: ModelConfig) -> None:
        """Learn which instance groups are passive."""
        self._passive = frozenset(
            group.name or f"{config.name}_{index}"
            for index, group in enumerate(config.instance_groups)
            if group.passive
        )
        for instance in [instance for instance in self.idle if self._is_passive(instance)]:
            del self.idle[instance]

    def add(self, instance: InstanceKey, name: str, is_busy: bool) -> None:
        self.ready[instance] = name
        if is_busy:
            self.busy.add(instance)
            self.idle.pop(instance, None)
        else:
            self._rest(instance)

    def take(self) -> InstanceKey:
        """The instance for the next batch; it is busy from now on. There must be an idle one."""
        instance, _ = self.idle.popitem(last=False)
        self.busy.add(instance)
        return instance

    def occupy(self, instance: InstanceKey) -> None:
        """This very instance holds a batch."""
        self.busy.add(instance)
        self.idle.pop(instance, None)

    def release(self, instance: InstanceKey) -> None:
        """An instance holds no batch any more."""
        self.busy.discard(instance)
        if instance in self.ready:
            self._rest(instance)

    def withhold(self, executor: str) -> None:
        """An executor was reserved."""
        for instance in [instance for instance in self.idle if instance[0] == executor]:
            del self.idle[instance]

    def readmit(self, executor: str) -> None:
        """An executor is not reserved any more."""
        for instance in self.ready:
            if instance[0] == executor and instance not in self.busy and instance not in self.idle:
                self._rest(instance)

    def drain(self, instance: InstanceKey, now: int) -> None:
        """An instance takes no more batches; what it holds goes on."""
        self.idle.pop(instance, None)
        if self.ready.pop(instance, None) is not None and not self.ready:
            self.unready_since_ns = now

    def remove(self, instance: InstanceKey, now: int) -> None:
        self.drain(instance, now)
        self.busy.discard(instance)

    def _rest(self, instance: InstanceKey) -> None:
        """An instance that takes batches holds none."""
        if instance[0] in self._reserved or (self._passive and self._is_passive(instance)):
            return
        self.idle[instance] = None

    def _is_passive(self, instance: InstanceKey) -> bool:
        return bool(self._passive) and _NUMBER.sub("", self.ready[instance]) in self._passive
