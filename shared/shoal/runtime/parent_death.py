"""A child that never outlives its parent, however the parent ends.

The parent puts its process id into the child's environment (`child_environment`), the child asks the kernel to be
killed when that parent is gone (`die_with_parent`). The kernel watches the *thread* that spawned the child: spawn
children from a thread that lives as long as the process, which is the main thread for the event loops here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

#: Where a parent tells its child who it is.
PARENT_PID = "SHOAL_PARENT_PID"

#: From <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment for a child that must die with it; `extra` is added or replaces."""
    return {**os.environ, **(extra or {}), PARENT_PID: str(os.getpid())}


def die_with_parent(death_signal: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send `death_signal` to this process when its parent dies; a process without `SHOAL_PARENT_PID`
    in its environment was started by a person and lives on its own.

    A parent that died before the request was in place cannot trigger it any more: then this process ends here. Call it
    as the first thing. The setting survives `exec`, but not `fork`: children have to ask for themselves.
    Raises OSError when the kernel refuses.
    """
    parent = os.environ.get(PARENT_PID)
    if parent is None:
        return
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != int(parent):
        os._exit(1)
