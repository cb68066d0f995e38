"""How a process ended, in words for people."""

from __future__ import annotations

import signal

#: For an executor that ended by a SIGKILL which the agent did not send.
OUT_OF_MEMORY = "by the kernel, for want of memory: raise the container's memory limit or lower the model's needs"
KILLED_BY_OTHERS = "not sent by the worker: perhaps by hand, or the machine was out of memory (its kernel log tells)"


def exit_text(code: int) -> str:
    """How a process ended; `code` is negative for a signal, as subprocess has it."""
    return f"signal {-code}{_name(-code)}" if code < 0 else f"exit code {code}"


def killed_text(is_out_of_memory: bool) -> str:
    """The same for a SIGKILL that the agent did not send."""
    return f"{exit_text(-signal.SIGKILL)}, {OUT_OF_MEMORY if is_out_of_memory else KILLED_BY_OTHERS}"


def _name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:  # real-time signals have no names
        return ""
