"""A backend that does nothing, for tests that need a class or a base for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shoal.workers.backend import Backend, Execution, InstanceSpec, ModelSource, Request, Response


class IdleBackend(Backend):
    """Loads anything, describes nothing, answers without outputs."""

    @classmethod
    def signature(cls, source: ModelSource) -> dict[str, Any]:
        return dict(source.config.raw)

    def load(self, source: ModelSource, instance: InstanceSpec) -> None:
        pass

    def execute(self, requests: Sequence[Request]) -> Execution:
        return Execution([Response((), {}, None) for _ in requests], 0, 0)

    def unload(self) -> None:
        pass
