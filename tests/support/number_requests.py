"""Requests to the models of `python_models.add_number_model`, over HTTP, one connection each."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple


class Answered(NamedTuple):
    """What a client got: the number of a 200, or the error's text; and how long that took."""

    asked: int
    status: int
    number: int | None
    error: str
    elapsed_s: float


def ask(port: int, model: str, number: int, shape: tuple[int, ...] = (1,), timeout_s: float = 30.0) -> Answered:
    """Send one request; raises OSError when it is not answered at all."""
    tensor = {"name": "IN", "datatype": "INT32", "shape": shape, "data": [number]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    began = time.monotonic()
    try:
        connection.request("POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}))
        answer = connection.getresponse()
        body = json.loads(answer.read())
    finally:
        connection.close()
    elapsed_s = time.monotonic() - began
    if answer.status == 200:
        return Answered(number, 200, body["outputs"][0]["data"][0], "", elapsed_s)
    return Answered(number, answer.status, None, body["error"], elapsed_s)


def ask_all(port: int, model: str, numbers: Iterable[int], shape: tuple[int, ...] = (1,)) -> list[Answered]:
    """Send them all at the same time; the answers are in the order of the numbers."""
    wanted = list(numbers)
    with ThreadPoolExecutor(len(wanted)) as pool:
        return list(pool.map(lambda number: ask(port, model, number, shape), wanted))


def is_ready(port: int, model: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/v2/models/{model}/ready")
        return connection.getresponse().status == 200
    finally:
        connection.close()
