"""What a backend is: a class that loads one instance of a model and executes batches with it.

Backends are found by entry point (group `shoal.backends`, name = Triton's backend name), so third parties can add one.
A backend's module imports its framework lazily, inside methods: the module itself must import without it.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from shoal.core.errors import InternalError, ShoalError
from shoal.core.messages import Parameter
from shoal.core.model_config import ModelConfig
from shoal.core.tensors import Tensor


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model version as found on disk. `directory` is the model's directory, `config` the configuration to load it
    with (for `signature`: as written, perhaps incomplete), `backend_config` the `--backend-config` settings."""

    name: str
    version: int
    directory: str
    config: ModelConfig
    backend_config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """Which instance to load: its name (`<group>_<i>`), `CPU`, `GPU` or `MODEL`, and the device's number."""

    name: str
    kind: str
    device_id: int


class SenderClosed(InternalError):
    """A request has had its final response, and can be given no other."""


class Sender(Protocol):
    """Answers one request with any number of responses, during `execute` and after it, from any thread."""

    def send(self, response: Response | None, is_final: bool) -> None:
        """Give a response; None, with `is_final`, ends the request without a further one. The outputs are copied before
        this returns. What is given to a request that nobody waits for any more is dropped.

        Blocks while as many responses as may are on their way, that is at the pace of the client, except for None; on
        a thread that runs an event loop, which has others to serve, only when there are a great many of them. Raises
        SenderClosed after the final one, or when the request was ended because its execution failed or its instance is
        being unloaded.
        """

    def fail(self, error: ShoalError) -> None:
        """End the request with this error, if it has not ended. Never blocks, and may be called by a destructor."""


class Request(NamedTuple):
    """One request of a batch. `inputs` are read-only views; BYTES data is in wire form. They are valid as long as they
    are referenced, but for `is_borrowed` requests only until `Backend.let_go` has returned: then the memory of some of
    them is used for something else.

    `outputs` are the names asked for; empty means all. `batch_size` is 0 for a model without batching.
    `is_cancelled` may be called from any thread, and so may `open_sender`, during `execute`: the request is answered by
    what that gives, the same at each call, and by nothing else, and is open until it has sent the final response.
    """

    request_id: str
    correlation_id: int | str
    flags: int
    priority: int
    timeout_us: int
    batch_size: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    traceparent: str
    is_cancelled: Callable[[], bool]
    open_sender: Callable[[], Sender]
    is_borrowed: bool = False


class Response(NamedTuple):
    """The answer to one request: outputs or an error. Outputs may be views of inputs, or of what the model may write to
    later: they are copied on the instance's thread before anything else is called. Those given as `bytes` or read-only
    (and not views of inputs) must never change, and are copied only where they have to be."""

    outputs: tuple[Tensor, ...]
    parameters: Mapping[str, Parameter]
    error: ShoalError | None


class Execution(NamedTuple):
    """What `execute` gives: one response per request in order (None for one that has a sender), and readings of
    `time.monotonic_ns()` at the end of input handling and at the start of output handling (Triton's COMPUTE_INPUT_END
    and COMPUTE_OUTPUT_START)."""

    responses: Sequence[Response | None]
    input_end_ns: int
    output_start_ns: int


def load_backend(entry_point: str) -> type[Backend]:
    """The class behind `module:class`, as an entry point spells it. Raises what importing raises."""
    module, _, name = entry_point.partition(":")
    backend: type[Backend] = getattr(importlib.import_module(module), name)
    return backend


class Backend(ABC):
    """One object per instance. All methods of one object are called from one thread."""

    #: One process for each instance (and that process's main thread executes), instead of one for the backend.
    process_per_instance: ClassVar[bool] = False

    #: Instances that a KIND_CPU group has when its `count` is not given.
    default_cpu_count: ClassVar[int] = 1

    #: Top-level modules of the framework; a worker that cannot find one of them does not offer the backend.
    requires: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def is_complete(cls, source: ModelSource) -> bool:
        """Whether `signature` would leave this configuration as it is, so that no child has to be asked. Called by the
        agent: it must not import the framework, nor run anything of the model's."""
        return False

    @classmethod
    @abstractmethod
    def signature(cls, source: ModelSource) -> dict[str, Any]:
        """The configuration's JSON form, completed from the model (`max_batch_size`, `input`, `output`, a scheduler,
        the transaction policy; nothing else may change). Raises ShoalError with the reason when the model and its
        configuration do not fit or the model cannot be read. Called in a child process of its own."""

    @abstractmethod
    def load(self, source: ModelSource, instance: InstanceSpec) -> None:
        """Make this object ready to execute. Raises ShoalError (or anything: it becomes INTERNAL) when it cannot."""

    @abstractmethod
    def execute(self, requests: Sequence[Request]) -> Execution:
        """Execute one batch. An exception fails every request of it that has not ended (INTERNAL, unless it is a
        ShoalError). The instance is given the next batch when this returns, whatever senders are still open."""

    def let_go(self) -> None:  # noqa: B027 - most backends need not do anything
        """See that nothing refers to the borrowed inputs of the last execution any more; called after its outputs were
        copied, on the same thread. For backends that keep none, and whose models cannot, there is nothing to do."""

    @abstractmethod
    def unload(self) -> None:
        """Give everything back; called once, after the last execution."""
