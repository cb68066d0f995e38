"""Headers of a request for inference that become its parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable

from shoal.core.errors import InvalidArgument
from shoal.core.header_pattern import compile_header_pattern
from shoal.gateway.request import InferCall

_RESERVED = frozenset(
    {"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output"}
)
_RESERVED_PREFIX = "triton_"


class HeaderForwarding:
    """Forwards the headers whose names the pattern is found in (see `compile_header_pattern`)."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern

    def forward(self, call: InferCall, headers: Iterable[tuple[bytes, bytes]]) -> InferCall:
        """The call with the forwarded headers as texts among its parameters: over those of its body, the last one of a
        name. Raises InvalidArgument for a name that is reserved."""
        found: dict[str, str] = {}
        for raw_name, value in headers:
            name = raw_name.decode("latin-1")
            if not self._pattern.search(name):
                continue
            if name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIX):
                raise InvalidArgument(f"Header '{name}' is reserved for Triton usage and cannot be forwarded.")
            found[name] = _text(value)
        return call._replace(parameters={**call.parameters, **found}) if found else call


def header_forwarding(pattern: str) -> HeaderForwarding | None:
    """None for an empty pattern. Raises InvalidArgument when it is none."""
    compiled = compile_header_pattern(pattern)
    return None if compiled is None else HeaderForwarding(compiled)


def _text(value: bytes) -> str:
    # Parameters are texts all the way; a header is UTF-8 by good manners only.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
