"""Which models the repositories hold: one directory per model, names unique over all repositories."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple


class Catalogue(NamedTuple):
    """`directories` by model name; `duplicates` are names that more than one repository has (they are in no other
    field); `reason` tells which repositories and folders could not be read, empty when all could."""

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
            for name in _folders(repository, troubles):
                directories.setdefault(name, []).append(os.path.join(repository, name))
        except OSError as error:
            troubles.append(f"repository '{repository}' cannot be read: {error.strerror}")
    return Catalogue(
        {name: found[0] for name, found in sorted(directories.items()) if len(found) == 1},
        tuple(sorted(name for name, found in directories.items() if len(found) > 1)),
        "; ".join(troubles),
    )


def _folders(repository: str, troubles: list[str]) -> list[str]:
    """Names of the models; a folder that cannot be one adds to `troubles` and hides no other."""
    names = []
    with os.scandir(repository) as entries:
        for entry in entries:
            shown = entry.path.encode("utf-8", "backslashreplace").decode()
            try:
                if entry.name.startswith(".") or not entry.is_dir():
                    continue
            except OSError as error:
                troubles.append(f"'{shown}' cannot be read: {error.strerror}")
                continue
            if shown == entry.path:
                names.append(entry.name)
            else:
                troubles.append(f"'{shown}' cannot be a model: its name is not UTF-8")
    return names
