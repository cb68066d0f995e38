"""Which of the waiting instances begin to load now, and in which executor. Pure."""

from __future__ import annotations

from shoal.workers.agent.crashes import Restarts
from shoal.workers.agent.events import Action, LoadInstance, Spawn, WakeAt
from shoal.workers.agent.fleet import Executor, Fleet, Instance, Phase

#: Executor processes that start, and instances that load, at the same time.
LOAD_LIMIT = 4
#: A load that takes longer goes on for as long as it likes, since large models take long, but others wait no more for
#: it: a few that never end must not keep all others from being loaded.
SLOW_LOAD_S = 60.0
#: From spawn to hello; generous, since it covers the wait for a broker that is away. Loading itself has no limit, and
#: the process is watched meanwhile.
HELLO_TIMEOUT_S = 60.0


class Starts:
    """Gives instances an executor, at most `load_limit` at a time."""

    def __init__(self, fleet: Fleet, restarts: Restarts, load_limit: int) -> None:
        self._fleet = fleet
        self._restarts = restarts
        self._load_limit = load_limit
        self._spawned = 0

    def begin(self, now: float) -> list[Action]:
        """Have as many load as may."""
        actions: list[Action] = []
        loading = sum(_is_loading(instance, now) for instance in self._fleet.all())
        for instance in (*self._fleet.instances.values(), *self._fleet.fresh.values()):
            if loading >= self._load_limit:
                break
            if instance.phase is Phase.WAITING and self._may_start(instance, now):
                actions += self._assign(instance, now)
                loading += 1
        return actions

    def _may_start(self, instance: Instance, now: float) -> bool:
        executor = self._fleet.executor_for(instance)
        if executor is None:
            return now >= self._restarts.not_before(instance.process_key)
        # Whoever was in a crash loads alone, so that the next crash names the culprit.
        others = [i for i in self._fleet.of(executor) if _is_loading(i, now)]
        return not others or (instance.crashes == 0 and all(i.crashes == 0 for i in others))

    def _assign(self, instance: Instance, now: float) -> list[Action]:
        actions: list[Action] = []
        executor = self._fleet.executor_for(instance)
        if executor is None:
            self._spawned += 1
            executor = Executor(self._spawned, instance.process_key, now + HELLO_TIMEOUT_S)
            self._fleet.executors[executor.number] = executor
            actions += [Spawn(executor.number, instance.planned.entry.backend), WakeAt(now + HELLO_TIMEOUT_S)]
        instance.phase, instance.executor, instance.slot = Phase.LOADING, executor, executor.next_slot
        instance.loads_until = now + SLOW_LOAD_S
        executor.next_slot += 1
        if executor.incarnation:
            actions.append(LoadInstance(executor.number, instance.slot, instance.planned))
        return [*actions, WakeAt(instance.loads_until)]


def _is_loading(instance: Instance, now: float) -> bool:
    """Whether others have to wait for its load."""
    return instance.phase is Phase.LOADING and now < instance.loads_until
