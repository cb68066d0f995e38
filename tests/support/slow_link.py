"""A TCP relay that keeps the answer waiting: for clients that read slowly, whatever protocol they speak."""

from __future__ import annotations

import contextlib
import socket
import threading

_READ_NBYTES = 16 * 1024
#: Small, so that what nobody reads stays where it was sent from.
_BUFFER_NBYTES = 16 * 1024
_JOIN_S = 10.0


class SlowLink:
    """Relays one connection to `target_port` of the loopback interface. Requests pass at once; of what comes back the
    first `free_nbytes` do, and the rest only after `hurry`. `port` is where it listens."""

    def __init__(self, target_port: int, free_nbytes: int) -> None:
        self._target_port = target_port
        self._free_nbytes = free_nbytes
        self._hurry = threading.Event()
        self._waiting = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._serve)]
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> SlowLink:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._hurry.set()
        for opened in self._sockets:
            # Wakes whoever waits for it, which closing alone does not.
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_JOIN_S)
        for opened in self._sockets:
            opened.close()

    def wait_until_slow(self, within_s: float = 20.0) -> None:
        """Return when so much of the answer has passed that the rest waits."""
        assert self._waiting.wait(within_s), "the answer did not begin in time"

    def hurry(self) -> None:
        """Let everything pass."""
        self._hurry.set()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            server = socket.socket()
            self._sockets += [client, server]
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_NBYTES)
            server.connect(("127.0.0.1", self._target_port))
            forward = threading.Thread(target=self._relay, args=(client, server, False))
            self._threads.append(forward)
            forward.start()
            self._relay(server, client, True)

    def _relay(self, source: socket.socket, target: socket.socket, is_slow: bool) -> None:
        passed_nbytes = 0
        with contextlib.suppress(OSError):
            while data := source.recv(_READ_NBYTES):
                passed_nbytes += len(data)
                if is_slow and passed_nbytes > self._free_nbytes:
                    self._waiting.set()
                    self._hurry.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
