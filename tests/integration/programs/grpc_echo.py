"""A gRPC endpoint in front of a gateway that needs no broker: what the tests and the benchmark of the transports run.

`python grpc_echo.py --grpc-transport=envoy|grpcio --grpc-port=N`. Models: `echo` gives its inputs back, `late` does so
after half a second, `slow` never answers, `decoupled` gives every element of its input in a response of its own,
`endless` gives 64 KiB after 64 KiB, `cancelled` answers how many calls of `slow` were cancelled, `taken` how many
responses of `endless` were taken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from shoal.core.errors import NotFound, Unavailable, Unsupported
from shoal.core.model_config import from_json
from shoal.core.tensors import Tensor
from shoal.gateway.access.access import Access
from shoal.gateway.access.opening import open_access
from shoal.gateway.access.options import add_access_options
from shoal.gateway.grpc.choose import choose
from shoal.gateway.grpc.envoy_process import EnvoyApp, EnvoyEndpoint, become_envoy
from shoal.gateway.grpc.options import add_grpc_options, grpc_options
from shoal.gateway.header_forwarding import HeaderForwarding, header_forwarding
from shoal.gateway.model_control import LoadOverrides
from shoal.gateway.models import ServedVersion
from shoal.gateway.regions import Regions
from shoal.gateway.request import InferAnswer, InferCall, StreamedAnswer
from shoal.gateway.scattered import contiguous
from shoal.runtime.lifecycle import Lifecycle
from shoal.runtime.parent_death import die_with_parent
from shoal.runtime.service import EXIT_ENVIRONMENT, EnvironmentTrouble, configure_logs, run_to_exit_code
from shoal.telemetry.trace_settings import Changes

_ARGUMENTS = "GRPC_ECHO_ARGUMENTS"


def _config(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "backend": "echo",
        "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
        "output": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
        "model_transaction_policy": {"decoupled": name in ("decoupled", "endless")},
    }


_SERVED = {
    name: ServedVersion(name, 1, "0" * 16, from_json(_config(name)), {})
    for name in ("echo", "late", "slow", "decoupled", "endless", "cancelled", "taken")
}


class _NothingShared:
    """No other gateway, and nothing to share."""

    def watch(self, prefix: str, on_change: Callable[[str, bytes | None], None]) -> None:
        return

    async def create(self, key: str, value: bytes) -> bool:
        return False

    async def delete(self, *keys: str) -> None:
        return

    async def refresh(self) -> None:
        return


class EchoGateway:
    """The gateway's interface on top of nothing."""

    def __init__(self, access: Access, forwarding: HeaderForwarding | None) -> None:
        self.is_draining = False
        self.access = access
        self.header_forwarding = forwarding
        self.regions = Regions(_NothingShared(), is_allowed=False)
        self._cancelled = 0
        self._taken = 0

    async def freshen(self, name: str, version: int | None) -> None:
        return

    async def look_up(self, name: str, version: int | None) -> ServedVersion:
        served = _SERVED.get(name)
        if served is None or version not in (None, 1):
            raise NotFound(f"Request for unknown model: '{name}' is not found")
        return served

    async def infer(self, call: InferCall) -> InferAnswer:
        outputs = tuple(map(contiguous, call.inputs))
        if call.model == "slow":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self._cancelled += 1
                raise
        elif call.model == "late":
            await asyncio.sleep(0.5)
        elif call.model == "cancelled":
            outputs = (Tensor("COUNT", "INT64", (1,), np.int64(self._cancelled).tobytes()),)
        elif call.model == "taken":
            outputs = (Tensor("COUNT", "INT64", (1,), np.int64(self._taken).tobytes()),)
        return InferAnswer(call.model, 1, call.request_id, outputs, call.parameters)

    async def stream(self, call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        if call.model == "decoupled":
            for value in np.frombuffer(contiguous(call.inputs[0]).data, "<f4"):
                yield StreamedAnswer(_answer(call, np.array([value])), None, False)
            yield StreamedAnswer(None, None, True)
        elif call.model == "endless":
            piece = np.random.default_rng(0).random(2**14, dtype=np.float32)  # not compressible
            while True:
                await asyncio.sleep(0)
                yield StreamedAnswer(_answer(call, piece), None, False)
                self._taken += 1
        else:
            yield StreamedAnswer(await self.infer(call), None, True)

    def server_live(self) -> bool:
        return True

    def server_ready(self) -> bool:
        return not self.is_draining

    def model_ready(self, name: str, version: int | None) -> bool:
        return name in _SERVED

    def server_metadata(self) -> dict[str, Any]:
        return {"name": "echo", "version": "1", "extensions": []}

    def metadata(self, name: str, version: int | None) -> dict[str, Any]:
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [-1]}
        return {"name": name, "versions": ["1"], "platform": "echo", "inputs": [tensor], "outputs": [tensor]}

    def config(self, name: str, version: int | None) -> Mapping[str, Any]:
        return _SERVED[name].config.raw

    def index(self, ready: bool) -> list[dict[str, str]]:
        return [{"name": name, "version": "1", "state": "READY"} for name in _SERVED]

    async def load(self, name: str, overrides: LoadOverrides) -> None:
        raise Unavailable("nothing is loaded here")

    async def unload(self, name: str, with_dependents: bool) -> None:
        raise Unavailable("nothing is unloaded here")

    async def change_log_settings(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        raise Unsupported("nothing is logged here")

    async def change_trace_settings(self, model: str | None, changes: Changes) -> dict[str, str | list[str]]:
        raise Unsupported("nothing is traced here")

    async def statistics(self, name: str | None, version: int | None) -> list[dict[str, Any]]:
        return [{"name": name or "echo", "version": "1", "inference_count": 3}]


def _answer(call: InferCall, values: np.ndarray[Any, np.dtype[np.float32]]) -> InferAnswer:
    tensor = Tensor("INPUT0", "FP32", values.shape, values.tobytes())
    return InferAnswer(call.model, 1, call.request_id, (tensor,), {})


@asynccontextmanager
async def _gateway(arguments: argparse.Namespace) -> AsyncIterator[EchoGateway]:
    async with open_access(arguments) as access:
        yield EchoGateway(access, header_forwarding(arguments.metadata_pattern))


async def _through_envoy(endpoint: EnvoyEndpoint, lifecycle: Lifecycle) -> None:
    configure_logs()
    arguments = argparse.Namespace(**json.loads(os.environ[_ARGUMENTS]))
    async with _gateway(arguments) as gateway:
        await endpoint.serve(grpc_options(arguments), gateway, lifecycle)


app = EnvoyApp(_through_envoy)


async def _through_grpcio(arguments: argparse.Namespace) -> int:
    from shoal.gateway.grpc.server import serve

    lifecycle = Lifecycle()
    lifecycle.install(asyncio.get_running_loop())
    async with _gateway(arguments) as gateway:
        await serve(arguments, gateway, lifecycle)
    return 0


def main() -> int:
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.set_defaults(protocol="grpc")
    add_grpc_options(parser)
    add_access_options(parser)
    arguments = parser.parse_args()
    configure_logs()
    try:
        envoy = choose(arguments.grpc_transport).envoy
        if envoy is not None:
            become_envoy(grpc_options(arguments), envoy, "grpc_echo:app", {_ARGUMENTS: json.dumps(vars(arguments))})
    except EnvironmentTrouble as trouble:
        sys.stderr.write(f"{trouble}\n")
        return EXIT_ENVIRONMENT
    return run_to_exit_code("gateway", _through_grpcio(arguments))


if __name__ == "__main__":
    sys.exit(main())
