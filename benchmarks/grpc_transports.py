"""CPU per call of the two gRPC transports, without a broker: `python benchmarks/grpc_transports.py [--json]`.

Starts `tests/integration/programs/grpc_echo.py` with each transport, keeps `--concurrency` calls of ModelInfer in
flight from one grpc.aio client in this process, and reads the server's CPU time from /proc. So the figure is the
server's alone (Envoy, Python and kernel), whatever the client costs; the rate is that of client and server together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc.aio

from shoal.bus import free_port
from shoal.gateway.grpc.schema import service_pb2

PROGRAM = Path(__file__).parent.parent / "tests" / "integration" / "programs" / "grpc_echo.py"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Load(NamedTuple):
    """`floats` FP32 elements per call, `calls` calls of which `concurrency` are in flight."""

    floats: int
    concurrency: int
    calls: int


class Result(NamedTuple):
    transport: str
    floats: int
    concurrency: int
    cpu_us_per_call: float
    calls_per_s: float
    rss_mib: float


LOADS = (Load(16, 64, 20_000), Load(16, 1, 3_000), Load(150_000, 8, 500), Load(8 * 2**20, 1, 10))


@contextmanager
def server(transport: str) -> Iterator[tuple[int, int]]:
    """A running echo server: its process id and its port."""
    port = free_port()
    arguments = [f"--grpc-transport={transport}", f"--grpc-port={port}", "--grpc-address=127.0.0.1"]
    process = subprocess.Popen([sys.executable, str(PROGRAM), *arguments], stderr=subprocess.DEVNULL)
    try:
        yield process.pid, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def request(floats: int) -> bytes:
    message = service_pb2.ModelInferRequest(model_name="echo")
    message.inputs.add(name="INPUT0", datatype="FP32", shape=[floats])
    message.raw_input_contents.append(bytes(4 * floats))
    data: bytes = message.SerializeToString()
    return data


async def call_repeatedly(call: Any, message: bytes, calls: int) -> None:
    for _ in range(calls):
        await call(message)


async def measure(transport: str, load: Load) -> Result:
    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    message = request(load.floats)
    with server(transport) as (pid, port):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=limits) as channel:
            call = channel.unary_unary(METHOD)
            await call(message, wait_for_ready=True, timeout=20)
            await call_repeatedly(call, message, min(load.calls // 10, 200))
            cpu_before_s, begin_s = cpu_s(pid), time.perf_counter()
            share = load.calls // load.concurrency
            await asyncio.gather(*(call_repeatedly(call, message, share) for _ in range(load.concurrency)))
            took_s, cpu_used_s = time.perf_counter() - begin_s, cpu_s(pid) - cpu_before_s
        done = share * load.concurrency
        cpu_us = cpu_used_s / done * 1e6
        return Result(transport, load.floats, load.concurrency, cpu_us, done / took_s, rss_mib(pid))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--transport", choices=("envoy", "grpcio"), action="append", help="only this one")
    arguments = parser.parse_args()
    if not arguments.json:
        print(f"{'transport':<10}{'floats':>9}{'in flight':>11}{'CPU us/call':>13}{'calls/s':>10}{'RSS MiB':>9}")
    for load in LOADS:
        for transport in arguments.transport or ("envoy", "grpcio"):
            result = asyncio.run(measure(transport, load))
            if arguments.json:
                print(json.dumps(result._asdict()))
            else:
                cpu, rate, rss = result.cpu_us_per_call, result.calls_per_s, result.rss_mib
                print(f"{transport:<10}{load.floats:>9}{load.concurrency:>11}{cpu:>13.1f}{rate:>10.0f}{rss:>9.0f}")


if __name__ == "__main__":
    main()
