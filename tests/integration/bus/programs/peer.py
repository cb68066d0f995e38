"""A process on the bus: `peer.py URL TOKEN ROLE [own]`. With `own` it stands by for the key `models` and says on
standard output what it gains and loses."""

from __future__ import annotations

import asyncio
import sys

from shoal.bus import Bus, BusSettings, Ownership, View


def say(text: str) -> None:
    print(text, flush=True)


async def main(url: str, token: str, role: str, *options: str) -> None:
    bus = await Bus.connect(BusSettings(url=url, namespace="test", token=token), role, (role,))
    await bus.start()
    if "own" in options:
        view = await View.open(bus, "ownership")
        ownership = Ownership(bus, view, "models", lambda epoch: say(f"gained {epoch}"), lambda: say("lost"))
        await ownership.start()
    await bus.closed.wait()


asyncio.run(main(*sys.argv[1:]))
