"""The ensemble requests that are under way, the steps that they wait for, and the answers that nobody has taken yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from shoal.core.messages import NO_TIMINGS, InferRequest, InferResponse, RequestKey, Timings
from shoal.core.tensors import ArenaRef
from shoal.scheduler.claims import Block, Claim, Claims, Credit, Stream
from shoal.scheduler.ensemble_flow import EnsembleFlow, ReadyStep
from shoal.scheduler.ensemble_plan import EnsemblePlan
from shoal.scheduler.ensemble_tensors import EnsembleTensor, SequencePlace
from shoal.scheduler.queued_request import QueuedRequest

if TYPE_CHECKING:
    from shoal.scheduler.actions import Action
    from shoal.scheduler.awaited import Awaited
    from shoal.scheduler.served import ServedVersion

#: The most bytes of steps' answers that are kept here, where executors could not put them into shared memory.
KEPT_LIMIT_NBYTES = 256 * 1024 * 1024


class EnsembleRun:
    """One ensemble request from its arrival to its last answer.

    `pinned` are the versions that its steps run on, by step number; `steps` those in flight, by our counter. `error` is
    why nothing more is started, `complete` the outputs of the answer that waits for the last of the steps. `given`
    counts its responses; `is_over`: the last one was among them. `is_deserted`: nobody is there any more to be
    answered. `timings` are the sums of the steps' so far.
    """

    __slots__ = (
        "complete",
        "entry",
        "error",
        "flow",
        "given",
        "has_executed",
        "is_deserted",
        "is_over",
        "pinned",
        "plan",
        "served",
        "steps",
        "timings",
    )

    def __init__(self, entry: QueuedRequest, served: ServedVersion) -> None:
        self.entry = entry
        self.served = served
        self.pinned: dict[int, ServedVersion] = {}
        #: Made when the steps' versions are known.
        self.plan: EnsemblePlan
        self.flow: EnsembleFlow | None = None
        self.steps: dict[int, StepRun] = {}
        self.error: tuple[int, str] | None = None
        self.complete: dict[str, EnsembleTensor] | None = None
        self.given = 0
        self.is_over = False
        self.is_deserted = False
        self.has_executed = False
        self.timings = NO_TIMINGS

    @property
    def key(self) -> RequestKey:
        return self.entry.key

    @property
    def request(self) -> InferRequest:
        return self.entry.request

    def add_timings(self, timings: Timings) -> None:
        _, input_ns, infer_ns, output_ns = timings
        queue_ns, known_input_ns, known_infer_ns, known_output_ns = self.timings
        self.timings = Timings(
            queue_ns, known_input_ns + input_ns, known_infer_ns + infer_ns, known_output_ns + output_ns
        )


class StepRun:
    """One request for one step of a run. We are its submitter, and hold it until it is over: answered for good, and not
    in the scheduler's hands any more (`is_answered`: only that is waited for). `is_waiting`: not sent yet, since too
    many of its kind are in flight.

    `served` is the version that it was made for, `place` its sequence, `claims` are those of its inputs. `stream`, once
    it gives several responses, says who does; `next_index` is the response that comes next. `deaths` are the causes for
    which executions of it ended with their executors, `losses` counts how often it did not arrive. `began_ns` is when
    it was made, `heard_ns` when a response came last, `missed_ns` when one was last found missing.
    """

    __slots__ = (
        "batch_size",
        "began_ns",
        "claims",
        "counter",
        "deaths",
        "heard_ns",
        "is_answered",
        "is_waiting",
        "losses",
        "missed_ns",
        "next_index",
        "place",
        "ready",
        "run",
        "served",
        "stream",
    )

    def __init__(self, counter: int, run: EnsembleRun, ready: ReadyStep, served: ServedVersion, now: int) -> None:
        self.counter = counter
        self.run = run
        self.ready = ready
        self.served = served
        self.began_ns = self.heard_ns = now
        self.missed_ns: int | None = None
        self.batch_size = 0
        self.place = SequencePlace(0, 0)
        self.deaths = run.request.deaths
        self.losses = 0
        self.next_index = 0
        self.stream: Stream | None = None
        self.is_answered = False
        self.is_waiting = False
        self.claims = [claim for tensor in ready.inputs.values() for claim in tensor.claims]

    @property
    def is_in_arena(self) -> bool:
        """Whether inputs of it lie in shared memory: then we hear when nobody reads them any more."""
        return any(isinstance(tensor.data, ArenaRef) for tensor in self.ready.inputs.values())

    @property
    def credits(self) -> list[Claim]:
        """The claims that whatever is made of its inputs has as well: a stream is held up until that is done with."""
        return [claim for claim in self.claims if isinstance(claim.thing, Credit)]


class Given(NamedTuple):
    """An answer that its receiver has not confirmed (`Taken`): it is sent again when asked for. It uses `claims`.
    `since_ns`: when it was given first."""

    message: InferResponse
    buffers: tuple[memoryview | bytes, ...]
    claims: tuple[Claim, ...]
    since_ns: int

    @property
    def has_blocks(self) -> bool:
        """Whether somebody's shared memory cannot be used again before this is confirmed."""
        return any(isinstance(claim.thing, Block) for claim in self.claims)


class StepLimit:
    """How many requests of one step are in flight over all requests of its ensemble, and which ones wait for that."""

    __slots__ = ("in_flight", "waiting")

    def __init__(self) -> None:
        self.in_flight = 0
        self.waiting: deque[StepRun] = deque()


class Ensembles:
    """What is under way. The modules of the rules (`ensemble_*`) change it; `State` owns it.

    `own` is our incarnation, the submitter of all steps; `counters` gives them numbers that this incarnation has never
    used. What is to be done waits in `actions`, `arrivals` (steps to be queued) and `cancelled` until `settle` takes
    it.
    """

    def __init__(self, own: str, counters: Iterator[int]) -> None:
        self.own = own
        self.counters = counters
        self.claims = Claims()
        self.runs: dict[RequestKey, EnsembleRun] = {}
        #: Oldest first.
        self.steps: dict[int, StepRun] = {}
        self.given: dict[RequestKey, dict[int, Given]] = {}
        #: By the ensemble's version and the number of the step.
        self.limits: dict[tuple[tuple[str, int, str], int], StepLimit] = {}
        self.actions: list[Action] = []
        self.arrivals: list[Awaited] = []
        self.cancelled: list[RequestKey] = []
        #: Whether every step is to be asked after.
        self.is_in_doubt = False

    @property
    def has_news(self) -> bool:
        """Whether anything waits to be done."""
        return bool(self.actions or self.arrivals or self.cancelled or self.claims.has_news)
