from __future__ import annotations

import msgpack
import pytest

from shoal.core.desired import ModelEntry, RepositoryStatus, VersionEntry, decode_model, decode_status, encode
from shoal.core.errors import InternalError

ENTRY = ModelEntry(
    schema=1,
    model="digits",
    generation="00112233445566ff",
    path="/models/digits",
    backend="onnxruntime",
    versions={3: VersionEntry({"name": "digits", "input": [{"dims": [-1, 64]}]}, {"y": ["zero", "one"]})},
    failed_versions=(1, 2),
    reason="",
    backend_config={"default-max-batch-size": "4"},
)


def test_an_entry_survives_the_store() -> None:
    read = decode_model(encode(ENTRY))
    assert read == ENTRY
    assert isinstance(read.versions[3], VersionEntry)


def test_a_status_survives_the_store() -> None:
    status = RepositoryStatus(1, True, ("a", "b"), "Internal: /models is away")
    assert decode_status(encode(status)) == status


def test_entries_of_another_schema_are_refused() -> None:
    with pytest.raises(InternalError, match="desired state of schema 2, expected 1; are all processes of one release"):
        decode_model(encode(ENTRY._replace(schema=2)))
    with pytest.raises(InternalError, match="desired state of schema 2"):
        decode_status(msgpack.packb((2, True, [], "")))
