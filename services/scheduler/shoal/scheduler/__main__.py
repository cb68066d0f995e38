"""`python -m shoal.scheduler`: queues, batches and places the requests of all models, or stands by to do so."""

from __future__ import annotations

import argparse
import sys

from shoal.bus import Bus
from shoal.runtime.log_following import following_log_settings
from shoal.runtime.service import Lifecycle, run_service
from shoal.scheduler.service import SchedulerService

#: Other candidates for ownership, instances, links of executors, submitters; all of them count something.
_LISTEN_TO = ("scheduler", "agent", "executor", "gateway")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m shoal.scheduler", description="Scheduler: batches requests and places them on instances"
    )
    return run_service("scheduler", parser, serve, listen_to=_LISTEN_TO)


async def serve(arguments: argparse.Namespace, bus: Bus, lifecycle: Lifecycle) -> None:
    service = SchedulerService(bus)
    service.open()
    await bus.start()
    try:
        async with following_log_settings(bus):
            await service.own()
            await lifecycle.stopping.wait()
            await service.drain()
    finally:
        await service.close()


if __name__ == "__main__":
    sys.exit(main())
