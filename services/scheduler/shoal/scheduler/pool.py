"""The instances of one generation of a model version, on whatever workers, and which of them is next."""

from __future__ import annotations

import re
from collections import OrderedDict

from shoal.core.model_config import ModelConfig
from shoal.scheduler.batches import InstanceKey, VersionKey

_NUMBER = re.compile(r"_\d+(_gpu\d+)?$")


class Pool:
    """`ready` instances take batches, `busy` ones hold one (those that only drain included); the idle one that has
    been idle for longest is next. Instances of passive groups are known and never used."""

    def __init__(self, key: VersionKey, now: int) -> None:
        self.key = key
        self.ready: dict[InstanceKey, str] = {}
        self.busy: set[InstanceKey] = set()
        self.idle: OrderedDict[InstanceKey, None] = OrderedDict()
        #: Why no instance will come; None while some are there or on their way.
        self.hopeless: str | None = None
        #: When the last instance went away.
        self.unready_since_ns = now
        self._passive: frozenset[str] = frozenset()

    @property
    def is_unused(self) -> bool:
        """Whether nothing is left here to be remembered."""
        return not self.ready and not self.busy

    @property
    def can_serve(self) -> bool:
        """Whether any instance takes batches, now or when it is done with what it holds."""
        return bool(self.idle) or not self.ready.keys().isdisjoint(self.busy)

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
        elif not self._is_passive(instance):
            self.idle[instance] = None

    def take(self) -> InstanceKey:
        """The instance for the next batch; it is busy from now on. There must be an idle one."""
        instance, _ = self.idle.popitem(last=False)
        self.busy.add(instance)
        return instance

    def occupy(self, instance: InstanceKey) -> None:
        """An instance turned out to hold a batch."""
        self.busy.add(instance)
        self.idle.pop(instance, None)

    def release(self, instance: InstanceKey) -> None:
        """An instance holds no batch any more."""
        self.busy.discard(instance)
        if instance in self.ready and not self._is_passive(instance):
            self.idle[instance] = None

    def drain(self, instance: InstanceKey, now: int) -> None:
        """An instance takes no more batches; what it holds goes on."""
        self.idle.pop(instance, None)
        if self.ready.pop(instance, None) is not None and not self.ready:
            self.unready_since_ns = now

    def remove(self, instance: InstanceKey, now: int) -> None:
        self.drain(instance, now)
        self.busy.discard(instance)

    def _is_passive(self, instance: InstanceKey) -> bool:
        return bool(self._passive) and _NUMBER.sub("", self.ready[instance]) in self._passive
