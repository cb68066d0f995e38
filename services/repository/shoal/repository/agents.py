"""The worker agents as the repository sees them: which backends there are, and asking one to describe a model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from shoal.bus import Bus, Part, PeerEvent
from shoal.core.errors import InvalidArgument, Unavailable, from_wire
from shoal.core.messages import V1, DescribeModel, DescribeReply

#: How long one agent may take for one description: it starts a child that imports a framework and reads the model.
DESCRIBE_DEADLINE_S = 120.0

#: Agents that are asked one after another when each ends before it has answered.
_ATTEMPTS = 3


class NoWorker(InvalidArgument):
    """No live worker has the backend."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a description is about: one version of a model, its directory and its configuration as JSON."""

    model: str
    version: int
    directory: str
    config: str
    backend_config: dict[str, str]


class _AgentLeft(Exception):
    pass


@dataclass(slots=True)
class _Pending:
    agent: str
    message: DescribeModel
    answer: asyncio.Future[DescribeReply] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Agents:
    """Use from one event loop; construct before `bus.start()`, since it registers handlers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._pending: dict[int, _Pending] = {}
        self._last_query = 0
        self._changed = asyncio.Event()
        bus.on(DescribeReply, self._on_reply)
        bus.watch_peers(self._on_peer)
        bus.on_link(self._on_link)

    def backends(self) -> tuple[str, ...]:
        """The backends that live workers have."""
        return tuple(sorted({name for peer in self._live() for name in peer[1]}))

    async def changed(self) -> None:
        """Wait until a worker came, left or has other backends."""
        changed = self._changed
        await changed.wait()

    async def choose(self, backend: str, wait_s: float) -> str:
        """The live agent with this backend that has the least to describe; waits up to `wait_s` for one to come.

        Raises NoWorker after that.
        """
        try:
            async with asyncio.timeout(wait_s):
                while not (candidates := [who for who, names in self._live() if backend in names]):
                    await self.changed()
        except TimeoutError:
            raise NoWorker(
                f"unable to find backend library for backend '{backend}', try specifying runtime on the model"
                f" configuration. No worker with this backend came within {wait_s:g} s; backends of the workers:"
                f" {', '.join(self.backends()) or 'none'}"
            ) from None
        asked = [pending.agent for pending in self._pending.values()]
        return min(candidates, key=lambda who: (asked.count(who), who))

    async def describe(self, backend: str, question: Question, wait_s: float) -> str:
        """The configuration as JSON, completed by an agent that has the backend; `wait_s` as for `choose`.

        Raises the backend's error when the model and its configuration do not fit, NoWorker without an agent, and
        Unavailable when none answers in time; asking again later makes sense for the last two.
        """
        for _ in range(_ATTEMPTS):
            agent = await self.choose(backend, wait_s)
            try:
                async with asyncio.timeout(DESCRIBE_DEADLINE_S):
                    reply = await self._ask(agent, question)
            except _AgentLeft:
                continue
            except TimeoutError:
                raise Unavailable(
                    f"model '{question.model}' version {question.version} was not described by its worker within"
                    f" {DESCRIBE_DEADLINE_S:g} s"
                ) from None
            if reply.error is not None:
                raise from_wire(reply.error)
            return reply.config
        raise Unavailable(
            f"model '{question.model}' version {question.version} was not described: {_ATTEMPTS} workers ended before"
            " they answered"
        )

    async def _ask(self, agent: str, question: Question) -> DescribeReply:
        self._last_query += 1
        number = self._last_query
        message = DescribeModel(
            V1,
            number,
            question.model,
            question.version,
            question.directory,
            question.config,
            question.backend_config,
        )
        pending = self._pending[number] = _Pending(agent, message)
        self._bus.send(agent, message)
        try:
            return await pending.answer
        finally:
            del self._pending[number]

    def _live(self) -> list[tuple[str, tuple[str, ...]]]:
        return [
            (peer.incarnation, peer.heartbeat.backends)
            for peer in self._bus.peers.values()
            if peer.role == "agent" and not peer.suspected
        ]

    def _on_reply(self, sender: str, reply: DescribeReply, part: Part) -> None:
        pending = self._pending.get(reply.query_id)
        if pending is not None and not pending.answer.done():
            pending.answer.set_result(reply)

    def _on_peer(self, event: PeerEvent) -> None:
        if event.peer.role != "agent":
            return
        now, before = event.peer.heartbeat, event.previous
        if event.kind != "beat" or before is None or before.backends != now.backends:
            self._notify()
        mine = [pending for pending in self._pending.values() if pending.agent == event.peer.incarnation]
        if event.kind == "left":
            for pending in mine:
                if not pending.answer.done():
                    pending.answer.set_exception(_AgentLeft())
        elif before is not None and before.links != now.links:
            self._send_again(mine)

    def _on_link(self, connected: bool) -> None:
        if connected:
            self._send_again(list(self._pending.values()))

    def _send_again(self, pending: list[_Pending]) -> None:
        """A link was lost on the way, and perhaps the question or its answer with it."""
        for one in pending:
            if not one.answer.done():
                self._bus.send(one.agent, one.message)

    def _notify(self) -> None:
        """Wake everyone who waits now; who waits from now on waits for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()
