"""A real nats-server for tests, with a store of its own, to be killed and started again."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from shoal.bus import BusSettings, free_port, prepare_broker

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0


class Broker:
    """A nats-server with a file store in a directory of its own, on a free port that it keeps over restarts.

    All methods block until they have their effect; a test's event loop stands still meanwhile.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self._monitor_port = free_port()
        self._broker = prepare_broker(directory, self._port, namespace="test")
        self._process: subprocess.Popen[bytes] | None = None

    def settings(self) -> BusSettings:
        """How to reach it; unchanged by restarts."""
        return self._broker.settings

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def subscriptions(self) -> list[str]:
        """The subjects that clients are subscribed to now."""
        return [subject for client in self._clients() for subject in client.get("subscriptions_list", ())]

    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._clients())

    def start(self, empty: bool = False) -> None:
        """Start and wait until it answers; with the store it had, or an empty one."""
        assert self._process is None
        if empty:
            shutil.rmtree(self._directory / "jetstream", ignore_errors=True)
        argv = [*self._broker.argv, "-a", "127.0.0.1", "-m", str(self._monitor_port)]
        with (self._directory / "nats-server.log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert self._process.poll() is None, (self._directory / "nats-server.log").read_text()
            assert time.monotonic() < deadline, "the broker did not start in time"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._wait()

    def stop(self) -> None:
        """End it by SIGTERM."""
        if self._process is not None:
            self._process.terminate()
            self._wait()

    def _clients(self) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self._monitor_port}/connz?subs=1&limit=4096"
        with urllib.request.urlopen(url, timeout=5) as answer:
            clients: list[dict[str, Any]] = json.load(answer)["connections"]
        return clients

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(STOP_TIMEOUT_S)
        self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1.0) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False
