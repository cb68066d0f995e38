"""A supervisor over children that a JSON list describes: `supervise.py '[{"name": ..., "stage": ..., "argv": [...]}]'`.

`--exit-timeout-s` bounds the drain. The exit code is the supervisor's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys

from shoal.runtime.service import configure_logs
from shoal.runtime.supervisor import Command, Supervisor


async def supervise(commands: list[Command], exit_timeout_s: float) -> int:
    supervisor = Supervisor(commands, exit_timeout_s)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, supervisor.request_stop)
    return await supervisor.run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("commands", type=json.loads)
    parser.add_argument("--exit-timeout-s", type=float, default=30.0)
    arguments = parser.parse_args()
    configure_logs()
    commands = [Command(**fields) for fields in arguments.commands]
    sys.exit(asyncio.run(supervise(commands, arguments.exit_timeout_s)))


if __name__ == "__main__":
    main()
