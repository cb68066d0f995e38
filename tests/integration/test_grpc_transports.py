"""Both gRPC transports as real processes with the official client, in front of a gateway that needs no broker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as client
from tritonclient.utils import InferenceServerException

from grpc_echo_server import PROGRAM, Server, listening, start
from grpc_wire import Call, GrpcAnswer, GrpcClient
from http_wire import Ended

VALUES = np.arange(16, dtype=np.float32)


def shared_files() -> set[Path]:
    """What Envoy could leave behind in shared memory. There is no arena; those of other servers come and go."""
    return {path for path in Path("/dev/shm").iterdir() if not path.name.startswith("shoal-")}


@pytest.fixture(params=["envoy", "grpcio"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(transport: str) -> Iterator[Server]:
    with start(transport) as process:
        try:
            yield listening(process)
        finally:
            process.kill()


# tritonclient has no types.
@pytest.fixture
def triton(server: Server) -> Iterator[Any]:
    triton = client.InferenceServerClient(server.url)
    yield triton
    triton.close()


def tensor(values: np.ndarray[Any, np.dtype[np.float32]] = VALUES) -> list[Any]:
    given = client.InferInput("INPUT0", list(values.shape), "FP32")
    given.set_data_from_numpy(values)
    return [given]


def failure(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as caught:
        call()
    return caught.value.status(), caught.value.message()


def cancelled(triton: Any) -> int:
    return int(triton.infer("cancelled", tensor()).as_numpy("COUNT")[0])


def raw_call(server: Server, call: Call) -> GrpcAnswer | None:
    """The answer to a call that no client would send, None when the connection ended instead."""

    async def ask() -> GrpcAnswer | None:
        raw = GrpcClient(server.port)
        try:
            return (await raw.ask([call]))[0]
        except Ended:
            return None
        finally:
            await raw.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("body", [b"", b"\0\0", b"\0\0\0\0\x05abc"])
def test_a_call_that_ends_without_its_message_is_answered(server: Server, body: bytes) -> None:
    found = raw_call(server, Call(b"/inference.GRPCInferenceService/ModelInfer", body))
    assert found is not None and found.status == grpc.StatusCode.INTERNAL.value[0]


@pytest.mark.parametrize("path", [b"/\xff", b"/%ff"])
def test_a_path_that_is_no_text_harms_nobody_else(server: Server, triton: Any, path: bytes) -> None:
    raw_call(server, Call(path, b""))
    with grpc.insecure_channel(server.url) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
    assert triton.is_server_live()


def test_the_server_is_described(triton: Any, server: Server) -> None:
    assert triton.is_server_live() and triton.is_server_ready()
    assert triton.is_model_ready("echo") and not triton.is_model_ready("nobody")
    assert triton.get_server_metadata().name == "echo"
    assert triton.get_model_metadata("echo").inputs[0].name == "INPUT0"
    assert triton.get_model_config("echo").config.backend == "echo"
    assert triton.get_inference_statistics("echo").model_stats[0].inference_count == 3
    assert "late" in [row.name for row in triton.get_model_repository_index().models]
    with grpc.insecure_channel(server.url) as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5) == b"\x08\x01"


def test_tensors_come_back(triton: Any) -> None:
    result = triton.infer("echo", tensor(), request_id="r", parameters={"k": 3})
    np.testing.assert_array_equal(result.as_numpy("INPUT0"), VALUES)
    assert (result.get_response().id, result.get_response().parameters["k"].int64_param) == ("r", 3)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("elements", [16, 400_000])
def test_requests_may_be_compressed(triton: Any, algorithm: str, elements: int) -> None:
    values = np.random.default_rng(0).random(elements, dtype=np.float32)
    result = triton.infer("echo", tensor(values), compression_algorithm=algorithm)
    np.testing.assert_array_equal(result.as_numpy("INPUT0"), values)


@pytest.mark.slow
def test_a_tensor_of_32_mib_comes_back(triton: Any) -> None:
    values = np.random.default_rng(0).random(8 * 2**20, dtype=np.float32)
    np.testing.assert_array_equal(triton.infer("echo", tensor(values)).as_numpy("INPUT0"), values)


def test_errors_have_tritons_status_and_text(triton: Any, server: Server) -> None:
    assert failure(lambda: triton.infer("nobody", tensor())) == (
        "StatusCode.NOT_FOUND",
        "Request for unknown model: 'nobody' is not found",
    )
    assert failure(lambda: triton.infer("decoupled", tensor())) == (
        "StatusCode.UNIMPLEMENTED",
        "ModelInfer RPC doesn't support models with decoupled transaction policy",
    )
    assert failure(lambda: triton.load_model("echo")) == ("StatusCode.UNAVAILABLE", "nothing is loaded here")
    with grpc.insecure_channel(server.url) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff\xff", timeout=5)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


def test_a_deadline_cancels_the_request_in_the_gateway(triton: Any) -> None:
    status, _ = failure(lambda: triton.infer("slow", tensor(), client_timeout=0.3))
    assert status == "StatusCode.DEADLINE_EXCEEDED"
    wait_until(lambda: cancelled(triton) == 1)


def test_a_client_that_cancels_cancels_the_request_in_the_gateway(triton: Any) -> None:
    call = triton.async_infer("slow", tensor(), lambda result, error: None)
    time.sleep(0.2)
    call.cancel()
    wait_until(lambda: cancelled(triton) == 1)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_64_clients_at_once_get_their_own_answers(server: Server) -> None:
    def ask(number: int) -> bool:
        triton = client.InferenceServerClient(server.url)
        values = np.full(4, number, np.float32)
        same = [(triton.infer("echo", tensor(values)).as_numpy("INPUT0") == values).all() for _ in range(20)]
        triton.close()
        return all(same)

    with ThreadPoolExecutor(64) as threads:
        assert all(threads.map(ask, range(64)))


def test_a_port_in_use_is_exit_code_3(server: Server, transport: str) -> None:
    with start(transport, port=server.port) as second:
        _, errors = second.communicate(timeout=20)
    assert second.returncode == 3
    assert errors.startswith(f"Socket '127.0.0.1:{server.port}' already in use")


def test_processes_may_share_a_port(transport: str) -> None:
    with start(transport, "--reuse-grpc-port=true") as process:
        first = listening(process)
        with start(transport, "--reuse-grpc-port=true", port=first.port) as second:
            assert listening(second).port == first.port
            second.kill()
        first.process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_leaves_nothing_behind(transport: str, number: signal.Signals) -> None:
    before = shared_files()
    with tempfile.TemporaryDirectory() as temporary, start(transport, temporary=temporary) as process:
        server = listening(process)
        triton = client.InferenceServerClient(server.url)
        with ThreadPoolExecutor(1) as threads:
            late = threads.submit(triton.infer, "late", tensor())
            time.sleep(0.1)
            process.send_signal(number)
            time.sleep(0.1)
            assert not triton.is_server_ready()
            np.testing.assert_array_equal(late.result().as_numpy("INPUT0"), VALUES)
        process.communicate(timeout=10)
        triton.close()
        assert list(Path(temporary).iterdir()) == []
    assert process.returncode == 0
    assert shared_files() <= before


def test_a_second_signal_ends_the_process_at_once(transport: str) -> None:
    with start(transport) as process:
        triton = client.InferenceServerClient(listening(process).url)
        call = triton.async_infer("slow", tensor(), lambda result, error: None)
        time.sleep(0.2)
        process.terminate()
        time.sleep(0.2)
        assert process.poll() is None
        process.terminate()
        process.communicate(timeout=5)
        call.cancel()
        triton.close()
    assert process.returncode == 1


def test_the_process_dies_with_its_parent(transport: str) -> None:
    code = (
        "import os, subprocess, sys\n"
        "environment = {**os.environ, 'SHOAL_PARENT_PID': str(os.getpid())}\n"
        "child = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE, text=True, env=environment)\n"
        "print(child.pid, child.stderr.readline(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    argv = [str(PROGRAM), f"--grpc-transport={transport}", "--grpc-address=127.0.0.1", "--grpc-port=0"]
    command = [sys.executable, "-c", code, sys.executable, *argv]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline().split()[0])
        os.kill(pid, 0)
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or ") Z" in Path(f"/proc/{pid}/stat").read_text())
