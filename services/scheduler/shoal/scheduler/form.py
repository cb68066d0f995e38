"""What requests of one batch must have in common, as one value per request that is compared.

An input is compared when one of its dimensions is variable and ragged batches are not allowed (its shape, without the
batch dimension), and when it is a shape tensor (its shape and its content). When any input of the model is optional,
all requests of a batch must have the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from shoal.core.model_config import ModelConfig
from shoal.core.tensors import Inline, TensorHeader, resolve
from shoal.scheduler.queued_request import QueuedRequest


def form_of(config: ModelConfig) -> Callable[[QueuedRequest], Hashable] | None:
    """A function from a request to its form; None when every request goes with every other."""
    contents = {spec.name for spec in config.inputs if spec.is_shape_tensor}
    shapes = {spec.name for spec in config.inputs if -1 in spec.dims and not spec.allow_ragged_batch} - contents
    has_optional = any(spec.optional for spec in config.inputs)
    if not (contents or shapes or has_optional):
        return None

    def form(entry: QueuedRequest) -> Hashable:
        parts: list[Hashable] = []
        for header in entry.request.inputs:
            name = header.name
            if name in shapes:
                parts.append((name, header.shape[1:]))
            elif name in contents:
                parts.append((name, header.shape, _content(entry, header)))
            elif has_optional:
                parts.append((name,))
        # Clients list inputs in any order.
        return frozenset(parts)

    return form


def _content(entry: QueuedRequest, header: TensorHeader) -> Hashable:
    # Submitters send the content of shape tensors in the message, however large. Where one did not, nobody here can say
    # what goes with it; its executor may refuse it.
    if not isinstance(header.ref, Inline):
        return entry.key
    return bytes(resolve(header, entry.part.payload).data)
