"""Recycling: an instance that has done enough is replaced by a fresh one, without a gap. Pure.

The fresh one loads in a process of its own beside the old one, and is not listed meanwhile: a worker that lists an
instance as LOADING is not ready. When it is ready it takes the old one's place in the list, and in the same heartbeat
the old one is listed behind all others, UNLOADING: schedulers know instances by executor and slot, so these are two to
them, and batches go to the fresh one from then on. The old one is asked to unload a little later, when everybody has
heard of that, finishes what it holds, and ends.
"""

from __future__ import annotations

from shoal.workers.agent.crashes import doubled
from shoal.workers.agent.events import Action, RecyclingBegan, RecyclingFailed, UnloadInstance, WakeAt, Worn
from shoal.workers.agent.fleet import Fleet, Instance, Phase

#: The least time that an instance serves before it is recycled; a limit that a fresh process exceeds at once must not
#: make the worker do nothing but load.
SERVE_AT_LEAST_S = 5.0
#: After a fresh instance that could not be loaded.
FIRST_PAUSE_S = 10.0
PAUSE_LIMIT_S = 600.0
#: From the heartbeat with the fresh instance to the request to unload the old one: several heartbeats.
NOTICE_S = 1.0
#: From there until its process is killed; it may have an execution to finish, and nobody is waiting for its place.
UNLOAD_TIMEOUT_S = 600.0


class Recycling:
    """At most one instance of a model at a time."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def worn(self, event: Worn, now: float) -> list[Action]:
        """Begin to replace the instance, unless it is not the time: it is told again."""
        instance = self._fleet.at(event.executor, event.slot)
        if instance is None or not self._may_recycle(instance, now):
            return []
        key = instance.planned.key
        self._fleet.fresh[key] = Instance(instance.planned)
        return [RecyclingBegan(key, event.why)]

    def loaded(self, fresh: Instance, now: float) -> list[Action]:
        """The fresh instance is ready: it serves, and the old one retires."""
        old = self._fleet.instances[fresh.planned.key]
        self._put_in_place(fresh)
        fresh.recycle_not_before = now + SERVE_AT_LEAST_S
        old.unload_at = now + NOTICE_S
        self._fleet.retire(old, old.unload_at + UNLOAD_TIMEOUT_S)
        return [WakeAt(old.unload_at)]

    def failed(self, fresh: Instance, reason: str, now: float) -> list[Action]:
        """The fresh instance cannot be loaded: the old one goes on."""
        old = self._fleet.instances[fresh.planned.key]
        self._fleet.remove(fresh)
        old.recycle_failures += 1
        pause_s = doubled(FIRST_PAUSE_S, old.recycle_failures, PAUSE_LIMIT_S)
        old.recycle_not_before = now + pause_s
        return [RecyclingFailed(fresh.planned.key, reason, pause_s)]

    def old_died(self, old: Instance) -> None:
        """The process of an instance ended, it waits or was given up: the fresh one, if there is one, loads already."""
        fresh = self._fleet.fresh.get(old.planned.key)
        if fresh is None:
            return
        if old.phase is Phase.FAILED:
            self._fleet.remove(fresh)
        else:
            fresh.crashes, fresh.times_given_up = old.crashes, old.times_given_up
            self._put_in_place(fresh)

    def unload_due(self, now: float) -> list[Action]:
        """Ask those to unload whose replacement is known by now."""
        actions: list[Action] = []
        for instance in self._fleet.retired:
            if instance.executor is not None and now >= instance.unload_at:
                instance.unload_at = float("inf")
                actions += [UnloadInstance(instance.executor.number, instance.slot), WakeAt(instance.unload_by)]
        return actions

    def _may_recycle(self, instance: Instance, now: float) -> bool:
        model = instance.planned.key.model
        others = (*self._fleet.fresh.values(), *self._fleet.retired)
        return (
            instance.phase is Phase.READY
            and instance.planned.own_process
            and now >= instance.recycle_not_before
            and all(other.planned.key.model != model for other in others)
        )

    def _put_in_place(self, fresh: Instance) -> None:
        """The key keeps its place in the list."""
        self._fleet.remove(fresh)
        self._fleet.instances[fresh.planned.key] = fresh
