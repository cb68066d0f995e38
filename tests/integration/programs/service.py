"""A service in the shell that every service runs in: `service.py drain|trouble|fail|return [bus options]`."""

from __future__ import annotations

import argparse
import sys

from shoal.bus import Bus
from shoal.runtime.service import EnvironmentTrouble, Lifecycle, run_service


async def serve(arguments: argparse.Namespace, bus: Bus, lifecycle: Lifecycle) -> None:
    await bus.start()
    print(f"up {bus.incarnation}", flush=True)
    match arguments.behaviour:
        case "trouble":
            raise EnvironmentTrouble("port 1 is in use; choose another one")
        case "fail":
            raise RuntimeError("something broke")
        case "drain":
            await lifecycle.stopping.wait()
            print("drained", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("behaviour", choices=("drain", "trouble", "fail", "return"))
    sys.exit(run_service("example", parser, serve, ()))


if __name__ == "__main__":
    main()
