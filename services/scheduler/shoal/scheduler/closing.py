"""Telling submitters that nobody will read the inputs of their requests any more, see `Closed`.

Only what lies in shared memory is told of, and only when no answer of ours says the same: a refusal, `Stale` and
`unknown` do. A request that is in our hands by another way (its batch was believed dead, it is tried again) is told of
when that ends.
"""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.messages import V1, Closed, RequestKey
from shoal.scheduler.actions import Action, Tell
from shoal.scheduler.state import State


def close(state: State, keys: Iterable[RequestKey]) -> list[Action]:
    """Tell the submitters of those of these requests that are not in our hands any more."""
    counters: dict[str, list[int]] = {}
    for key in keys:
        if not state.has(key):
            counters.setdefault(key[0], []).append(key[1])
    return [Tell(submitter, Closed(V1, tuple(found))) for submitter, found in counters.items()]
