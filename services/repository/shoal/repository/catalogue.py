"""Which models the repositories hold: one directory per model, names unique over all repositories."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple


class Catalogue(NamedTuple):
    """`directories` by model name; `duplicates` are names that more than one repository has (they are in no other
    field); `reason` tells which repositories could not be read, empty when all could."""

    directories: dict[str, str]
    duplicates: tuple[str, ...]
    reason: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted((*self.directories, *self.duplicates)))


def find(repositories: Iterable[str]) -> Catalogue:
    """Every model directory of these repositories. Blocks. Hidden folders are no models.

    A repository that is named twice counts once.
    """
    directories: dict[str, list[str]] = {}
    troubles: list[str] = []
    for repository in dict.fromkeys(map(os.path.abspath, repositories)):
        try:
            for name in _folders(repository):
                directories.setdefault(name, []).append(os.path.join(repository, name))
        except OSError as error:
            troubles.append(f"repository '{repository}' cannot be read: {error.strerror}")
    return Catalogue(
        {name: found[0] for name, found in sorted(directories.items()) if len(found) == 1},
        tuple(sorted(name for name, found in directories.items() if len(found) > 1)),
        "; ".join(troubles),
    )


def _folders(repository: str) -> list[str]:
    with os.scandir(repository) as entries:
        return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
