"""A sender that remembers what a backend gives it."""

from __future__ import annotations

import threading

from shoal.core.errors import ShoalError
from shoal.workers.backend import Response, SenderClosed


class RecordedSender:
    """A `Sender` without a client. `sent` are responses with their final flags, `failure` is what ended it instead."""

    def __init__(self) -> None:
        self.sent: list[tuple[Response | None, bool]] = []
        self.failure: ShoalError | None = None
        self.is_over = threading.Event()

    def send(self, response: Response | None, is_final: bool) -> None:
        if self.is_over.is_set():
            raise SenderClosed("the request was answered finally before")
        copied = response and response._replace(outputs=tuple(t._replace(data=bytes(t.data)) for t in response.outputs))
        self.sent.append((copied, is_final))
        if is_final:
            self.is_over.set()

    def fail(self, error: ShoalError) -> None:
        if not self.is_over.is_set():
            self.failure = error
            self.is_over.set()

    @property
    def finals(self) -> list[bool]:
        return [is_final for _, is_final in self.sent]
