"""What can happen to an agent's executors, and what its planner wants done about it."""

from __future__ import annotations

from typing import NamedTuple

from shoal.core.desired import ModelEntry
from shoal.workers.agent.instances import InstanceKey, PlannedInstance


class EntryChanged(NamedTuple):
    """Desired state of one model is new or another now; None when nothing of it should be loaded any more."""

    model: str
    entry: ModelEntry | None


class ExecutorUp(NamedTuple):
    """The executor said hello; batches go to `incarnation`."""

    executor: int
    incarnation: str


class InstanceLoaded(NamedTuple):
    executor: int
    slot: int


class InstanceLoadFailed(NamedTuple):
    """`reason` is in the index's form, `<Code>: <message>`."""

    executor: int
    slot: int
    reason: str


class InstanceUnloaded(NamedTuple):
    executor: int
    slot: int


class Executed(NamedTuple):
    """Executions of these slots came back since the last such event."""

    executor: int
    slots: tuple[int, ...]


class Worn(NamedTuple):
    """This instance has done, or has grown to, as much as its configuration allows before it is to be recycled; `why`
    says which for people. May be told again and again."""

    executor: int
    slot: int
    why: str


class ExecutorExited(NamedTuple):
    """The process is gone. `cause` says how in words, `last_output` are its last lines on standard error, `executing`
    the slots that were executing, `executed` those that an execution came back from since the last `Executed`.

    `culprits` are the slots to be blamed: none of them when no model can be at fault (the broker could not be reached,
    somebody stopped the process); None when nobody knows better than by who was loading or executing.
    """

    executor: int
    cause: str
    last_output: str
    executing: tuple[int, ...]
    executed: tuple[int, ...]
    culprits: tuple[int, ...] | None


class Tick(NamedTuple):
    """Time has passed; the answer to a `WakeAt`."""


class StopRequested(NamedTuple):
    """Drain: executors finish what they have, finalize and end."""


Event = (
    EntryChanged
    | ExecutorUp
    | InstanceLoaded
    | InstanceLoadFailed
    | InstanceUnloaded
    | Executed
    | Worn
    | ExecutorExited
    | Tick
    | StopRequested
)


class Spawn(NamedTuple):
    """Start an executor process of this backend and know it by this number, which is never used again."""

    executor: int
    backend: str


class LoadInstance(NamedTuple):
    executor: int
    slot: int
    instance: PlannedInstance


class UnloadInstance(NamedTuple):
    executor: int
    slot: int


class StopExecutor(NamedTuple):
    """Ask it to unload everything and end."""

    executor: int


class KillExecutor(NamedTuple):
    executor: int


class WakeAt(NamedTuple):
    """Send a `Tick` at this time."""

    at: float


class Publish(NamedTuple):
    """`statuses()` has changed: beat at once."""


class RecyclingBegan(NamedTuple):
    """For the log: a fresh instance is being loaded beside this one, which has `why` to be replaced."""

    instance: InstanceKey
    why: str


class RecyclingFailed(NamedTuple):
    """For the log: the fresh instance cannot be loaded for `reason`; the old one goes on, and the next attempt is not
    made before `pause_s` have passed."""

    instance: InstanceKey
    reason: str
    pause_s: float


class Finished(NamedTuple):
    """The drain is over: no executor is left."""


Action = (
    Spawn
    | LoadInstance
    | UnloadInstance
    | StopExecutor
    | KillExecutor
    | WakeAt
    | Publish
    | RecyclingBegan
    | RecyclingFailed
    | Finished
)
