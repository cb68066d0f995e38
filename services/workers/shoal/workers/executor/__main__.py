"""`python -m shoal.workers.executor MODULE:CLASS BOARD_FD`: started by an agent, and by nobody else."""

from __future__ import annotations

import sys

# nats-py imports aiohttp for WebSockets wherever it is installed; that would be a third of our start-up time.
sys.modules["aiohttp"] = None  # type: ignore[assignment]

from shoal.workers.executor.process import main  # noqa: E402

del sys.modules["aiohttp"]

if __name__ == "__main__":
    main(sys.argv[1:])
