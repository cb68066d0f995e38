"""Load of many kinds at once, over HTTP and gRPC, every answer checked to the last byte.

Each request has content of its own: element `i` of request `k` is a number that depends on both, and the models answer
with that number plus one. So an answer with any byte of another request, or of a moment before, is told from the right
one, and says whose it is.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from load_clients import ANSWER_TIMEOUT_S, Broken, Client, GrpcClient, HttpClient, Int32, NotAccepted, Refusal
from load_models import ONNX_MODEL, PYTHON_MODEL

#: Any odd number makes neighbours differ in all their bytes.
_SPREAD = np.uint32(0x9E3779B1)
_PAUSE_AFTER_TROUBLE_S = 0.02


class Kind(NamedTuple):
    """One kind of request: `elements` INT32 elements, in JSON or in bytes (gRPC: always bytes)."""

    model: str
    elements: int
    as_json: bool = False


#: 64 bytes, 64 KiB, 600 KB and 8 MB, in JSON where people would; as often as the weights say.
KINDS = {
    Kind(PYTHON_MODEL, 16): 20,
    Kind(PYTHON_MODEL, 16, as_json=True): 20,
    Kind(ONNX_MODEL, 16): 20,
    Kind(PYTHON_MODEL, 16_384): 12,
    Kind(ONNX_MODEL, 16_384): 12,
    Kind(ONNX_MODEL, 16_384, as_json=True): 3,
    Kind(PYTHON_MODEL, 150_000): 6,
    Kind(ONNX_MODEL, 150_000): 4,
    Kind(PYTHON_MODEL, 2_000_000): 2,
    Kind(ONNX_MODEL, 2_000_000): 1,
}
#: The largest ones alone.
LARGEST = {kind: 1 for kind in KINDS if kind.elements == max(each.elements for each in KINDS)}


class Success(NamedTuple):
    """A request that was answered right; `began` and `ended` are readings of `time.monotonic()`."""

    protocol: str
    kind: Kind
    began: float
    ended: float


class Trouble(NamedTuple):
    """A request without a tensor in its answer. `what`: a status ("503", "UNAVAILABLE"), or `BROKEN` (no answer on a
    connection that had been accepted) or `NOT_ACCEPTED`. `began` and `ended` are readings of `time.monotonic()`."""

    protocol: str
    kind: Kind
    what: str
    text: str
    began: float
    ended: float


BROKEN, NOT_ACCEPTED = "broken", "not accepted"


class MixedLoad:
    """Threads with a client and one request in flight each, from entering to leaving it.

    Every request is counted once: in `successes`, in `troubles`, or, when it was answered with other contents or hangs,
    in `wrong`, in words.
    """

    def __init__(
        self,
        http_port: int,
        grpc_port: int,
        *,
        kinds: Mapping[Kind, int] | None = None,
        http: int = 4,
        grpc: int = 4,
        pause_s: float = 0.0,
        seed: int = 0,
    ) -> None:
        """`kinds` has their weights, `KINDS` by default. `http` and `grpc` are numbers of threads; each sleeps for
        `pause_s` on average after every request."""
        self._kinds = dict(KINDS if kinds is None else kinds)
        self.successes: list[Success] = []
        self.troubles: list[Trouble] = []
        self.wrong: list[str] = []
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        clients: list[Callable[[], Client]] = [lambda: HttpClient(http_port)] * http
        clients += [lambda: GrpcClient(grpc_port)] * grpc
        self._threads = [
            threading.Thread(target=self._run, args=(client, number, random.Random(seed * 1000 + number)))
            for number, client in enumerate(clients)
        ]

    def __enter__(self) -> MixedLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=ANSWER_TIMEOUT_S + 5)

    @property
    def slowest_s(self) -> float:
        """The longest that a right answer took."""
        return max((success.ended - success.began for success in self.successes), default=0.0)

    def whats(self) -> Counter[tuple[str, str]]:
        """How often each trouble came, by protocol and what it was."""
        return Counter((trouble.protocol, trouble.what) for trouble in self.troubles)

    def _run(self, connect: Callable[[], Client], number: int, dice: random.Random) -> None:
        client = connect()
        kinds, weights = list(self._kinds), list(self._kinds.values())
        contents = {count: Contents(count) for count in {kind.elements for kind in kinds}}
        for key in itertools.count(number << 24):
            if self._stopping.is_set():
                break
            (kind,) = dice.choices(kinds, weights)
            self._ask(client, kind, key, contents[kind.elements])
            if self._pause_s:
                time.sleep(dice.uniform(0, 2 * self._pause_s))
        client.close()

    def _ask(self, client: Client, kind: Kind, key: int, contents: Contents) -> None:
        began = time.monotonic()
        try:
            answer = client.infer(kind.model, contents.of(key), kind.as_json)
        except TimeoutError as error:
            with self._lock:
                self.wrong.append(f"{client.protocol} {kind}: not answered in {ANSWER_TIMEOUT_S:.0f} s ({error})")
        except Broken as error:
            self._note(Trouble(client.protocol, kind, BROKEN, str(error), began, time.monotonic()))
        except NotAccepted as error:
            self._note(Trouble(client.protocol, kind, NOT_ACCEPTED, str(error), began, time.monotonic()))
        else:
            if isinstance(answer, Refusal):
                self._note(Trouble(client.protocol, kind, *answer, began, time.monotonic()))
            else:
                self._check(Success(client.protocol, kind, began, time.monotonic()), contents.difference(key, answer))

    def _note(self, trouble: Trouble) -> None:
        with self._lock:
            self.troubles.append(trouble)
        time.sleep(_PAUSE_AFTER_TROUBLE_S)

    def _check(self, success: Success, difference: str) -> None:
        with self._lock:
            if difference:
                self.wrong.append(f"{success.protocol} {success.kind}: {difference}")
            else:
                self.successes.append(success)


class Contents:
    """What requests of `count` elements send and expect; belongs to one thread, which has one request in flight."""

    def __init__(self, count: int) -> None:
        self._base = np.arange(count, dtype=np.uint32) * _SPREAD
        self._data = np.empty(count, np.uint32)

    def of(self, key: int) -> Int32:
        """The data of request `key`, shape [count]; overwritten by the next call."""
        np.add(self._base, np.uint32(key), out=self._data)
        return self._data.view(np.int32)

    def difference(self, key: int, answer: Int32) -> str:
        """What is wrong with the answer to request `key`; empty when nothing is."""
        found = answer.view(np.uint32)
        if found.shape != self._data.shape:
            return f"{found.size} elements instead of {self._data.size}"
        np.add(self._base, np.uint32(key + 1), out=self._data)
        if np.array_equal(found, self._data):
            return ""
        places: Sequence[int] = np.flatnonzero(found != self._data).tolist()
        first, whose = places[0], int(found[places[0]] - self._base[places[0]] - np.uint32(1))
        return (
            f"request {key:#x} differs in {len(places)} of {found.size} elements, from {first} to {places[-1]}: "
            f"{int(found[first]):#x} instead of {int(self._data[first]):#x}, as request {whose:#x} would have there"
        )
