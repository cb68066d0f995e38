"""The four official clients, behind one way to call them: what one of them awaits, another returns."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio

from client_models import write_models
from shoal_server import Server

Array = npt.NDArray[Any]

NUMPY: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}


@dataclass(frozen=True)
class Flavor:
    """One of the clients. `module` has the classes of its tensors; tritonclient has no types, hence `Any`."""

    name: str
    module: Any
    client: Any
    is_grpc: bool

    @property
    def methods(self) -> list[str]:
        """Names of the public methods."""
        return [name for name, _ in inspect.getmembers(self.client, callable) if not name.startswith("_")]

    def url(self, server: Server) -> str:
        return f"127.0.0.1:{server.grpc_port if self.is_grpc else server.http_port}"


HTTP = Flavor("http", tritonclient.http, tritonclient.http.InferenceServerClient, False)
HTTP_AIO = Flavor("http.aio", tritonclient.http, tritonclient.http.aio.InferenceServerClient, False)
GRPC = Flavor("grpc", tritonclient.grpc, tritonclient.grpc.InferenceServerClient, True)
GRPC_AIO = Flavor("grpc.aio", tritonclient.grpc, tritonclient.grpc.aio.InferenceServerClient, True)
FLAVORS = (HTTP, HTTP_AIO, GRPC, GRPC_AIO)


class Client:
    """A connected client of one flavor. `called` are the methods that were called."""

    def __init__(self, flavor: Flavor, client: Any, server: Server) -> None:
        self.flavor = flavor
        self.server = server
        self.called: set[str] = set()
        self._client = client

    async def call(self, method: str, *given: Any, **named: Any) -> Any:
        """Call a method and await what it returns, where it is to be awaited. Messages come as dictionaries."""
        self.called.add(method)
        function = getattr(self._client, method)
        if "as_json" in inspect.signature(function).parameters:
            named.setdefault("as_json", True)
        result = function(*given, **named)
        return await result if inspect.isawaitable(result) else result

    def tensor(self, name: str, datatype: str, values: Any, **how: Any) -> Any:
        """An input with these values; `how` goes to `set_data_from_numpy`."""
        array = np.asarray(values, NUMPY[datatype])
        tensor = self.flavor.module.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, **how)
        return tensor

    def output(self, name: str, **how: Any) -> Any:
        """A requested output; `how` goes to its class."""
        return self.flavor.module.InferRequestedOutput(name, **how)

    async def identity(self, datatype: str, values: Any, **more: Any) -> Array:
        """Have model `identity` give the values back."""
        inputs, outputs = [self.tensor(f"IN_{datatype}", datatype, values)], [self.output(f"OUT_{datatype}")]
        result = await self.call("infer", "identity", inputs, outputs=outputs, **more)
        array: Array = result.as_numpy(f"OUT_{datatype}")
        return array

    def delayed(self, ms: int) -> Sequence[Any]:
        """Inputs with which model `delay` answers after so long."""
        return [self.tensor("MS", "INT32", [ms])]

    def countdown(self, count: int, gap_ms: int = 0) -> Sequence[Any]:
        """Inputs with which model `countdown` answers so often."""
        return [self.tensor("COUNT", "INT32", [count]), self.tensor("GAP_MS", "INT32", [gap_ms])]


@asynccontextmanager
async def connected(flavor: Flavor, server: Server, **options: Any) -> AsyncIterator[Client]:
    """A client of a server; `options` go to its class."""
    client = Client(flavor, flavor.client(flavor.url(server), **options), server)
    try:
        yield client
    finally:
        await client.call("close")


@contextmanager
def running(folder: Path, *flags: str, delay_instances: int = 2) -> Iterator[Server]:
    """A server with the models of `client_models`, written to a folder of the test's."""
    models = folder / "models"
    write_models(models, delay_instances)
    # A short name: Unix sockets below it must have less than 108 bytes.
    with (
        tempfile.TemporaryDirectory() as temporary,
        Server(Path(temporary), "--allow-client-shm=true", *flags, models=models) as server,
    ):
        server.wait_until_started()
        yield server
