"""Entries of desired state for what becomes of a model."""

from __future__ import annotations

from shoal.core.desired import ENTRY_LIMIT_BYTES, NO_VERSION, ModelEntry, VersionEntry, encode
from shoal.core.errors import ShoalError, Unsupported
from shoal.core.messages import V1
from shoal.repository.draft import Draft

#: Of a reason, which may be an exception's text and then of any size; leaves room for the rest of an entry.
_REASON_LIMIT_BYTES = 16 * 1024


def served(draft: Draft, versions: dict[int, VersionEntry]) -> ModelEntry:
    """All versions are to be loaded; fails, as `failed` does, when the entry is larger than entries may be."""
    entry = _of(draft)._replace(versions=versions)
    nbytes = len(encode(entry))
    if nbytes <= ENTRY_LIMIT_BYTES:
        return entry
    error = Unsupported(
        f"model '{draft.model}': configuration and labels take {nbytes} bytes, more than the {ENTRY_LIMIT_BYTES} that"
        " can be published; use shorter label files or serve fewer versions"
    )
    return failed(draft, dict.fromkeys(versions, error))


def failed(draft: Draft, errors: dict[int, ShoalError]) -> ModelEntry:
    """Versions that the policy chose cannot be served; `errors` has at least one. The first one's error is the reason.

    Versions load together or not at all, so those without an error of their own are not listed.
    """
    return _of(draft)._replace(failed_versions=tuple(sorted(errors)), reason=_reason(errors[min(errors)]))


def without_versions(model: str, directory: str, error: ShoalError) -> ModelEntry:
    """The model failed before it had versions; the index shows no more than its name."""
    return _empty(model, directory)._replace(reason=_reason(error))


def duplicate(model: str) -> ModelEntry:
    """Several repositories have this model, so nobody knows which one is meant."""
    reason = "model appears in two or more repositories"
    return _empty(model, "")._replace(failed_versions=(NO_VERSION,), reason=reason)


def being_examined(model: str, directory: str) -> ModelEntry:
    return _empty(model, directory)


def is_current(entry: ModelEntry, draft: Draft) -> bool:
    """Whether an entry that is published already says what examining this draft would find out."""
    return (
        entry.generation == draft.generation
        and entry.path == draft.directory
        and not entry.reason
        and tuple(sorted(entry.versions)) == draft.versions
    )


def _of(draft: Draft) -> ModelEntry:
    return _empty(draft.model, draft.directory)._replace(
        generation=draft.generation, backend=draft.backend, backend_config=draft.backend_config
    )


def _empty(model: str, directory: str) -> ModelEntry:
    return ModelEntry(V1, model, "", directory, "", {}, (), "", {})


def _reason(error: ShoalError) -> str:
    """The reason as valid UTF-8 of bounded size."""
    encoded = error.reason().encode("utf-8", "backslashreplace")
    if len(encoded) <= _REASON_LIMIT_BYTES:
        return encoded.decode()
    return encoded[:_REASON_LIMIT_BYTES].decode("utf-8", "ignore") + " [...]"
