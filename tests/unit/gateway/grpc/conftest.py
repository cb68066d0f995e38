"""A gateway in memory, for tests of the gRPC part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from local_shared import LocalShared
from shoal.core.errors import InvalidArgument, NotFound
from shoal.core.model_config import from_json
from shoal.gateway.access.access import OPEN
from shoal.gateway.header_forwarding import HeaderForwarding
from shoal.gateway.log_control import LogControl
from shoal.gateway.model_control import LoadOverrides
from shoal.gateway.models import ServedVersion
from shoal.gateway.regions import Regions
from shoal.gateway.request import InferAnswer, InferCall, StreamedAnswer
from shoal.gateway.scattered import contiguous
from shoal.gateway.trace_control import TraceControl
from shoal.telemetry.log_settings import LogSettings
from shoal.telemetry.trace_settings import Changes, TraceSettings


class GatewayDouble:
    """Holds models by name, answers a call with its inputs, remembers the calls and what was freshened, loaded
    and unloaded.

    `failure` is raised by `infer` instead; with `silent` it never answers, and counts what was cancelled. A stream
    gives what `infer` gives, or for a model in `scripts` what its script does.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self.access = OPEN
        self.header_forwarding: HeaderForwarding | None = None
        shared = LocalShared()
        self.regions = Regions(shared, is_allowed=True)
        self._log = LogControl(shared, LogSettings(), "server.log")
        self._trace = TraceControl(shared, TraceSettings(file="trace.json"))
        self.configs: dict[str, dict[str, Any]] = {}
        self.calls: list[InferCall] = []
        self.freshened: list[tuple[str, int | None]] = []
        self.loaded: list[tuple[str, LoadOverrides]] = []
        self.unloaded: list[tuple[str, bool]] = []
        self.failure: Exception | None = None
        self.silent = False
        self.cancelled = 0
        self.scripts: dict[str, Callable[[InferCall], AsyncGenerator[StreamedAnswer, None]]] = {}

    def add_model(self, name: str, **more: Any) -> None:
        tensor = {"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]}
        self.configs[name] = {"name": name, "backend": "double", "input": [tensor], "output": [], **more}

    async def freshen(self, name: str, version: int | None) -> None:
        self.freshened.append((name, version))

    async def look_up(self, name: str, version: int | None) -> ServedVersion:
        return ServedVersion(name, 1, "g", from_json(self.config(name, version)), {})

    async def infer(self, call: InferCall) -> InferAnswer:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure
        if self.silent:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        outputs = tuple(map(contiguous, call.inputs))
        return InferAnswer(call.model, call.version or 1, call.request_id, outputs, {"seen": True})

    async def stream(self, call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        script = self.scripts.get(call.model)
        if script is None:
            yield StreamedAnswer(await self.infer(call), None, True)
            return
        self.calls.append(call)
        async with aclosing(script(call)) as answers:
            del call
            async for answer in answers:
                yield answer

    def server_live(self) -> bool:
        return True

    def server_ready(self) -> bool:
        return not self.is_draining

    def model_ready(self, name: str, version: int | None) -> bool:
        return name in self.configs

    def server_metadata(self) -> dict[str, Any]:
        return {"name": "double", "version": "9", "extensions": ["statistics"]}

    def metadata(self, name: str, version: int | None) -> dict[str, Any]:
        self.config(name, version)
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [-1, 3]}
        return {"name": name, "versions": ["1", "2"], "platform": "p", "inputs": [tensor], "outputs": []}

    def config(self, name: str, version: int | None) -> Mapping[str, Any]:
        if name not in self.configs:
            raise NotFound(f"Request for unknown model: '{name}' is not found")
        return self.configs[name]

    def index(self, ready: bool) -> list[dict[str, str]]:
        rows = [{"name": "a", "version": "1", "state": "READY"}, {"name": "b"}]
        return rows[:1] if ready else rows

    async def load(self, name: str, overrides: LoadOverrides) -> None:
        self.loaded.append((name, overrides))

    async def unload(self, name: str, with_dependents: bool) -> None:
        self.unloaded.append((name, with_dependents))

    async def change_log_settings(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        await self._log.update(changes)
        return self._log.current()

    async def change_trace_settings(self, model: str | None, changes: Changes) -> dict[str, str | list[str]]:
        await self._trace.update(model, changes)
        return self._trace.current(model).to_json()

    async def statistics(self, name: str | None, version: int | None) -> list[dict[str, Any]]:
        if name is not None and name not in self.configs:
            raise InvalidArgument(f"requested model '{name}' is not available")
        success = {"count": 2, "ns": 2**40}
        return [{"name": name or "every", "version": "1", "inference_stats": {"success": success}, "batch_stats": []}]


@pytest.fixture
def gateway() -> GatewayDouble:
    double = GatewayDouble()
    double.add_model("m")
    return double
