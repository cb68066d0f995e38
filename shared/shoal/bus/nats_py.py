"""nats-py without aiohttp, which it imports for WebSockets wherever that is installed: a third of the start-up time of
our processes, and no address that our settings take leads there."""

from __future__ import annotations

import sys

_loaded = {"aiohttp": sys.modules["aiohttp"]} if "aiohttp" in sys.modules else {}
sys.modules["aiohttp"] = None  # type: ignore[assignment]
try:
    import nats.aio.client
    import nats.errors
    from nats.aio.transport import TcpTransport
finally:
    del sys.modules["aiohttp"]
    sys.modules.update(_loaded)

__all__ = ["TcpTransport", "nats"]
