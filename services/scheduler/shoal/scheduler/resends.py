"""Answers that do not reach their submitter, however often they are sent again."""

from __future__ import annotations

from collections import OrderedDict

from shoal.core.messages import RequestKey

#: An answer is sent again for this long. Submitters ask once a second, and one who reads slowly gets it in the end.
RESEND_LIMIT_NS = 20_000_000_000

#: Requests that are remembered; each is asked after again and again, so that an old one may be forgotten.
_REMEMBERED_LIMIT = 4096


class Resends:
    def __init__(self) -> None:
        self._since_ns: OrderedDict[RequestKey, int] = OrderedDict()

    def is_hopeless(self, key: RequestKey, now: int) -> bool:
        """To be asked before each time that an answer is sent again: whether that has gone on for too long."""
        since_ns = self._since_ns.setdefault(key, now)
        if len(self._since_ns) > _REMEMBERED_LIMIT:
            self._since_ns.popitem(last=False)
        return now - since_ns >= RESEND_LIMIT_NS
