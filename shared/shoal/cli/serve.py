"""`shoal serve`: starts every service of one machine, tells when the models are ready, and drains them at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

from shoal.bus import Bus, BusSettings, free_port, prepare_broker
from shoal.cli import option_table
from shoal.cli.command_line import UsageError, parse, remarks
from shoal.cli.listening import until_listening
from shoal.cli.ports import shared_port
from shoal.cli.serve_options import Endpoint, ServeOptions, check_ports, resolve
from shoal.cli.services import broker_command, service_commands, service_environment
from shoal.cli.start_watch import StartUpFailed, watch_start
from shoal.cli.startup import Progress
from shoal.cli.tables import print_models
from shoal.cli.trace_options import trace_remarks
from shoal.cli.usage import usage
from shoal.core.errors import ShoalError
from shoal.memory.preflight import shortage
from shoal.runtime.private_folder import PrivateFolder, sweep
from shoal.runtime.service import (
    EXIT_FAILURE,
    EXIT_OK,
    EnvironmentTrouble,
    configure_logs,
    run_to_exit_code,
)
from shoal.runtime.shared_memory import remove_segments
from shoal.runtime.supervisor import Command, Supervisor
from shoal.telemetry.log_settings import LOG_FILE, LOG_SETTINGS

#: As tritonserver for a command line it cannot follow.
EXIT_USAGE = 1


def serve(argv: Sequence[str]) -> int:
    """Run until a signal; returns the exit code: 0 after a drain, 1 for wrong options and for a start that failed."""
    if "--help" in argv or "-h" in argv:
        sys.stdout.write(usage(option_table.SECTIONS))
        return EXIT_OK
    try:
        given = parse(argv, option_table.OPTIONS)
        options = resolve(given, os.environ)
        check_ports(given)
    except UsageError as error:
        sys.stderr.write(f"{error}\nshoal serve --help lists every option\n")
        return EXIT_USAGE
    for line in [*remarks(given), *trace_remarks(given)]:
        sys.stderr.write(f"{line}\n")
    os.environ[LOG_SETTINGS] = json.dumps(options.log.to_json())
    if options.log_file is not None:
        os.environ[LOG_FILE] = str(options.log_file)
    configure_logs()
    sweep()
    gateways = sum(endpoint is not None for endpoint in (options.http, options.grpc)) * options.gateway_processes
    if complaint := shortage(options.shm_limit_nbytes, processes=gateways + 1):
        sys.stderr.write(f"{complaint}\n")
    with contextlib.ExitStack() as ports:
        try:
            options = _with_ports(options, ports)
        except EnvironmentTrouble as trouble:
            sys.stderr.write(f"{trouble}\n")
            return EXIT_FAILURE
        return run_to_exit_code("serve", _run(options))


def _with_ports(options: ServeOptions, ports: contextlib.ExitStack) -> ServeOptions:
    """Take the ports that several processes share, until `ports` is closed."""

    def taken(endpoint: Endpoint | None) -> Endpoint | None:
        return None if endpoint is None else ports.enter_context(shared_port(endpoint, options.gateway_processes))

    return replace(options, http=taken(options.http), grpc=taken(options.grpc))


async def _run(options: ServeOptions) -> int:
    with PrivateFolder() as folder:
        if options.broker is not None:
            await _check_broker(options.broker)
            return await _run_services(options, options.broker, folder, [])
        broker = prepare_broker(folder / "broker", free_port(), options.namespace)
        return await _run_services(options, broker.settings, folder, [broker_command(broker, folder)])


async def _run_services(options: ServeOptions, settings: BusSettings, folder: Path, before: Sequence[Command]) -> int:
    """Start what must run `before`, then the services; returns the exit code once all of them have ended."""
    server = token_hex(8)
    services = service_commands(options, service_environment(options, settings, folder, server))
    supervisor = Supervisor([*before, *services], options.exit_timeout_s)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.request_stop)
    names = [command.name for command in services]
    starting = asyncio.create_task(_start(settings, names, supervisor, options))
    try:
        return await _supervise(supervisor, starting, options)
    finally:
        await remove_segments(server)


async def _start(
    settings: BusSettings, names: Sequence[str], supervisor: Supervisor, options: ServeOptions
) -> Progress:
    """Wait for the end of the start; whoever is told of it can connect."""
    progress = await watch_start(settings, names, lambda: supervisor.pids)
    await until_listening([(end.address, end.port) for end in (options.http, options.grpc) if end is not None])
    return progress


async def _check_broker(settings: BusSettings) -> None:
    """Tell at once, and once only, when the broker to join cannot be reached."""
    try:
        bus = await Bus.connect(settings, role="cli")
    except ShoalError as error:
        raise EnvironmentTrouble(error.message) from error
    await bus.close()


async def _supervise(supervisor: Supervisor, starting: asyncio.Task[Progress], options: ServeOptions) -> int:
    """Run the services to their end; tells how the start went once `starting` knows."""
    running = asyncio.create_task(supervisor.run())
    stopping = asyncio.create_task(supervisor.stopping.wait())
    try:
        await asyncio.wait({running, starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and not supervisor.stopping.is_set():
            _settle(supervisor, starting, options)
        starting.cancel()
        return await running
    finally:
        tasks = (running, starting, stopping)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _settle(supervisor: Supervisor, starting: asyncio.Task[Progress], options: ServeOptions) -> None:
    """Tell how the start went, and stop everything when it failed."""
    try:
        progress = starting.result()
    except (StartUpFailed, ShoalError) as error:
        sys.stderr.write(f"{error}\n")
        supervisor.request_stop(EXIT_FAILURE)
        return
    supervisor.start_up_done()
    print_models(progress.rows, sys.stdout)
    if progress.trouble:
        sys.stderr.write(f"{progress.trouble}\n")
    if options.exit_on_error and (progress.failed or progress.trouble):
        sys.stderr.write("failed to load all models\n")
        supervisor.request_stop(EXIT_FAILURE)
        return
    if options.grpc is not None:
        sys.stdout.write(f"Started GRPCInferenceService at {options.grpc}\n")
    if options.http is not None:
        sys.stdout.write(f"Started HTTPService at {options.http}\n")
    sys.stdout.flush()
