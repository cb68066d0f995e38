"""Whether a request's correlation id has the type that the model's sequence batching wants."""

from __future__ import annotations

from shoal.core.datatypes import from_config
from shoal.core.errors import InvalidArgument
from shoal.core.model_config import ModelConfig

_CORRELATION_ID = "CONTROL_SEQUENCE_CORRID"


def check_correlation_id(correlation_id: int | str, config: ModelConfig) -> None:
    """Raises InvalidArgument when a text meets a numeric control tensor, or a number a BYTES one; 0 and "" are none."""
    if not correlation_id or not config.has_sequence_batching:
        return
    for tensor in config.raw["sequence_batching"].get("control_input", ()):
        for control in tensor.get("control", ()):
            if control.get("kind") != _CORRELATION_ID:
                continue
            expected = from_config(control.get("data_type", "TYPE_INVALID"))
            if isinstance(correlation_id, str) != (expected == "BYTES"):
                given = "BYTES" if isinstance(correlation_id, str) else "UINT64"
                raise InvalidArgument(
                    f"sequence batching control '{tensor['name']}' data-type is '{given}', but model "
                    f"'{config.name}' expects '{expected}'"
                )
