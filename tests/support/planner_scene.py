"""A planner on a clock that the test moves, and the entries that it plans for."""

from __future__ import annotations

from typing import Any

from idle_backend import IdleBackend
from shoal.core.desired import ModelEntry, VersionEntry
from shoal.workers.agent.crashes import DELAY_LIMIT_S
from shoal.workers.agent.events import (
    Action,
    EntryChanged,
    Event,
    ExecutorExited,
    ExecutorUp,
    InstanceLoaded,
    LoadInstance,
    Spawn,
    Tick,
    WakeAt,
)
from shoal.workers.agent.instances import PlannedInstance, planned_instances
from shoal.workers.agent.inventory import BackendInfo
from shoal.workers.agent.planner import Planner


class Shared(IdleBackend):
    """One process for all instances."""


class Alone(IdleBackend):
    """One process for each instance."""

    process_per_instance = True


BACKENDS = {"shared": BackendInfo("shared", "x:Shared", Shared), "alone": BackendInfo("alone", "x:Alone", Alone)}


def entry(
    model: str = "m", backend: str = "shared", count: int = 1, generation: str = "g1", reason: str = "", **config: Any
) -> ModelEntry:
    raw = {"name": model, "instance_group": [{"name": model, "kind": "KIND_CPU", "count": count}], **config}
    versions = {} if reason == "completing" or reason else {1: VersionEntry(raw, {})}
    shown = "" if reason == "completing" else reason
    return ModelEntry(1, model, generation, f"/models/{model}", backend, versions, (), shown, {})


def planned(of: ModelEntry) -> list[PlannedInstance]:
    return planned_instances(of, BACKENDS[of.backend])


class Scene:
    """A planner with a clock that the test moves."""

    def __init__(self, load_limit: int = 4) -> None:
        self.planner = Planner(BACKENDS, load_limit)
        self.now = 100.0
        #: Executors that have not said hello, instances that load, and where those of each model were loaded last.
        self.starting: list[int] = []
        self.loading: list[tuple[int, int]] = []
        self.places: dict[str, list[tuple[int, int]]] = {}

    def handle(self, event: Event) -> list[Action]:
        actions = self.planner.handle(event, self.now)
        for action in actions:
            if isinstance(action, Spawn):
                self.starting.append(action.executor)
            elif isinstance(action, LoadInstance):
                place = (action.executor, action.slot)
                self.loading.append(place)
                self.places.setdefault(action.instance.key.model, []).append(place)
        return actions

    def settle(self) -> None:
        """Every process that was started says hello, and everything loads."""
        while self.starting or self.loading:
            if self.starting:
                executor = self.starting.pop()
                self.handle(ExecutorUp(executor, f"executor-{executor}"))
            else:
                self.handle(InstanceLoaded(*self.loading.pop()))

    def place(self, model: str = "m") -> tuple[int, int]:
        """Executor and slot where the model was loaded last."""
        return self.places[model][-1]

    def crash(self, model: str = "m", **fields: Any) -> None:
        """The model's process ends while it executes; all that ran there comes up again, somewhere."""
        executor, slot = self.place(model)
        self.exit(executor, executing=fields.pop("executing", (slot,)), **fields)
        self.come_back()

    def come_back(self) -> None:
        """Wait out all pauses."""
        self.advance_to(self.now + DELAY_LIMIT_S)
        self.settle()

    def desire(self, of: ModelEntry) -> list[Action]:
        return self.handle(EntryChanged(of.model, of))

    def exit(self, executor: int, executing: tuple[int, ...] = (), **fields: Any) -> list[Action]:
        values: dict[str, Any] = {"cause": "signal 9", "last_output": "", "executed": (), "culprits": None} | fields
        return self.handle(ExecutorExited(executor, executing=executing, **values))

    def states(self) -> list[str]:
        return [status.state for status in self.planner.statuses()]

    def serve(self, of: ModelEntry, executor: int = 1) -> None:
        """Bring all instances of an entry up in one executor."""
        self.desire(of)
        self.handle(ExecutorUp(executor, f"executor-{executor}"))
        for slot in range(len(planned(of))):
            self.handle(InstanceLoaded(executor, slot))
        self.starting, self.loading = [], []

    def advance_to(self, at: float) -> list[Action]:
        self.now = at
        return self.handle(Tick())

    def crash_loop(self, executor: int) -> list[Action]:
        """The process ends while it starts; go on to its next start."""
        actions = self.exit(executor)
        return actions + self.advance_to(max([a.at for a in actions if isinstance(a, WakeAt)], default=self.now))
