"""Entries of the gateways' shared state: small values, each with a stamp that tells its writing from every other one.

One key-value entry per value in bucket `gateways`, written by gateways alone. Two writings of equal values differ by
their stamps, so that an old one that comes back can be recognised.
"""

from __future__ import annotations

from secrets import token_bytes
from typing import NamedTuple

import msgpack

from shoal.core.errors import InternalError

#: The bucket of the gateways' shared state.
GATEWAYS = "gateways"
#: In it: what `/v2/logging` was told last, as JSON; every process of the deployment follows it.
LOG_SETTINGS_KEY = "settings/log"

_SCHEMA = 1
_STAMP_NBYTES = 8


class Stamped(NamedTuple):
    """A value and the stamp of its writing."""

    stamp: bytes
    value: bytes


def stamped(value: bytes) -> Stamped:
    """The value with a stamp that was never given before."""
    return Stamped(token_bytes(_STAMP_NBYTES), value)


def encode(entry: Stamped) -> bytes:
    data: bytes = msgpack.packb((_SCHEMA, *entry))
    return data


def decode(data: bytes) -> Stamped:
    """Raises InternalError for an entry of another release."""
    schema, *fields = msgpack.unpackb(data)
    if schema != _SCHEMA:
        raise InternalError(f"shared entry of schema {schema}, expected {_SCHEMA}; mixed releases?")
    return Stamped._make(fields)
