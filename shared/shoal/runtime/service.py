"""The shell around every service: options, logs, the life with its parent, signals, the broker link, exit codes.

A service is a coroutine `serve(arguments, bus, lifecycle)`. The bus is connected but not started, so that the service
can register its handlers first; `serve` awaits `bus.start()` itself, and returns after draining when
`lifecycle.stopping` is set. The shell closes the bus.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from shoal.core.errors import InvalidArgument, ShoalError
from shoal.runtime.lifecycle import Lifecycle
from shoal.runtime.parent_death import die_with_parent
from shoal.runtime.settings import add_bus_options, bus_settings
from shoal.telemetry import logs

if TYPE_CHECKING:
    from shoal.bus import Bus, BusSettings

__all__ = [
    "EXIT_ENVIRONMENT",
    "EXIT_FAILURE",
    "EXIT_OK",
    "EnvironmentTrouble",
    "Lifecycle",
    "Serve",
    "run_service",
    "serve_linked",
]

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_ENVIRONMENT = 3

_YOUNG_OBJECTS = 20_000

#: How long a cancelled `serve` may clean up after the broker link was closed for good.
_CLEAN_UP_S = 5.0

Serve = Callable[[argparse.Namespace, "Bus", Lifecycle], Awaitable[None]]


class EnvironmentTrouble(Exception):
    """Something around the process is wrong that starting it again does not mend, e.g. a port in use.

    The text is what a person reads: what is wrong, where, what to do. It becomes exit code 3.
    """


class BrokerLost(Exception):
    """The broker link was closed for good; the process has to start anew."""


def run_service(
    role: str,
    parser: argparse.ArgumentParser,
    serve: Serve,
    listen_to: tuple[str, ...],
    argv: Sequence[str] | None = None,
) -> int:
    """Run one service until it has drained; returns the exit code for `sys.exit`.

    `role` is the process's role on the bus, `listen_to` the roles whose heartbeats it follows; `argv` defaults to the
    process's arguments. 0 after a drain, 1 after a failure (logged with its traceback), 2 for wrong options, 3 for
    EnvironmentTrouble (its text goes to standard error as it is).
    """
    die_with_parent()
    add_bus_options(parser)
    arguments = parser.parse_args(argv)
    try:
        configure_logs()
        settings = bus_settings(arguments, os.environ)
    except InvalidArgument as error:
        parser.error(str(error))
    return run_to_exit_code(role, _run(role, settings, listen_to, serve, arguments))


def run_to_exit_code(component: str, main: Coroutine[Any, Any, int]) -> int:
    """Run a process's main coroutine, which gives its exit code, on uvloop; its exceptions become exit codes too."""
    import uvloop

    _collect_seldom()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)
    except EnvironmentTrouble as trouble:
        sys.stderr.write(f"{trouble}\n")
        return EXIT_ENVIRONMENT
    except ShoalError as error:
        logs.get_logger(component).error("process failed", reason=error.reason())
        return EXIT_FAILURE
    except Exception:  # the process ends here: whatever it was belongs into the log, and into the exit code
        logs.get_logger(component).exception("process failed")
        return EXIT_FAILURE


def _collect_seldom() -> None:
    """Requests leave few cycles behind; a young collection for every 700 objects costs a gateway 4 % of its time."""
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)


def configure_logs() -> None:
    """Configure the log as the environment says. Raises InvalidArgument."""
    logs.configure_from(os.environ)


async def _run(
    role: str, settings: BusSettings, listen_to: tuple[str, ...], serve: Serve, arguments: argparse.Namespace
) -> int:
    lifecycle = Lifecycle()
    lifecycle.install(asyncio.get_running_loop())
    return await serve_linked(role, settings, listen_to, serve, arguments=arguments, lifecycle=lifecycle)


async def serve_linked(
    role: str,
    settings: BusSettings,
    listen_to: tuple[str, ...],
    serve: Serve,
    *,
    arguments: argparse.Namespace,
    lifecycle: Lifecycle,
) -> int:
    """Connect the bus, run `serve`, close the bus: `run_service` for a process that brings its own event loop and sets
    `lifecycle.stopping` itself. Returns the exit code; raises EnvironmentTrouble or whatever ended `serve`."""
    bus = await _connect(settings, role, listen_to, lifecycle)
    if bus is None:
        return EXIT_OK
    try:
        await _serve_while_linked(serve, arguments, bus, lifecycle)
    finally:
        await bus.close()
    return EXIT_OK


async def _connect(settings: BusSettings, role: str, listen_to: tuple[str, ...], lifecycle: Lifecycle) -> Bus | None:
    """A connected bus, or None when the process was asked to stop meanwhile."""
    # The broker client is much to load for a process that becomes another one before it connects.
    from shoal.bus import Bus

    connecting = asyncio.create_task(Bus.connect(settings, role, listen_to))
    stopping = asyncio.create_task(lifecycle.stopping.wait())
    await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if connecting.done():
        try:
            return connecting.result()
        except InvalidArgument as error:
            raise EnvironmentTrouble(error.message) from error
    connecting.cancel()
    await asyncio.wait({connecting}, timeout=_CLEAN_UP_S)
    return None


async def _serve_while_linked(serve: Serve, arguments: argparse.Namespace, bus: Bus, lifecycle: Lifecycle) -> None:
    """Run `serve` to its end; cancel it and raise BrokerLost when the link is closed for good before."""
    serving = asyncio.ensure_future(serve(arguments, bus, lifecycle))
    lost = asyncio.ensure_future(bus.closed.wait())
    await asyncio.wait({serving, lost}, return_when=asyncio.FIRST_COMPLETED)
    lost.cancel()
    if not serving.done():
        serving.cancel()
        await asyncio.wait({serving}, timeout=_CLEAN_UP_S)
        raise BrokerLost("the broker link was closed for good")
    serving.result()
