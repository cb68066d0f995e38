"""`python -m shoal.workers.executor MODULE:CLASS BOARD_FD`: started by an agent, and by nobody else."""

from __future__ import annotations

import sys

from shoal.workers.executor.process import main

if __name__ == "__main__":
    main(sys.argv[1:])
