"""The process that serves gRPC through Envoy: how it starts, what runs in it, how it ends.

**One process.** `python -m shoal.gateway --protocol grpc` does not spawn Envoy, it becomes Envoy (`exec`): same process
id, same parent, same descriptors. Envoy loads Python as a library (pyvoy), and there, on one event loop of its own,
live the broker link, the gateway and all handlers. Nobody has to watch, restart or signal a second process, and the
request never leaves the process between Envoy and Python.

**Start** (`become_envoy`). Before `exec` the launching Python tries the port, so that a port in use is told in one line
and with exit code 3; Envoy's own failure to bind, if someone takes the port in between, ends with exit code 1, and the
next start tells it. Envoy loads its configuration, with it the ASGI application, and binds the port only when the
application's startup is complete: the gateway is connected before the first client is.

**Signals.** SIGTERM and SIGINT are blocked before `exec`; every thread of Envoy inherits that, so Envoy never sees them
(it would drop open calls at once). A thread in Python takes them with `sigwait`: the first one sets
`lifecycle.stopping`, the second ends the process with code 1.

**Drain.** Readiness falls, the port is closed, answers carry GOAWAY so that clients connect elsewhere, open calls
finish within `--exit-timeout-secs`. Then the gateway and the broker link are closed and Envoy is asked to quit:
code 0.

**Death of the parent.** The parent-death signal asked for before `exec` survives it: the kernel kills the process.

**Death of the broker link for good**, or any other failure of the gateway: logged, and the process ends with code 1;
the supervisor starts a new one. Heartbeats come from the bus in this process, as from every other.

**Left behind**: nothing. Hot restart, which keeps files in `/dev/shm`, is off; the admin interface is a socket in a
private folder that is removed as soon as the process itself has connected to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from shoal.core.errors import ShoalError
from shoal.gateway.grpc.choose import EnvoyFiles
from shoal.gateway.grpc.envoy_admin import Admin
from shoal.gateway.grpc.envoy_config import envoy_config
from shoal.gateway.grpc.listen_address import claimable
from shoal.gateway.grpc.options import DRAIN_NOTICE_S, GrpcOptions
from shoal.runtime.lifecycle import Lifecycle
from shoal.runtime.private_folder import PrivateFolder
from shoal.runtime.service import EXIT_ENVIRONMENT, EXIT_FAILURE, EXIT_OK, EnvironmentTrouble
from shoal.telemetry.logs import get_logger

if TYPE_CHECKING:
    from shoal.gateway.grpc.gateway_api import GatewayApi
    from shoal.gateway.grpc.open_calls import AsgiMessage, Receive
    from shoal.gateway.grpc.transport_envoy import EnvoyCalls, Scope, Send

_log = get_logger("gateway")

#: Where the process finds its admin socket.
_ADMIN_SOCKET = "SHOAL_ENVOY_ADMIN"

#: The path of a Unix socket has less than 108 bytes, and ours is two short names below this.
_LONGEST_PARENT_NBYTES = 70

_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_CALLS = "calls"
_END_WITHIN_S = 5.0

#: Envoy's few own log lines, in the form of ours.
_LOG_FORMAT = '{"time":"%Y-%m-%dT%H:%M:%S.%e","level":"%l","component":"envoy","event":"%j","pid":%P}'


def become_envoy(options: GrpcOptions, files: EnvoyFiles, app: str, environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by Envoy with the ASGI application `app` (`module:attribute`, an `EnvoyApp`) inside.

    `environment` is added to this process's own. To be called from the main thread, after `die_with_parent`, before
    any thread or event loop is started. Raises EnvironmentTrouble when the port cannot be bound.
    """
    address = claimable(options.address, options.port, options.reuse_port)
    socket_path = str(PrivateFolder(_folder_for_sockets(), survives_exec=True).path / "admin")
    config = envoy_config(options, address, files, app, socket_path)
    program = str(files.program)
    arguments = [program, "--config-yaml", json.dumps(config), "--disable-hot-restart", "--concurrency", "1"]
    arguments += ["--log-level", "error", "--log-format", _LOG_FORMAT]
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    os.execve(program, arguments, {**os.environ, **environment, **_python_for(files), _ADMIN_SOCKET: socket_path})


def _folder_for_sockets() -> Path | None:
    """Where to make the private folder: None for the usual place, unless a socket's path there would be too long."""
    return Path("/tmp") if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_PARENT_NBYTES else None


def _python_for(files: EnvoyFiles) -> dict[str, str]:
    """The environment in which the Python inside Envoy is the one that runs now: same modules, same library."""
    preloaded = os.environ.get("LD_PRELOAD")
    return {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONHOME": f"{sys.prefix}{os.pathsep}{sys.exec_prefix}",
        "LD_PRELOAD": f"{files.libpython}:{preloaded}" if preloaded else str(files.libpython),
    }


class EnvoyEndpoint:
    """The listening side inside the process; `serve` is `transport_grpcio.serve`'s counterpart."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        #: Set to the calls' handler when the endpoint may open.
        self.opened: asyncio.Future[EnvoyCalls] = asyncio.get_running_loop().create_future()

    async def serve(self, options: GrpcOptions, gateway: GatewayApi, lifecycle: Lifecycle) -> None:
        """Open the endpoint; serve until `lifecycle.stopping`, then drain. Raises TimeoutError when Envoy does not
        open the port."""
        # Not before the process is Envoy: Python is started anew in there, and would import them a second time.
        from shoal.gateway.grpc.service import Service
        from shoal.gateway.grpc.transport_envoy import EnvoyCalls

        calls = EnvoyCalls(Service(gateway), options.response_compression, options.message_limit_nbytes)
        self.opened.set_result(calls)
        address = await self._admin.listen_address()
        _log.info("grpc listening", address=address.ip, port=address.port, transport="envoy")
        await lifecycle.stopping.wait()
        gateway.is_draining = True
        await asyncio.sleep(DRAIN_NOTICE_S)
        await self._admin.turn_clients_away()
        calls.wind_up()
        if not await calls.open.drained(options.exit_timeout_s):
            _log.warning("calls dropped at the end of the drain", calls=len(calls.open))


#: The life of the process: build a gateway, await `endpoint.serve(...)`, close the gateway.
Main = Callable[[EnvoyEndpoint, Lifecycle], Awaitable[None]]


class EnvoyApp:
    """The ASGI application that Envoy loads; `main` runs from startup to the end of the process."""

    def __init__(self, main: Main) -> None:
        self._main = main

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await scope["state"][_CALLS].answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope["state"], receive, send)

    async def _live(self, state: AsgiMessage, receive: Receive, send: Send) -> None:
        await receive()
        admin = await Admin.connect(Path(os.environ[_ADMIN_SOCKET]))
        endpoint = EnvoyEndpoint(admin)
        lifecycle = Lifecycle()
        _take_signals(lifecycle)
        running = asyncio.create_task(self._run(endpoint, lifecycle))
        starting: set[asyncio.Future[Any]] = {running, endpoint.opened}
        await asyncio.wait(starting, return_when=asyncio.FIRST_COMPLETED)
        if not endpoint.opened.done():
            # Asked to stop before the gateway was there. Envoy still waits for the startup and could not quit.
            _end_process(EXIT_OK)
        state[_CALLS] = endpoint.opened.result()
        await send({"type": "lifespan.startup.complete"})
        ending = asyncio.create_task(_quit_after(running, admin))
        await receive()
        # Either Envoy quits because it was asked to, or it ends on its own: then what is open gets a moment.
        lifecycle.stopping.set()
        await asyncio.wait({running}, timeout=_END_WITHIN_S)
        ending.cancel()
        with contextlib.suppress(OSError):
            await admin.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _run(self, endpoint: EnvoyEndpoint, lifecycle: Lifecycle) -> None:
        try:
            await self._main(endpoint, lifecycle)
        except EnvironmentTrouble as trouble:
            sys.stderr.write(f"{trouble}\n")
            _end_process(EXIT_ENVIRONMENT)
        except ShoalError as error:
            _log.error("process failed", reason=error.reason())
            _end_process(EXIT_FAILURE)
        except Exception:  # the process ends here: whatever it was belongs into the log, and into the exit code
            _log.exception("process failed")
            _end_process(EXIT_FAILURE)


async def _quit_after(running: asyncio.Task[None], admin: Admin) -> None:
    await running
    await admin.quit()


def _take_signals(lifecycle: Lifecycle) -> None:
    loop = asyncio.get_running_loop()

    def wait() -> None:
        signal.sigwait(_SIGNALS)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends anyway
            loop.call_soon_threadsafe(lifecycle.stopping.set)
        signal.sigwait(_SIGNALS)
        _end_process(EXIT_FAILURE)

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _end_process(code: int) -> NoReturn:
    sys.stderr.flush()
    os._exit(code)
