"""One inference call and its answer, the same for HTTP and gRPC."""

from __future__ import annotations

from typing import NamedTuple

from shoal.core.errors import ShoalError
from shoal.core.messages import Parameter
from shoal.core.tensors import Tensor
from shoal.gateway.scattered import Input


class InferCall(NamedTuple):
    """What a client asked for, as parsed by a protocol; not yet checked against the model.

    `version` None means the highest ready one. `deadline_s` is a reading of `time.monotonic()` or None. Each input's
    `data` is in wire form (BYTES elements length-prefixed) and may be views of the client's body, which stays
    referenced until the request is closed, or copied into shared memory; `region_nbytes` of them are still to be read
    from clients' regions. `outputs` empty means every output of the model.
    """

    model: str
    version: int | None
    request_id: str
    correlation_id: int | str
    flags: int
    priority: int
    timeout_us: int
    deadline_s: float | None
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    parameters: dict[str, Parameter]
    traceparent: str
    region_nbytes: int = 0


class InferAnswer(NamedTuple):
    """A successful answer. Outputs are in the model's order (or the order asked for), `data` in wire form: views of the
    answer's message, or bytes, in any case for the receiver to keep."""

    model: str
    version: int
    request_id: str
    outputs: tuple[Tensor, ...]
    parameters: dict[str, Parameter]


class StreamedAnswer(NamedTuple):
    """One response of a request: an answer or an error. With neither, the model ended the request without a further
    response (Triton's empty final); `is_final` is True then, and for the last of any other."""

    answer: InferAnswer | None
    error: ShoalError | None
    is_final: bool
