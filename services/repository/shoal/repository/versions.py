"""Which versions of a model are served: version directories and the version policy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from shoal.core.errors import InvalidArgument

_VERSION = re.compile(r"0|[1-9][0-9]*")
_NOT_VERSIONS = frozenset({"warmup", "initial_state", "configs"})
_MAX_VERSION = 2**63 - 1


class VersionFolders(NamedTuple):
    """Numbers found, ascending, and folder names that look like a mistake."""

    versions: tuple[int, ...]
    ignored: tuple[str, ...]


class NoVersion(InvalidArgument):
    """The policy leaves nothing to serve; Triton's index does not list such a model at all."""


def find(folders: Iterable[str]) -> VersionFolders:
    """Sort a model's folders into versions and others. A version has no leading zero."""
    versions, ignored = [], []
    for name in folders:
        if _VERSION.fullmatch(name) and int(name) <= _MAX_VERSION:
            versions.append(int(name))
        elif name not in _NOT_VERSIONS:
            ignored.append(name)
    return VersionFolders(tuple(sorted(versions)), tuple(ignored))


def choose(model: str, policy: dict[str, Any], versions: tuple[int, ...]) -> tuple[int, ...]:
    """The versions that a normalised `version_policy` serves, ascending. Raises NoVersion when none is left."""
    if "specific" in policy:
        wanted = set(policy["specific"]["versions"])
        chosen = tuple(version for version in versions if version in wanted)
    elif "latest" in policy:
        count = policy["latest"]["num_versions"]
        chosen = versions[-count:] if count else ()
    else:
        chosen = versions
    if not chosen:
        found = ", ".join(map(str, versions)) or "none"
        raise NoVersion(
            f"at least one version must be available under the version policy of model '{model}'"
            f" (version directories found: {found})"
        )
    return chosen
