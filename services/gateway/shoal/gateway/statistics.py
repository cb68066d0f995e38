"""Model statistics over all processes: asked for when somebody wants them, remembered for those that left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from shoal.bus import Bus, Part, PeerEvent
from shoal.core.answer_counts import AnswerCounts
from shoal.core.ledger import CounterKey, CounterLedger
from shoal.core.messages import V1, InferResponse, ModelCounters, StatisticsQuery, StatisticsReply
from shoal.gateway.models import ServedVersion

#: Processes that have not answered by then are missing from the sums.
_QUERY_TIMEOUT_S = 1.0
#: Who counts something, or remembers what others counted.
_ROLES = ("gateway", "scheduler", "executor")


class Statistics:
    """This gateway's counts, and their sum with everybody else's. `open` before the bus starts."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._counts = AnswerCounts()
        self._ledger = CounterLedger()
        self._last_query = 0
        #: Query id -> who has not answered yet, and the future that is done when everybody has.
        self._waiting: dict[int, tuple[set[str], asyncio.Future[None]]] = {}

    def open(self) -> None:
        self._bus.on(StatisticsQuery, self._on_query)
        self._bus.on(StatisticsReply, self._on_reply)
        self._bus.watch_peers(self._on_peer)

    def changed_lately(self) -> tuple[ModelCounters, ...]:
        """Our own counts, for the heartbeat: those that have changed lately."""
        return self._counts.changed_lately()

    def count_answer(self, served: ServedVersion, response: InferResponse, elapsed_ns: int) -> None:
        """Count an answer; to be called before the client can see it."""
        self._counts.count_answer(_key(served), response, elapsed_ns, is_ensemble=served.config.is_ensemble)

    def count_failure(self, served: ServedVersion, elapsed_ns: int, reason: str) -> None:
        """Count a request that this gateway gave up."""
        self._counts.count_failure(_key(served), elapsed_ns, reason)

    async def of(self, wanted: Iterable[ServedVersion], live: Iterable[ServedVersion]) -> list[dict[str, Any]]:
        """Entries of `model_stats` in JSON form for `wanted`, after asking every process once (at most a second).

        `live` are all versions that are desired now: what was counted for other generations is forgotten.
        """
        await self._gather()
        keys = {(served.model, served.version, served.generation) for served in live}
        self._counts.retain(keys)
        self._ledger.observe(self._bus.incarnation, self._counts.all())
        self._ledger.retain(keys)
        return [_entry(self._ledger.total(one.model, one.version, one.generation)) for one in wanted]

    async def _gather(self) -> None:
        peers = self._speaking()
        if not peers or not self._bus.is_connected:
            return
        self._last_query += 1
        query = self._last_query
        everybody: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[query] = (peers, everybody)
        for peer in peers:
            self._bus.send(peer, StatisticsQuery(V1, query))
        try:
            await asyncio.wait({everybody}, timeout=_QUERY_TIMEOUT_S)
        finally:
            del self._waiting[query]

    def _speaking(self) -> set[str]:
        return {peer.incarnation for peer in self._bus.peers.values() if peer.role in _ROLES and not peer.suspected}

    def _on_query(self, sender: str, query: StatisticsQuery, part: Part) -> None:
        known = {**self._ledger.without(self._speaking()), self._bus.incarnation: self._counts.all()}
        self._bus.send(sender, StatisticsReply(V1, query.query_id, known))

    def _on_reply(self, sender: str, reply: StatisticsReply, part: Part) -> None:
        self._ledger.merge(reply.counters)
        self._answered(reply.query_id, sender)

    def _on_peer(self, event: PeerEvent) -> None:
        peer = event.peer
        if peer.heartbeat.counters:
            self._ledger.observe(peer.incarnation, peer.heartbeat.counters)
        if event.kind == "left":
            for query in list(self._waiting):
                self._answered(query, peer.incarnation)

    def _answered(self, query: int, who: str) -> None:
        waiting = self._waiting.get(query)
        if waiting is None:
            return
        missing, everybody = waiting
        missing.discard(who)
        if not missing and not everybody.done():
            everybody.set_result(None)


def _key(served: ServedVersion) -> CounterKey:
    return served.model, served.version, served.generation


def _entry(total: ModelCounters) -> dict[str, Any]:
    return {
        "name": total.model,
        "version": str(total.version),
        "last_inference": total.last_inference_ms,
        "inference_count": total.inference_count,
        "execution_count": total.execution_count,
        "inference_stats": {
            "success": _duration(total.success, total.success_ns),
            "fail": _duration(total.fail, total.fail_ns),
            "queue": _duration(total.success, total.queue_ns),
            "compute_input": _duration(total.success, total.compute_input_ns),
            "compute_infer": _duration(total.success, total.compute_infer_ns),
            "compute_output": _duration(total.success, total.compute_output_ns),
            "cache_hit": _duration(0, 0),
            "cache_miss": _duration(0, 0),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": _duration(count, input_ns),
                "compute_infer": _duration(count, infer_ns),
                "compute_output": _duration(count, output_ns),
            }
            for size, count, input_ns, infer_ns, output_ns in total.batch_stats
        ],
        "memory_usage": [],
    }


def _duration(count: int, ns: int) -> dict[str, int]:
    return {"count": count, "ns": ns}
