"""Every message between Shoal's processes; `shoal.core.encoding` has their form on the wire.

A message is a `NamedTuple` whose first field is its schema version; the bytes of its tensors (the payload) travel
behind it. Models appear in messages only, never in subjects. Times are remaining or elapsed microseconds, never clock
readings: clocks of two processes are not comparable.
"""

from __future__ import annotations

from typing import NamedTuple

from shoal.core.tensors import TensorHeader

Parameter = bool | int | float | str

#: A request for ever: the incarnation of who holds it until its answer, and a counter of that incarnation.
RequestKey = tuple[str, int]

#: The schema of most messages, and of those that have changed once or twice; what a sender writes into `schema`.
V1 = 1
V2 = 2
V3 = 3

SEQUENCE_START = 1
SEQUENCE_END = 2


class InferRequest(NamedTuple):
    """Submitter -> scheduler -> (inside `Batch`) executor. The submitter keeps it until it is answered.

    `version` is resolved (> 0) and `generation` is the one that the request was checked against. `batch_size` is the
    first dimension for a batching model and 0 otherwise. `outputs` empty means every output. `deadline_us` is what
    was left when the request was sent, None without a deadline; `timeout_us` is Triton's queue-policy parameter and
    nothing else. `inputs` refer to the payload in their order, or to the submitter's arena. `deaths` are the causes
    that `Retried` told of. `host` is the submitter's host, where the answer may refer to shared memory; empty when it
    may not.
    """

    schema: int
    counter: int
    submitter: str
    model: str
    version: int
    generation: str
    request_id: str
    correlation_id: int | str
    flags: int
    priority: int
    timeout_us: int
    deadline_us: int | None
    batch_size: int
    inputs: tuple[TensorHeader, ...]
    outputs: tuple[str, ...]
    parameters: dict[str, Parameter]
    traceparent: str
    deaths: tuple[str, ...]
    host: str

    @property
    def key(self) -> RequestKey:
        return self.submitter, self.counter


class Timings(NamedTuple):
    """Nanoseconds that one request spent, as Triton's statistics name the stages; every request of a batch gets the
    batch's compute times. All 0 when the request was answered without an execution."""

    queue_ns: int
    compute_input_ns: int
    compute_infer_ns: int
    compute_output_ns: int


NO_TIMINGS = Timings(0, 0, 0, 0)


#: The index of an end that does not follow what came before it: what is missing in between is gone for good.
OUT_OF_ORDER = -1


class InferResponse(NamedTuple):
    """Executor or scheduler -> submitter: one response. `error` is `(code, text)` or None; the payload holds the
    outputs.

    Outputs refer to the payload, or to blocks of the sender's arena, which the receiver releases by `Release` (those of
    a scheduler's answer lie in the arenas of others; it hears `Taken` instead). The responses of a request count from 0
    in `response_index` (or see `OUT_OF_ORDER`); `final` is the last, the only one of a non-decoupled model. `is_empty`:
    it only ends the request, the model gave no response with it. `executed` tells whether the model ran: a scheduler's
    refusal did not. `timings` count in the final one.
    """

    schema: int
    counter: int
    response_index: int
    final: bool
    executed: bool
    error: tuple[int, str] | None
    outputs: tuple[TensorHeader, ...]
    parameters: dict[str, Parameter]
    timings: Timings
    is_empty: bool


class BatchItem(NamedTuple):
    """One request inside a batch: sizes of its untouched header and payload, how long it has been with the scheduler
    (time to be taken off its deadline and added to its queue time), and how many executions of it have ended with
    their executor before."""

    header_nbytes: int
    payload_nbytes: int
    queue_us: int
    deaths: int


class Batch(NamedTuple):
    """Scheduler -> executor: execute these requests together on `instance`.

    The payload is, for each item, the header of its `InferRequest` and that request's payload. `batch_id` is unique
    within `epoch`; `reason` says why the batch was sent now.
    """

    schema: int
    epoch: int
    batch_id: int
    instance: int
    reason: str
    items: tuple[BatchItem, ...]


class BatchDone(NamedTuple):
    """Executor -> scheduler, published before the answers: `instance` is free again."""

    schema: int
    epoch: int
    batch_id: int
    instance: int


class Cancel(NamedTuple):
    """Submitter -> scheduler, scheduler -> executor: nobody waits for these requests any more."""

    schema: int
    submitter: str
    counters: tuple[int, ...]


class NotOwner(NamedTuple):
    """Scheduler -> submitter: these requests came to a scheduler that does not own their models."""

    schema: int
    counters: tuple[int, ...]


class Stale(NamedTuple):
    """Scheduler -> submitter: the generation these requests were checked against is not live; check and send again."""

    schema: int
    counters: tuple[int, ...]


class Retried(NamedTuple):
    """Scheduler -> submitter: executions of these requests (by counter) ended with their executors, for these causes.
    Each is tried again; should you have to send it once more, say so, that it is not executed a third time."""

    schema: int
    deaths: tuple[tuple[int, tuple[str, ...]], ...]


class Reconcile(NamedTuple):
    """Submitter -> scheduler: these requests of mine are open; which of them do you not have? `closing` are answered or
    given up, and I only keep their inputs: which of those may go?"""

    schema: int
    counters: tuple[int, ...]
    closing: tuple[int, ...]


class ReconcileReply(NamedTuple):
    """Scheduler -> submitter: `unknown` must be sent again; `lost` were executed and their answer is gone for good."""

    schema: int
    epoch: int
    unknown: tuple[int, ...]
    lost: tuple[int, ...]


class Closed(NamedTuple):
    """Scheduler -> submitter: nobody will read the inputs of these requests any more. Sent for requests whose inputs
    lie in an arena; an answer of the scheduler itself (a refusal), `NotOwner`, `Stale` and `unknown` mean the same."""

    schema: int
    counters: tuple[int, ...]


class Release(NamedTuple):
    """Holder -> owner of an arena: these blocks, by generation, are not used here (any more)."""

    schema: int
    generations: tuple[int, ...]


class Taken(NamedTuple):
    """Submitter -> whoever answers: of the request with this counter every response up to this index was taken. Sent
    for requests with more than one; whoever answers gives only so many responses ahead, and keeps those to send again.
    Sent, too, for every answer of a scheduler that has outputs (an ensemble's): their memory is held by the scheduler.
    """

    schema: int
    answers: tuple[tuple[int, int], ...]


class HoldQuery(NamedTuple):
    """Owner of an arena -> holder: do you still use these blocks? A `Release` names those that are not used."""

    schema: int
    generations: tuple[int, ...]


class BatchQuery(NamedTuple):
    """Scheduler -> executor: what became of these batches? Done ones are reported and answered again from the
    executor's kept outputs; only the unknown ones are listed in the reply."""

    schema: int
    epoch: int
    batch_ids: tuple[int, ...]


class BatchQueryReply(NamedTuple):
    """Executor -> scheduler: batches that never arrived."""

    schema: int
    epoch: int
    unknown: tuple[int, ...]


class Resend(NamedTuple):
    """Scheduler or submitter -> executor: answer this request again from the kept outputs, or UNAVAILABLE when they are
    gone; of several responses, those that were not taken."""

    schema: int
    submitter: str
    counter: int


class RunningBatch(NamedTuple):
    """A batch that an executor holds, queued or executing; `deaths` of each of its requests as `BatchItem` has them."""

    epoch: int
    batch_id: int
    instance: int
    keys: tuple[RequestKey, ...]
    deaths: tuple[int, ...]


class ExecutorReport(NamedTuple):
    """Executor -> new owner: what I hold, and the requests whose outputs I still keep."""

    schema: int
    epoch: int
    running: tuple[RunningBatch, ...]
    kept: tuple[RequestKey, ...]


LOADING = "LOADING"
READY = "READY"
UNLOADING = "UNLOADING"
UNAVAILABLE = "UNAVAILABLE"


class InstanceStatus(NamedTuple):
    """One instance as its agent sees it. `state` is LOADING, READY, UNLOADING or UNAVAILABLE.

    `executor` is the incarnation that batches go to (empty until it has said hello) and `slot` the instance's number
    within it. `reason` says why an instance is UNAVAILABLE, in the index's form `<Code>: <message>`.
    """

    model: str
    version: int
    generation: str
    name: str
    executor: str
    slot: int
    state: str
    reason: str


class EndedExecutor(NamedTuple):
    """An executor that has ended lately, as its agent saw it: why, and the batches (epoch, number) that were executing
    then. Batches that it held besides were not started."""

    executor: str
    cause: str
    executing: tuple[tuple[int, int], ...]


class ModelCounters(NamedTuple):
    """Cumulative counts of one incarnation for one generation of a model version. Durations are nanoseconds.

    Submitters count the answers (success, fail and the request's times), executors the executions; each leaves the
    other's fields 0, so that the sum over all incarnations is the model's statistics. `batch_stats` is a tuple of
    `(batch size, executions, compute_input_ns, compute_infer_ns, compute_output_ns)`.
    """

    model: str
    version: int
    generation: str
    success: int
    success_ns: int
    fail: int
    fail_ns: int
    queue_ns: int
    compute_input_ns: int
    compute_infer_ns: int
    compute_output_ns: int
    inference_count: int
    execution_count: int
    last_inference_ms: int
    batch_stats: tuple[tuple[int, int, int, int, int], ...]
    reasons: dict[str, int]


NOTHING_CONFIRMED = ("", 0)


class Heartbeat(NamedTuple):
    """Everyone -> everyone who listens, every 250 ms and at once when something below changes.

    `host` tells whose shared memory the process can map (see `shoal.memory.host`), empty for none. `links` grows with
    each reconnect and each notice of dropped messages; `owned` maps ownership keys to epochs; `backends`, `instances`
    and `ended` are filled by agents; `counters` holds what changed lately; `leaving` is the farewell. `confirmed` is
    how far a gateway has followed the gateways' shared state: which making of the bucket, and every write up to which
    revision of it; `NOTHING_CONFIRMED` elsewhere.
    """

    schema: int
    incarnation: str
    role: str
    host: str
    pid: int
    links: int
    leaving: bool
    owned: dict[str, int]
    backends: tuple[str, ...]
    instances: tuple[InstanceStatus, ...]
    counters: tuple[ModelCounters, ...]
    ended: tuple[EndedExecutor, ...]
    confirmed: tuple[str, int]


class StatisticsQuery(NamedTuple):
    """Gateway -> gateways, schedulers and executors: send me every counter you know."""

    schema: int
    query_id: int


class StatisticsReply(NamedTuple):
    """The sender's own counters and those it remembers of incarnations that left, by incarnation."""

    schema: int
    query_id: int
    counters: dict[str, tuple[ModelCounters, ...]]


class DescribeModel(NamedTuple):
    """Repository -> agent: complete this configuration by looking at the model (a child process of its own does)."""

    schema: int
    query_id: int
    model: str
    version: int
    path: str
    config: str
    backend_config: dict[str, str]


class DescribeReply(NamedTuple):
    """Agent -> repository: the completed configuration as JSON, or `error`."""

    schema: int
    query_id: int
    config: str
    error: tuple[int, str] | None


Message = (
    InferRequest
    | InferResponse
    | Batch
    | BatchDone
    | Cancel
    | NotOwner
    | Stale
    | Retried
    | Reconcile
    | ReconcileReply
    | Closed
    | Release
    | Taken
    | HoldQuery
    | BatchQuery
    | BatchQueryReply
    | Resend
    | ExecutorReport
    | Heartbeat
    | StatisticsQuery
    | StatisticsReply
    | DescribeModel
    | DescribeReply
)
