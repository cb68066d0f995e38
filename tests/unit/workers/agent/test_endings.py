from __future__ import annotations

from shoal.workers.agent.endings import KILLED_BY_OTHERS, OUT_OF_MEMORY, exit_text, killed_text


def test_ends_are_told_in_words() -> None:
    assert exit_text(2) == "exit code 2"
    assert exit_text(-11) == "signal 11 (SIGSEGV)"
    assert exit_text(-40) == "signal 40"


def test_a_kill_that_nobody_here_sent_is_explained() -> None:
    assert killed_text(is_out_of_memory=True) == f"signal 9 (SIGKILL), {OUT_OF_MEMORY}"
    assert killed_text(is_out_of_memory=False) == f"signal 9 (SIGKILL), {KILLED_BY_OTHERS}"
