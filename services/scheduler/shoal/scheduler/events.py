"""What happens to the scheduler. The shell makes these from messages, heartbeats and views."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from shoal.core.messages import InferRequest, InferResponse, RequestKey, RunningBatch
from shoal.core.model_config import ModelConfig
from shoal.scheduler.batches import BatchRef
from shoal.scheduler.queued_request import RequestPart


class Arrival(NamedTuple):
    """A request and the bytes that it came as."""

    request: InferRequest
    part: RequestPart


class StepResponse(NamedTuple):
    """A response to a step of an ensemble, from the process `sender` (empty for a refusal of our own)."""

    sender: str
    message: InferResponse
    payload: memoryview


class RequestsArrived(NamedTuple):
    """The requests of one turn of the event loop, in the order of the wire: all are queued before any is sent."""

    arrivals: tuple[Arrival, ...]


class CancelRequested(NamedTuple):
    """Nobody waits for these requests of `submitter` any more."""

    submitter: str
    counters: tuple[int, ...]


class SubmitterLeft(NamedTuple):
    """A process that submits requests is gone, and nobody waits for any of them."""

    submitter: str


class BatchFinished(NamedTuple):
    """An executor has done a batch; its answers are on their way. The epoch is the one it was sent in."""

    executor: str
    epoch: int
    batch_id: int


class BatchesLost(NamedTuple):
    """These batches of `epoch` never arrived at the executor."""

    executor: str
    epoch: int
    batch_ids: tuple[int, ...]


class LinkChanged(NamedTuple):
    """Messages from or to this executor may have been lost; None when it is our own link, hence any executor."""

    executor: str | None


class InstanceReady(NamedTuple):
    """An instance takes batches. `name` is the agent's name for it, which begins with its instance group's."""

    model: str
    version: int
    generation: str
    executor: str
    slot: int
    name: str


class InstanceDraining(NamedTuple):
    """An instance takes no more batches; its process lives, and goes on with what it holds."""

    executor: str
    slot: int


class ExecutorGone(NamedTuple):
    """A process has ended, with whatever it held, also on instances that nobody told us of; `cause` is for people.
    `executing`: the batches that it was executing, None when nobody knows, hence perhaps all."""

    executor: str
    cause: str
    executing: Collection[BatchRef] | None


class OutlookChanged(NamedTuple):
    """Whether instances of a version are there or will be: `reason` None, or why none will come."""

    model: str
    version: int
    generation: str
    reason: str | None


class ModelConfigured(NamedTuple):
    """The generation of a model that should be served now. Versions without a configuration are not served."""

    model: str
    generation: str
    versions: Mapping[int, ModelConfig]


class ModelRemoved(NamedTuple):
    """A model should be served no more."""

    model: str


class ReconcileAsked(NamedTuple):
    """A submitter asks which of its open requests we do not have, and which of those that are over (`closing`)."""

    submitter: str
    counters: tuple[int, ...]
    closing: tuple[int, ...] = ()


class OwnershipRenewed(NamedTuple):
    """We own the models under a higher epoch than before, with nobody in between (the broker lost its store)."""

    epoch: int


class AdoptionBegan(NamedTuple):
    """All that the views and heartbeats tell was handed in; executors may be waited for from now on."""


class ExecutorReported(NamedTuple):
    """An executor told its new owner what it holds and whose outputs it still keeps."""

    executor: str
    running: tuple[RunningBatch, ...]
    kept: tuple[RequestKey, ...]


class StepsAnswered(NamedTuple):
    """Responses to steps of ensembles that came in one turn of the event loop, in the order of the wire."""

    responses: tuple[StepResponse, ...]


class AnswersTaken(NamedTuple):
    """Of each request of `submitter` (by counter) every answer of ours up to an index was taken."""

    submitter: str
    answers: tuple[tuple[int, int], ...]


class RepeatAsked(NamedTuple):
    """A submitter wants the answers of ours to a request that it has not taken once more."""

    submitter: str
    counter: int


class HoldsAsked(NamedTuple):
    """An executor asks which of these blocks of its arena are still used here."""

    owner: str
    generations: tuple[int, ...]


class HostChanged(NamedTuple):
    """An executor beats on this host; None: it has left."""

    executor: str
    host: str | None


class TimerFired(NamedTuple):
    """The time of the last `SetTimer` has come (or it is a little early, which does no harm)."""


Event = (
    RequestsArrived
    | CancelRequested
    | SubmitterLeft
    | BatchFinished
    | BatchesLost
    | LinkChanged
    | InstanceReady
    | InstanceDraining
    | ExecutorGone
    | OutlookChanged
    | ModelConfigured
    | ModelRemoved
    | ReconcileAsked
    | OwnershipRenewed
    | AdoptionBegan
    | ExecutorReported
    | StepsAnswered
    | AnswersTaken
    | RepeatAsked
    | HoldsAsked
    | HostChanged
    | TimerFired
)
