"""The NATS client, with a shorter way for messages in both directions.

nats-py hands each message over a queue to a task of its subscription, which drops messages when the queue is full, and
each publish to a flusher task. Here messages of chosen subscriptions are delivered from the read loop itself, in the
order of the wire and without a queue that could overflow, and bytes are written at once. A receiver that falls behind
slows the socket down, not its own queue. The members of nats-py that this leans on (`_process_msg`, `_transport`,
`_sid`) are held by contract tests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from shoal.bus.nats_py import TcpTransport, nats
from shoal.telemetry.logs import get_logger

#: Called with a message's subject, its data and its raw NATS header block (empty without headers).
Receive = Callable[[bytes, bytes, bytes], None]

_log = get_logger("bus")


class Client(nats.aio.client.Client):
    """A client whose direct subscriptions and writes bypass queues and tasks; use from the event loop's thread only."""

    def __init__(self) -> None:
        super().__init__()
        self._receivers: dict[int, Receive] = {}
        #: Messages delivered by direct subscriptions so far.
        self.received_count = 0

    async def subscribe_direct(self, subject: str, receive: Receive) -> int:
        """Deliver every message of `subject` to `receive`, called synchronously; it must not block.

        Its exceptions are logged and end nothing. Returns a number for `unsubscribe_direct`. The broker knows the
        subscription only after a while: publish to yourself and wait for the message.
        """
        # Claimed before the first await, so that no message can come before its receiver is known.
        number = self._sid + 1
        self._receivers[number] = receive
        await self.subscribe(subject)
        return number

    async def unsubscribe_direct(self, number: int) -> None:
        """Stop a direct subscription. Does nothing when the client is closed already."""
        self._receivers.pop(number, None)
        subscription = self._subs.get(number)
        if subscription is not None and not self.is_closed:
            await subscription.unsubscribe()

    def write_now(self, data: bytes) -> None:
        """Write protocol bytes (whole PUB commands) to the socket; dropped while there is no link."""
        if self._status == self.CONNECTED and self._transport is not None:
            # The socket may be gone while the read loop has not noticed; uvloop raises then.
            with contextlib.suppress(OSError, RuntimeError):
                self._transport.write(data)

    @property
    def backlog_nbytes(self) -> int:
        """Bytes written that the socket did not take yet."""
        transport = self._transport
        if not isinstance(transport, TcpTransport) or transport._io_writer is None:
            return 0
        return transport._io_writer.transport.get_write_buffer_size()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        receive = self._receivers.get(sid)
        if receive is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self.received_count += 1
        try:
            receive(subject, data, headers or b"")
        except Exception:
            # Anything raised here would end the read loop, and with it the process's hearing, silently.
            _log.exception("receiver failed", subject=subject.decode(errors="replace"))
