"""Answers the repository's questions about models, each in a child process, a few at a time."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import Mapping

from shoal.bus import Bus, Part
from shoal.core.errors import InternalError, InvalidArgument, ShoalError, Unavailable
from shoal.core.messages import V1, DescribeModel, DescribeReply
from shoal.telemetry.logs import get_logger
from shoal.workers.agent.children import command, environment
from shoal.workers.agent.endings import exit_text
from shoal.workers.agent.inventory import BackendInfo
from shoal.workers.agent.output import LastOutput
from shoal.workers.describe import Description, Question, decode_description, encode

#: Children at the same time; further questions wait.
CHILD_LIMIT = 4
#: Questions that may wait: more models than a repository holds.
WAITING_LIMIT = 10_000
#: Importing a framework and opening a large model may take a while; the asker gives up after 120 s.
DEADLINE_S = 110.0

#: What the child started itself may keep its standard error open; it is not waited for any longer than this.
_OUTPUT_GRACE_S = 1.0

_log = get_logger("agent")


class Describer:
    """Register `accept` for DescribeModel; `close` ends the children that still run."""

    def __init__(self, bus: Bus, backends: Mapping[str, BackendInfo], deadline_s: float = DEADLINE_S) -> None:
        self._bus = bus
        self._backends = backends
        self._deadline_s = deadline_s
        self._children = asyncio.Semaphore(CHILD_LIMIT)
        self._open: dict[tuple[str, int], asyncio.Task[None]] = {}

    def accept(self, sender: str, message: DescribeModel, _part: Part) -> None:
        """Begin to answer; a question that is being answered already is not begun again."""
        key = (sender, message.query_id)
        if key in self._open or len(self._open) >= WAITING_LIMIT:
            return
        task = asyncio.get_running_loop().create_task(self._answer(sender, message))
        self._open[key] = task
        task.add_done_callback(lambda _: self._open.pop(key, None))

    async def close(self) -> None:
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, sender: str, message: DescribeModel) -> None:
        try:
            description = await self._describe(message)
        except ShoalError as error:
            description = Description("", error.to_wire())
        except Exception as error:  # one question's trouble; the asker has to hear of it
            _log.exception("describe failed", model=message.model)
            description = Description("", InternalError(f"{type(error).__name__}: {error}").to_wire())
        self._bus.send(sender, DescribeReply(V1, message.query_id, description.config, description.error))

    async def _describe(self, message: DescribeModel) -> Description:
        config = json.loads(message.config)
        question = Question(message.model, message.version, message.path, config, message.backend_config)
        info = self._backends.get(config.get("backend", ""))
        if info is None:
            raise InvalidArgument(
                f"model '{message.model}': this worker does not have backend '{config.get('backend', '')}'"
            )
        if info.backend.is_complete(question.source()):
            return Description(message.config, None)
        async with self._children:
            return await self._ask_child(info, question)

    async def _ask_child(self, info: BackendInfo, question: Question) -> Description:
        process = await asyncio.create_subprocess_exec(
            *command("shoal.workers.describe", info.entry_point),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=environment({}),
        )
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        output = LastOutput()
        following = asyncio.create_task(output.follow(process.stderr))
        try:
            process.stdin.write(encode(question))
            process.stdin.close()
            answer = await asyncio.wait_for(process.stdout.read(), self._deadline_s)
            code = await asyncio.wait_for(process.wait(), self._deadline_s)
            await asyncio.wait({following}, timeout=_OUTPUT_GRACE_S)
        except TimeoutError:
            raise Unavailable(
                f"model '{question.model}' could not be described within {self._deadline_s:.0f} s"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            following.cancel()
        return _description(question.model, code, answer, output)


def _description(model: str, code: int, answer: bytes, output: LastOutput) -> Description:
    if code == 0 and answer:
        return decode_description(answer)
    text = f"the process that described model '{model}' ended with {exit_text(code)}"
    if output.text():
        text += f"; its last output was:\n{output.text()}"
    raise InternalError(text)
