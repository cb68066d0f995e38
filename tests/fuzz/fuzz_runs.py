"""Runs of generated and of mutated requests against a server; each fails with the first answer that is wrong.

Generated ones come from hypothesis, which shrinks what fails. Mutated ones are for volume; what fails is in the
message, with the seed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fuzzed_server import FuzzedServer
from grpc_strategies import GRPC_BOMBS, GRPC_CALLS, h2_bytes
from grpc_wire import Call, GrpcClient, frame, provoke
from http_strategies import BOMBS, HTTP_EXCHANGES
from http_wire import Ended, Exchange, Hang, HttpClient, Malformed
from json_strategies import HOSTILE_TEXTS
from mutation import Mutator
from samples import GRPC_SAMPLES, HTTP_SAMPLES, http_request, http_sample_request
from verdicts import grpc_fault, http_fault

_BATCH = 24
_CONNECTIONS = 16
#: Between two looks at whether the server still answers what is good.
_LOOK_EVERY = 500
_CALLS_AT_ONCE = 16
#: Faults that are told of a run.
_SHOWN = 12
_SHOWN_LENGTH = 5000
_INFER = b"/inference.GRPCInferenceService/ModelInfer"
_STREAM_INFER = b"/inference.GRPCInferenceService/ModelStreamInfer"
_Item = TypeVar("_Item")


class Fuzz:
    """One run after another on one server and one event loop. `requests` counts what was sent."""

    def __init__(self, fuzzed: FuzzedServer, runner: asyncio.Runner, first_seed: int) -> None:
        self._fuzzed = fuzzed
        self._runner = runner
        self._seed = first_seed
        self._http_port, self._grpc_port = fuzzed.server.http_port, fuzzed.server.grpc_port
        self._clients = [HttpClient(self._http_port) for _ in range(_BATCH)]
        self._grpc = GrpcClient(self._grpc_port)
        self.requests = 0

    def close(self) -> None:
        for client in self._clients:
            self._runner.run(client.close())
        self._runner.run(self._grpc.close())

    def warm_up(self) -> None:
        """What is largest and most at once, so that what a server keeps for its next work is there."""
        largest = [
            Exchange((http_request(HTTP_SAMPLES[0].path, packed, headers),), (False,)) for packed, headers in BOMBS
        ]
        self._fail_for(self._runner.run(self._all_http_faults(largest * 4)))
        self._fail_for(self._runner.run(self._grpc_faults(GRPC_BOMBS * 4)))
        self.mutated_http(_LOOK_EVERY)
        self.mutated_grpc(_LOOK_EVERY)
        self.requests = 0

    def generated_http(self, batches: int) -> None:
        self._explore(HTTP_EXCHANGES, batches, self._all_http_faults)

    def generated_grpc(self, batches: int) -> None:
        self._explore(GRPC_CALLS, batches, self._grpc_faults)

    def generated_h2(self, batches: int) -> None:
        self._explore(h2_bytes(), batches, self._provoke)

    def mutated_http(self, count: int) -> None:
        """Most of them with the body alone mutated, the others with anything."""
        dice = random.Random(self._seed)
        bodies = [http_sample_request(sample) for sample in HTTP_SAMPLES]
        requests = [http_request(sample.path, *body) for sample, body in zip(HTTP_SAMPLES, bodies, strict=True)]
        body_mutator = Mutator(dice, [body for body, _ in bodies], HOSTILE_TEXTS)
        any_mutator = Mutator(dice, requests, HOSTILE_TEXTS)

        def make() -> Exchange:
            number = dice.randrange(len(HTTP_SAMPLES))
            if dice.random() < 0.8:
                body, headers = bodies[number]
                request = http_request(HTTP_SAMPLES[number].path, body_mutator.mutate(body), headers)
                return Exchange((request,), due=(False,))
            return Exchange((any_mutator.mutate(requests[number]),), due=None)

        async def work(client: HttpClient, share: int) -> list[str]:
            return [fault for _ in range(share) for fault in await self._http_faults(client, make())]

        clients = self._clients[:_CONNECTIONS]
        self._in_volume(count, lambda share: [work(client, share // _CONNECTIONS) for client in clients])

    def mutated_grpc(self, count: int) -> None:
        """Most of them with a message mutated, some with its frame; single requests, and streams of two."""
        dice = random.Random(self._seed)
        recorded = [sample.SerializeToString(deterministic=True) for sample in GRPC_SAMPLES]
        mutator = Mutator(dice, recorded, HOSTILE_TEXTS)

        def make() -> Call:
            message = dice.choice(recorded)
            match dice.randrange(10):
                case 0:
                    return Call(_INFER, mutator.mutate(frame(message)), is_due=False)
                case 1:
                    return Call(_STREAM_INFER, mutator.mutate(frame(message) * 2), is_due=False)
                case 2 | 3:
                    return Call(
                        _STREAM_INFER, frame(message) + frame(mutator.mutate(message)), ends=dice.random() < 0.9
                    )
            return Call(_INFER, frame(mutator.mutate(message)))

        async def work(share: int) -> list[str]:
            shares = ([make() for _ in range(_CALLS_AT_ONCE)] for _ in range(share // _CALLS_AT_ONCE))
            return [fault for calls in shares for fault in await self._grpc_faults(calls)]

        self._in_volume(count, lambda share: [work(share)])

    def _in_volume(self, count: int, work: Callable[[int], Sequence[Awaitable[list[str]]]]) -> None:
        async def run(share: int) -> list[str]:
            found = await asyncio.gather(*work(share))
            await self._fuzzed.still_serves()
            return [fault for faults in found for fault in faults]

        for _ in range(0, count, _LOOK_EVERY):
            self._fail_for(self._runner.run(run(min(count, _LOOK_EVERY))))

    def _fail_for(self, faults: Sequence[str]) -> None:
        assert not faults, f"seed {self._seed}, {len(faults)} faults:\n" + "\n".join(
            fault[:_SHOWN_LENGTH] for fault in faults[:_SHOWN]
        )

    def _explore(
        self, strategy: st.SearchStrategy[_Item], batches: int, ask: Callable[[list[_Item]], Awaitable[list[str]]]
    ) -> None:
        async def run(batch: list[_Item]) -> list[str]:
            faults = await ask(batch)
            await self._fuzzed.still_serves()
            return faults

        @seed(self._seed)
        @settings(
            max_examples=batches,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        @given(st.lists(strategy, min_size=1, max_size=_BATCH))
        def check(batch: list[_Item]) -> None:
            self._fail_for(self._runner.run(run(batch)))

        check()

    async def _all_http_faults(self, batch: list[Exchange]) -> list[str]:
        found = await asyncio.gather(*map(self._http_faults, self._clients, batch))
        return [fault for faults in found for fault in faults]

    async def _http_faults(self, client: HttpClient, exchange: Exchange) -> list[str]:
        self.requests += len(exchange.due or "1")
        try:
            found = map(http_fault, await client.ask(exchange))
            return [f"{fault}; sent: {exchange!r}" for fault in found if fault is not None]
        except (Malformed, Hang, Ended) as error:
            return [f"{error}; sent: {exchange!r}"]

    async def _grpc_faults(self, calls: list[Call]) -> list[str]:
        """Calls that break the protocol itself have a connection of their own: it may end with them."""
        self.requests += len(calls)
        right, wrong = [call for call in calls if call.is_due], [call for call in calls if not call.is_due]
        found = await self._call_faults(self._grpc, right) if right else []
        if wrong:
            client = GrpcClient(self._grpc_port)
            found += await self._call_faults(client, wrong)
            await client.close()
        return found

    async def _call_faults(self, client: GrpcClient, calls: list[Call]) -> list[str]:
        try:
            found = map(grpc_fault, calls, await client.ask(calls))
            return [f"{fault}; sent: {call!r}" for call, fault in zip(calls, found, strict=True) if fault is not None]
        except (Malformed, Hang) as error:
            return [f"{error}; sent: {calls!r}"]
        except Ended as error:
            return [f"{error}; sent: {calls!r}"] if client is self._grpc else []

    async def _provoke(self, batch: list[tuple[bytes, ...]]) -> list[str]:
        self.requests += len(batch)
        ended = await asyncio.gather(*(provoke(self._grpc_port, pieces) for pieces in batch))
        return [f"no end to {pieces!r}" for pieces, has_ended in zip(batch, ended, strict=True) if not has_ended]
