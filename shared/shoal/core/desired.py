"""Desired state: which generation of which model should be loaded. Written by the repository alone.

One key-value entry per model in bucket `desired`, keyed by the escaped model name. A generation is an immutable
snapshot of the model's directory: same name, same content.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack

from shoal.core.errors import InternalError

#: Nothing above this size is a key-value entry.
ENTRY_LIMIT_BYTES = 64 * 1024

#: In `failed_versions`: the model itself failed and the index lists it all the same, UNAVAILABLE and without a version,
#: as Triton does with a name that two repositories have.
NO_VERSION = -1


class VersionEntry(NamedTuple):
    """One version to be served: its completed configuration (JSON form) and label files by output name."""

    config: dict[str, Any]
    labels: dict[str, list[str]]


class ModelEntry(NamedTuple):
    """What should be loaded of one model.

    `versions` is empty while the configuration is being completed and when the model cannot be served; then `reason`
    says why, in the index's form `<Code>: <message>`, and `failed_versions` are those the policy had chosen (none when
    the failure came before). `path` is the model's directory as the workers see it. `backend_config` holds the
    `--backend-config` settings for its backend.
    """

    schema: int
    model: str
    generation: str
    path: str
    backend: str
    versions: dict[int, VersionEntry]
    failed_versions: tuple[int, ...]
    reason: str
    backend_config: dict[str, str]


class RepositoryStatus(NamedTuple):
    """Entry of bucket `repository`, key `status`: `settled` once every model of the start was examined; `models` are
    the names that the repositories hold now; `reason` tells of trouble with a whole repository."""

    schema: int
    settled: bool
    models: tuple[str, ...]
    reason: str


def encode(entry: ModelEntry | RepositoryStatus) -> bytes:
    packed: bytes = msgpack.packb(entry)
    return packed


def decode_model(data: bytes) -> ModelEntry:
    fields = msgpack.unpackb(data, use_list=True, strict_map_key=False)
    _expect_schema(fields[0])
    fields[5] = {version: VersionEntry._make(entry) for version, entry in fields[5].items()}
    fields[6] = tuple(fields[6])
    return ModelEntry._make(fields)


def decode_status(data: bytes) -> RepositoryStatus:
    schema, settled, models, reason = msgpack.unpackb(data, use_list=True)
    _expect_schema(schema)
    return RepositoryStatus(schema, settled, tuple(models), reason)


def _expect_schema(schema: int) -> None:
    if schema != 1:
        raise InternalError(f"desired state of schema {schema}, expected 1; are all processes of one release?")
