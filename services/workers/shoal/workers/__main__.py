"""`python -m shoal.workers`: the worker agent of this host or container."""

from __future__ import annotations

import argparse
import os
import sys

from shoal.bus import Bus
from shoal.runtime.arguments import positive
from shoal.runtime.log_following import following_log_settings
from shoal.runtime.service import Lifecycle, run_service
from shoal.runtime.settings import bus_settings, to_environment
from shoal.workers.agent.inventory import available_backends
from shoal.workers.agent.service import Agent
from shoal.workers.agent.starting import LOAD_LIMIT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m shoal.workers", description="Worker agent: serves model instances")
    parser.add_argument(
        "--model-load-thread-count",
        type=positive,
        default=LOAD_LIMIT,
        metavar="N",
        help=f"instances that load at the same time (default {LOAD_LIMIT})",
    )
    return run_service("agent", parser, serve, listen_to=())


async def serve(arguments: argparse.Namespace, bus: Bus, lifecycle: Lifecycle) -> None:
    environment = to_environment(bus_settings(arguments, os.environ))
    async with following_log_settings(bus):
        await Agent(bus, available_backends(), environment, arguments.model_load_thread_count).run(lifecycle.stopping)


if __name__ == "__main__":
    sys.exit(main())
