"""The official clients with shared memory of their own, against a whole server."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import serialize_byte_tensor, shared_memory

from python_models import add_model
from shoal_server import Server

pytestmark = pytest.mark.slow

MIB = 2**20
LARGE_NBYTES = 64 * MIB
#: The two regions of a large request, its input in the gateway's memory and its output in the executor's, with room.
NEEDED_NBYTES = 6 * LARGE_NBYTES

CONFIG = """
backend: "python"
input [ {{ name: "IN" data_type: {data_type} dims: [ -1 ] }} ]
output [ {{ name: "OUT" data_type: {data_type} dims: [ -1 ] }} ]
"""
MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        given = [pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", each[::-1].copy())]) for each in given]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as models:
        add_model(Path(models), "numbers", CONFIG.format(data_type="TYPE_FP32"), MODEL)
        add_model(Path(models), "texts", CONFIG.format(data_type="TYPE_STRING"), MODEL)
        with Server(Path(folder), "--allow-client-shm=true", models=Path(models)) as server:
            server.wait_until_started()
            yield server


class Memory:
    """A client's shared-memory object, registered under its own name."""

    def __init__(self, nbytes: int) -> None:
        self.name = f"test-client-{uuid4().hex}"
        self.nbytes = nbytes
        self.handle = shared_memory.create_shared_memory_region(self.name, f"/{self.name}", nbytes)

    def put(self, values: np.ndarray[Any, Any], offset: int = 0) -> None:
        shared_memory.set_shared_memory_region(self.handle, [values], offset)

    def get(self, dtype: Any, shape: list[int], offset: int = 0) -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = shared_memory.get_contents_as_numpy(self.handle, dtype, shape, offset)
        return found

    def destroy(self) -> None:
        shared_memory.destroy_shared_memory_region(self.handle)


@pytest.fixture
def memory(request: pytest.FixtureRequest) -> Iterator[Memory]:
    """Of 64 KiB, or of as many bytes as the test says."""
    made = Memory(getattr(request, "param", 64 * 1024))
    yield made
    made.destroy()


def place_tensors(library: Any, memory: Memory, datatype: str, count: int, nbytes: int) -> tuple[list[Any], list[Any]]:
    """A request's input at the start of the memory, its output right behind."""
    given = library.InferInput("IN", [count], datatype)
    given.set_shared_memory(memory.name, nbytes)
    wanted = library.InferRequestedOutput("OUT")
    wanted.set_shared_memory(memory.name, memory.nbytes - nbytes, nbytes)
    return [given], [wanted]


def clients(server: Server) -> list[tuple[Any, Any]]:
    """The blocking clients with the module that each belongs to."""
    return [
        (tritonclient.http, tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http_port}")),
        (tritonclient.grpc, tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")),
    ]


def asynchronous_clients(server: Server) -> list[tuple[Any, Any]]:
    return [
        (tritonclient.http, tritonclient.http.aio.InferenceServerClient(f"127.0.0.1:{server.http_port}")),
        (tritonclient.grpc, tritonclient.grpc.aio.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")),
    ]


def names(status: Any) -> set[str]:
    return {row["name"] for row in status} if isinstance(status, list) else set(status.regions)


def test_the_blocking_clients(server: Server, memory: Memory) -> None:
    values = np.arange(5000, dtype=np.float32)
    for library, client in clients(server):
        with client:
            client.register_system_shared_memory(memory.name, f"/{memory.name}", memory.nbytes)
            assert memory.name in names(client.get_system_shared_memory_status())
            memory.put(values)
            inputs, outputs = place_tensors(library, memory, "FP32", 5000, 20_000)
            client.infer("numbers", inputs, outputs=outputs)
            assert np.array_equal(memory.get(np.float32, [5000], 20_000), values[::-1])
            client.unregister_system_shared_memory(memory.name)
            assert memory.name not in names(client.get_system_shared_memory_status())


async def test_the_asynchronous_clients(server: Server, memory: Memory) -> None:
    values = np.arange(5000, dtype=np.float32)
    for library, client in asynchronous_clients(server):
        async with client:
            await client.register_system_shared_memory(memory.name, f"/{memory.name}", memory.nbytes)
            assert memory.name in names(await client.get_system_shared_memory_status())
            memory.put(values)
            inputs, outputs = place_tensors(library, memory, "FP32", 5000, 20_000)
            await client.infer("numbers", inputs, outputs=outputs)
            assert np.array_equal(memory.get(np.float32, [5000], 20_000), values[::-1])
            await client.unregister_system_shared_memory(memory.name)
            assert memory.name not in names(await client.get_system_shared_memory_status())


def test_texts(server: Server, memory: Memory) -> None:
    texts = np.array([b"", b"a" * 5000, "\u00e9".encode()], dtype=np.object_)
    serialized = serialize_byte_tensor(texts)
    nbytes = len(serialized.item())
    for library, client in clients(server):
        with client:
            client.register_system_shared_memory(memory.name, f"/{memory.name}", memory.nbytes)
            memory.put(serialized)
            inputs, outputs = place_tensors(library, memory, "BYTES", 3, nbytes)
            client.infer("texts", inputs, outputs=outputs)
            assert list(memory.get(np.object_, [3], nbytes)) == list(texts[::-1])
            client.unregister_system_shared_memory()


@pytest.mark.parametrize("memory", [2 * LARGE_NBYTES], indirect=True)
def test_large_tensors_both_ways(server: Server, memory: Memory) -> None:
    found = os.statvfs("/dev/shm")
    if found.f_bavail * found.f_frsize < NEEDED_NBYTES:
        pytest.skip(f"/dev/shm has less than {NEEDED_NBYTES} bytes free")
    values = np.random.default_rng(7).random(LARGE_NBYTES // 4, dtype=np.float32)
    for library, client in clients(server):
        with client:
            client.register_system_shared_memory(memory.name, f"/{memory.name}", memory.nbytes)
            memory.put(values)
            inputs, outputs = place_tensors(library, memory, "FP32", len(values), LARGE_NBYTES)
            client.infer("numbers", inputs, outputs=outputs)
            assert np.array_equal(memory.get(np.float32, [len(values)], LARGE_NBYTES), values[::-1])
            memory.put(np.zeros(len(values), np.float32), LARGE_NBYTES)
            client.unregister_system_shared_memory(memory.name)
