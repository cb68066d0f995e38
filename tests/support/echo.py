"""A model that answers with the complement of its bytes, and requests of any size to it whose answers are checked.

Every eight bytes of a request say which request it is and where in it they are, so bytes of another request, or of
another place, are found out.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from python_models import add_model

MODEL = "echo"
_CONFIG = """
backend: "python"
input [ { name: "IN" data_type: TYPE_UINT64 dims: [ -1 ] } ]
output [ { name: "OUT" data_type: TYPE_UINT64 dims: [ -1 ] } ]
"""
_SOURCE = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.invert(tensor))]) for tensor in tensors]
"""
_LENGTH = "Inference-Header-Content-Length"

Words = npt.NDArray[np.uint64]


class Echoed(NamedTuple):
    """How one request was answered: `is_right` for a 200 with its own bytes, `error` for anything else."""

    number: int
    status: int
    is_right: bool
    error: str
    elapsed_s: float


def add_echo_model(repository: Path) -> None:
    add_model(repository, MODEL, _CONFIG, _SOURCE)


def words_of(number: int, nbytes: int) -> Words:
    """The input of request `number`: `nbytes`, a multiple of 8."""
    return np.arange(nbytes // 8, dtype=np.uint64) + np.uint64(number << 40)


def body_of(number: int, nbytes: int) -> tuple[bytes, dict[str, str]]:
    """Body and headers of request `number`, both tensors in binary form."""
    tensor = {"name": "IN", "datatype": "UINT64", "shape": [nbytes // 8], "parameters": {"binary_data_size": nbytes}}
    outputs = [{"name": "OUT", "parameters": {"binary_data": True}}]
    header = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    return header + words_of(number, nbytes).tobytes(), {_LENGTH: str(len(header))}


def is_answer_to(number: int, nbytes: int, body: bytes, header_nbytes: int) -> bool:
    """Whether the body of a 200 has the complement of that request's bytes, and nothing else behind its header."""
    got = np.frombuffer(body, np.uint8, offset=header_nbytes)
    return got.nbytes == nbytes and bool(np.array_equal(got.view(np.uint64), np.invert(words_of(number, nbytes))))


def exchange(port: int, number: int, nbytes: int, timeout_s: float = 60.0) -> Echoed:
    """Send one request on a connection of its own; raises OSError when it is not answered at all."""
    body, headers = body_of(number, nbytes)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    began = time.monotonic()
    try:
        connection.request("POST", f"/v2/models/{MODEL}/infer", body, headers)
        answer = connection.getresponse()
        got = answer.read()
    finally:
        connection.close()
    elapsed_s = time.monotonic() - began
    if answer.status != 200:
        return Echoed(number, answer.status, False, got.decode(errors="replace")[:500], elapsed_s)
    is_right = is_answer_to(number, nbytes, got, int(answer.headers[_LENGTH]))
    return Echoed(number, 200, is_right, "" if is_right else "other bytes than sent", elapsed_s)


class EchoLoad:
    """`concurrency` threads, each with one request of `nbytes` in flight, from entering to `stop`.

    `statuses` counts the answers by HTTP status, `errors` by text; `wrong` describes right statuses with wrong bytes
    and requests without an answer; `slowest_s` is the longest time that any answer took.
    """

    def __init__(self, port: int, nbytes: int, concurrency: int = 4) -> None:
        self._port, self._nbytes = port, nbytes
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(concurrency)]
        self.statuses: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.slowest_s = 0.0

    def __enter__(self) -> EchoLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            number = next(self._numbers)
            try:
                self._record(exchange(self._port, number, self._nbytes))
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.wrong.append(f"request {number} was not answered: {error!r}")

    def _record(self, answer: Echoed) -> None:
        with self._lock:
            self.statuses[answer.status] += 1
            self.slowest_s = max(self.slowest_s, answer.elapsed_s)
            if answer.status != 200:
                self.errors[answer.error] += 1
            elif not answer.is_right:
                self.wrong.append(f"request {answer.number} was answered with {answer.error}")


def exchange_all(port: int, numbers: Iterable[int], nbytes: int, concurrency: int) -> list[Echoed]:
    """Send them all, so many at a time; the answers are in the order of the numbers."""
    with ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(lambda number: exchange(port, number, nbytes), numbers))
