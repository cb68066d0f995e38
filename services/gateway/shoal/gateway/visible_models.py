"""The models as one caller may see them: what is hidden is as unknown as what does not exist, in every answer."""

from __future__ import annotations

from shoal.gateway.access.caller import Caller
from shoal.gateway.models import Models, ServedVersion


class VisibleModels:
    """Has the questions of `Models`, and the same answers for what the caller sees."""

    __slots__ = ("_caller", "_models")

    def __init__(self, models: Models, caller: Caller) -> None:
        self._models = models
        self._caller = caller

    def find(self, name: str, version: int | None) -> ServedVersion | None:
        return self._of(name).find(name, version)

    def resolve(self, name: str, version: int | None) -> ServedVersion:
        return self._of(name).resolve(name, version)

    def is_ready(self, name: str, version: int | None) -> bool:
        return self._of(name).is_ready(name, version)

    def ready_versions(self, name: str) -> list[int]:
        return self._of(name).ready_versions(name)

    def for_statistics(self, name: str | None, version: int | None) -> list[ServedVersion]:
        if name is not None:
            return self._of(name).for_statistics(name, version)
        return [served for served in self._models.for_statistics(None, None) if self._caller.sees(served.model)]

    def index(self, only_ready: bool) -> list[dict[str, str]]:
        return [row for row in self._models.index(only_ready) if self._caller.sees(row["name"])]

    def _of(self, name: str) -> Models:
        return self._models if self._caller.sees(name) else _NOTHING


#: What a caller sees of a name that is hidden.
_NOTHING = Models()
