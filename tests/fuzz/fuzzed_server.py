"""A server under fuzz, and what must be true of it whatever it was sent."""

from __future__ import annotations

import json
import statistics
import struct
import time
from collections import Counter

from tritonclient.grpc import service_pb2

from fuzz_models import BATCHED
from grpc_wire import Call, GrpcClient, frame
from http_wire import Exchange, HttpClient
from leaks import LeakCheck, Use, grown
from samples import REGION, REGION_NBYTES, http_request
from shoal.gateway.limits import MAX_BYTES
from shoal.memory import SHM
from shoal_server import Server

_LOOKS = 5
_LOOK_INTERVAL_S = 0.2
#: Heaps grow in steps, and whoever frees memory keeps it for what comes next.
_FREE_NBYTES, _FREE_SHARE = 48 * 2**20, 0.15
_MIB = 2**20
#: Idle connections and segments go after some seconds.
_REST_WITHIN_S = 25.0


class FuzzedServer:
    """`begin` before the fuzz, with everything warm; `still_serves` between batches; `faults` in the end. Entering it
    makes a region for clients, which leaving it removes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._region = SHM / f"fuzzed_{server.http_port}"
        self._leaks = LeakCheck(server)
        self._http = HttpClient(server.http_port)
        self._grpc = GrpcClient(server.grpc_port)
        self._number = 0

    def __enter__(self) -> FuzzedServer:
        self._region.write_bytes(bytes(REGION_NBYTES))
        return self

    def __exit__(self, *_: object) -> None:
        self._region.unlink()

    def begin(self) -> None:
        """Note what the server uses at rest."""
        self._baseline = self._without_regions(self._leaks.baseline())
        self._nbytes = self._memory()
        self._lines = len(self.server.output.splitlines())

    async def still_serves(self) -> None:
        """Ask for something of its own on fresh connections over both protocols; fails unless the answers are right.
        The samples' region is known again then."""
        self._number += 1
        try:
            await self._register_region()
            await self._ask_http(self._number)
            await self._ask_grpc(self._number)
        finally:
            await self._http.close()
            await self._grpc.close()

    async def has_all_room(self) -> bool:
        """Whether a body of all the bytes that a gateway takes on would be let in: nothing is counted any more."""
        head = http_request(f"/v2/models/{BATCHED}/infer".encode(), b"", {b"Expect": b"100-continue"})
        head = head.replace(b"Content-Length: 0", b"Content-Length: %d" % MAX_BYTES)
        answers = await self._http.ask(Exchange((head,), due=None))
        return not answers

    def faults(self) -> list[str]:
        """What has become worse since `begin`, in words. Blocks for some seconds."""
        found = []
        before, now = self._baseline, self._at_rest()
        if excess := grown(before, now):
            found.append("the server uses more than before: " + "; ".join(excess))
        if _pids(before) != _pids(now):
            found.append(f"processes were restarted: {sorted(_pids(before) ^ _pids(now))}")
        memory = self._memory()
        for role, nbytes in self._nbytes.items():
            limit = nbytes + max(_FREE_NBYTES, _FREE_SHARE * nbytes)
            if memory[role] > limit:
                found.append(f"{role} has grown from {nbytes / _MIB:.0f} to {memory[role] / _MIB:.0f} MiB")
        return found + self._log_faults()

    def _at_rest(self) -> Use:
        """What is used as soon as it is no more than before, or in the end."""
        deadline = time.monotonic() + _REST_WITHIN_S
        while grown(self._baseline, use := self._without_regions(self._leaks.look())):
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_INTERVAL_S)
        return use

    def _without_regions(self, use: Use) -> Use:
        """Without the descriptors of the client's region: grpcio keeps what a failed call had until its garbage is
        collected."""
        own = str(self._region)
        return use._replace(
            processes=tuple(
                each._replace(descriptors=tuple(target for target in each.descriptors if not target.startswith(own)))
                for each in use.processes
            )
        )

    def _log_faults(self) -> list[str]:
        lines = self.server.output.splitlines()[self._lines :]
        return [line[:2000] for line in lines if '"level":"error"' in line.replace(" ", "") or "Traceback" in line][:5]

    def _memory(self) -> dict[str, float]:
        """Bytes of the processes of each role that are ours, and of shared memory."""
        looks = []
        for _ in range(_LOOKS):
            looks.append(_memory(self._leaks.look()))
            time.sleep(_LOOK_INTERVAL_S)
        return {role: statistics.median(look[role] for look in looks) for role in looks[0]}

    async def _register_region(self) -> None:
        body = json.dumps({"key": f"/{self._region.name}", "byte_size": REGION_NBYTES}).encode()
        path = f"/v2/systemsharedmemory/region/{REGION}/register".encode()
        (answer,) = await self._http.ask(Exchange((http_request(path, body, {}),), due=(False,)))
        assert answer.status in (200, 400), answer

    async def _ask_http(self, number: int) -> None:
        tensor = {"name": "IN", "datatype": "INT32", "shape": [1, 2], "data": [number, -number]}
        body = json.dumps({"inputs": [tensor]}).encode()
        (answer,) = await self._http.ask(
            Exchange((http_request(f"/v2/models/{BATCHED}/infer".encode(), body, {}),), due=(False,))
        )
        assert answer.status == 200, answer
        assert json.loads(answer.body)["outputs"][0]["data"] == [number, -number]

    async def _ask_grpc(self, number: int) -> None:
        request = service_pb2.ModelInferRequest(model_name=BATCHED)
        request.inputs.add(name="IN", datatype="INT32", shape=[1, 2])
        request.raw_input_contents.append(struct.pack("<ii", number, -number))
        call = Call(b"/inference.GRPCInferenceService/ModelInfer", frame(request.SerializeToString()))
        (answer,) = await self._grpc.ask([call])
        assert answer.status == 0, answer
        response = service_pb2.ModelInferResponse.FromString(answer.messages[0])
        assert response.raw_output_contents[0] == request.raw_input_contents[0]


def _pids(use: Use) -> set[tuple[str, int]]:
    return {(process.role, process.pid) for process in use.processes if process.role != "describer"}


def _memory(use: Use) -> Counter[str]:
    nbytes = Counter({"shared memory": use.segment_nbytes})
    for process in use.processes:
        if process.role != "broker":
            nbytes[process.role] += process.anonymous_nbytes
    return nbytes
