from __future__ import annotations

from shoal.core.messages import EndedExecutor
from shoal.workers.agent.ended import TOLD_FOR_S, EndedExecutors

ONE = EndedExecutor("executor-1", "signal 9", ((5, 42),))
TWO = EndedExecutor("executor-2", "exit code 0", ())


def test_each_end_is_told_for_a_while() -> None:
    ended = EndedExecutors()
    ended.note(ONE, 100.0)
    ended.note(TWO, 105.0)
    assert ended.recent(100.0 + TOLD_FOR_S) == (ONE, TWO)
    assert ended.recent(100.1 + TOLD_FOR_S) == (TWO,)
    assert ended.recent(105.1 + TOLD_FOR_S) == ()
