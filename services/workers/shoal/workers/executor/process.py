"""An executor's process: its pipes, its threads, how it begins and ends.

Standard input and output are the control pipes; what models print goes to standard error. Bus settings come by
environment. The main thread belongs to the model where the backend asks for that; the bus lives on a side thread.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import queue
import signal
import threading
from argparse import Namespace
from typing import NamedTuple, NoReturn

from shoal.bus import Bus
from shoal.runtime.log_following import following_log_settings
from shoal.runtime.parent_death import die_with_parent
from shoal.runtime.settings import bus_settings
from shoal.telemetry import logs
from shoal.workers import control
from shoal.workers.backend import load_backend
from shoal.workers.executor.host_memory import HostMemory
from shoal.workers.executor.instance import Instance
from shoal.workers.executor.service import ExecutorService
from shoal.workers.pipes import Pipes, connect, end_process, take_standard_pipes

#: Schedulers own the models; gateways read our outputs.
_LISTEN_TO = ("scheduler", "gateway")

_log = logs.get_logger("executor")


class _Start(NamedTuple):
    """What the side thread is given."""

    entry_point: str
    board_fd: int
    pipes: Pipes
    main_thread: queue.SimpleQueue[Instance | None]


def main(argv: list[str]) -> NoReturn:
    """Run until the agent says stop, or until agent or broker are gone for good. `argv`: entry point, board."""
    die_with_parent()
    faulthandler.enable()
    # Signals to the whole process group are the agent's business: it drains us. Not SIG_IGN, which exec would pass on.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    pipes = take_standard_pipes()
    os.set_inheritable(int(argv[1]), False)
    logs.configure_from(os.environ)
    start = _Start(argv[0], int(argv[1]), pipes, queue.SimpleQueue())
    threading.Thread(target=_side_thread, args=(start,), name="bus", daemon=True).start()
    while (instance := start.main_thread.get()) is not None:
        instance.run()
    end_process(0)


def _side_thread(start: _Start) -> None:
    try:
        code = asyncio.run(_serve(start))
    except BaseException:  # without its side thread a process is deaf: it has to end, whatever happened
        _log.exception("executor failed")
        code = 1
    if code:
        end_process(code)
    start.main_thread.put(None)


async def _serve(start: _Start) -> int:
    """Everything from the link to the farewell; returns the exit code."""
    backend = load_backend(start.entry_point)
    reader, writer = await connect(start.pipes)
    try:
        bus = await Bus.connect(bus_settings(Namespace(), os.environ), role="executor", listen_to=_LISTEN_TO)
    except Exception as error:  # whatever keeps us off the bus, no model is to blame for it
        _log.error("broker not reached", why=f"{type(error).__name__}: {error}")
        return control.EXIT_NO_BROKER
    memory = HostMemory.open(bus.incarnation, os.environ)
    bus.host = memory.host
    service = ExecutorService(
        bus, writer.write, backend, board_fd=start.board_fd, memory=memory, main_thread=start.main_thread
    )
    async with following_log_settings(bus):
        await service.start()
        return await _until_the_end(service, bus, reader)


async def _until_the_end(service: ExecutorService, bus: Bus, reader: asyncio.StreamReader) -> int:
    obeying = asyncio.create_task(_obey(service, reader))
    stopped = asyncio.create_task(service.stopped.wait())
    cut_off = asyncio.create_task(bus.closed.wait())
    ends = (obeying, stopped, cut_off)
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if stopped.done():
        # The agent's pings are answered meanwhile.
        await service.close()
    for task in ends:
        task.cancel()
    if stopped.done():
        await bus.close()
        return 0
    if cut_off.done():
        _log.error("broker link closed for good")
        return control.EXIT_NO_BROKER
    # The agent is gone, or talks nonsense: `result` raises in that case.
    obeying.result()
    return 1


async def _obey(service: ExecutorService, reader: asyncio.StreamReader) -> None:
    while (message := await control.read(reader)) is not None:
        service.obey(message)
