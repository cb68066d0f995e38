"""A steady load of `add_sub` requests over HTTP, each checked to the last number."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

MODEL = "add_sub"
#: No answer within this time is a hang.
ANSWER_TIMEOUT_S = 30.0


@dataclass
class Load:
    """`concurrency` threads, each with a connection of its own and one request in flight, until `stop`.

    `statuses` counts the answers by HTTP status; `refused` connections that were not accepted or were closed before
    they answered anything; `wrong` describes answers with other numbers than asked for, and hangs. `successes` are
    readings of `time.monotonic()`; `slowest_s` is the longest time that any answer took.
    """

    port: int
    concurrency: int = 16
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    successes: list[float] = field(default_factory=list)
    slowest_s: float = 0.0

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(self.concurrency)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=ANSWER_TIMEOUT_S + 5)

    def longest_gap_s(self) -> float:
        """The longest time between two successes."""
        times = sorted(self.successes)
        return max((after - before for before, after in itertools.pairwise(times)), default=float("inf"))

    def _run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_TIMEOUT_S)
        value = number * 1_000_000
        while not self._stopping.is_set():
            value += 1
            began = time.monotonic()
            try:
                connection.request("POST", f"/v2/models/{MODEL}/infer", _body(value))
                answer = connection.getresponse()
                self._record(value, answer.status, answer.read(), time.monotonic() - began)
            except TimeoutError:
                with self._lock:
                    self.wrong.append(f"request {value} was not answered in {ANSWER_TIMEOUT_S} s")
            except (OSError, http.client.HTTPException):
                connection.close()
                with self._lock:
                    self.refused += 1
                time.sleep(0.02)
        connection.close()

    def _record(self, value: int, status: int, body: bytes, elapsed_s: float) -> None:
        with self._lock:
            self.statuses[status] += 1
            self.slowest_s = max(self.slowest_s, elapsed_s)
            if status != 200:
                self.errors[body.decode()[:300]] += 1
                return
            self.successes.append(time.monotonic())
            sums = json.loads(body)["outputs"][0]["data"]
            if sums != [value + n + 1 for n in range(4)]:
                self.wrong.append(f"request {value} was answered {sums}")


def _body(value: int) -> bytes:
    def tensor(name: str, data: list[int]) -> dict[str, object]:
        return {"name": name, "datatype": "FP32", "shape": [1, 4], "data": data}

    return json.dumps({"inputs": [tensor("INPUT0", [value] * 4), tensor("INPUT1", [1, 2, 3, 4])]}).encode()
