"""A three-step python ensemble through a whole server: answers, errors, clients that leave, and no memory kept."""

from __future__ import annotations

import http.client
import json
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ensemble_models import ENSEMBLE, REFUSED, SLOW, SLOW_S, write_ensemble
from leaks import LeakCheck
from load_clients import Client, GrpcClient, HttpClient, Refusal
from shoal_server import Server, until

pytestmark = pytest.mark.timeout(120)

SIZES = {"in the message": 16, "64 KiB": 16 * 1024, "1 MiB": 256 * 1024}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = write_ensemble(tmp_path_factory.mktemp("models"))
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), models=models) as server:
        server.wait_until_started()
        yield server
        assert server.stop() == 0, server.output


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Client]:
    client: Client = HttpClient(server.http_port) if request.param == "http" else GrpcClient(server.grpc_port)
    yield client
    client.close()


@pytest.fixture
def nothing_is_kept(server: Server) -> Iterator[LeakCheck]:
    """Every block of shared memory is released in the end, and soon."""
    leaks = LeakCheck(server)
    yield leaks
    until(lambda: not leaks.look().held_blocks, within_s=5)


def numbers(count: int, first: int = 7) -> npt.NDArray[np.int32]:
    return np.arange(first, first + count, dtype=np.int32)


def statistics(server: Server, model: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
    connection.request("GET", f"/v2/models/{model}/stats")
    found: dict[str, Any] = json.loads(connection.getresponse().read())["model_stats"][0]
    connection.close()
    return found


@pytest.mark.parametrize("count", SIZES.values(), ids=SIZES)
def test_an_ensemble_answers_tensors_of_any_size(client: Client, nothing_is_kept: LeakCheck, count: int) -> None:
    for first in range(3):
        answer = client.infer(ENSEMBLE, numbers(count, first), as_json=False)
        assert isinstance(answer, np.ndarray), answer
        np.testing.assert_array_equal(answer, numbers(count, first + 1))


def test_the_error_of_a_middle_step_is_the_ensembles(client: Client, nothing_is_kept: LeakCheck) -> None:
    answer = client.infer(ENSEMBLE, numbers(16 * 1024, REFUSED), as_json=False)
    assert isinstance(answer, Refusal)
    assert answer.status in ("400", "INVALID_ARGUMENT")
    assert f"in ensemble '{ENSEMBLE}', refused the number" in answer.text


def test_intermediate_tensors_are_held_by_the_scheduler_and_not_sent_to_it(
    server: Server, nothing_is_kept: LeakCheck
) -> None:
    connection = leave_open(server, numbers(256 * 1024, SLOW))
    until(lambda: any(held.startswith("scheduler-") for held in nothing_is_kept.look().held_blocks), within_s=5)
    connection.close()


def test_what_a_client_that_left_was_waiting_for_is_given_back(server: Server, nothing_is_kept: LeakCheck) -> None:
    before = statistics(server, "negate")["inference_count"]
    connection = leave_open(server, numbers(16 * 1024, SLOW))
    until(lambda: statistics(server, "negate")["inference_count"] > before, within_s=5)
    connection.close()
    time.sleep(SLOW_S + 0.5)
    assert statistics(server, "negate")["inference_count"] == before + 1, "the last step was not begun"


def test_the_ensemble_and_its_steps_are_counted(server: Server, nothing_is_kept: LeakCheck) -> None:
    before = [statistics(server, name) for name in (ENSEMBLE, "minus_one")]
    client = HttpClient(server.http_port)
    client.infer(ENSEMBLE, numbers(4), as_json=False)
    client.infer(ENSEMBLE, numbers(4, REFUSED), as_json=False)
    client.close()
    after = [statistics(server, name) for name in (ENSEMBLE, "minus_one")]
    grown = [counts(new) - counts(old) for old, new in zip(before, after, strict=True)]
    assert [found.tolist() for found in grown] == [[1, 1, 1, 1], [2, 2, 2, 0]]


def counts(stats: dict[str, Any]) -> npt.NDArray[np.int64]:
    """Inferences, executions, successes and failures."""
    answers = [stats["inference_stats"][name]["count"] for name in ("success", "fail")]
    return np.array([stats["inference_count"], stats["execution_count"], *answers])


def leave_open(server: Server, data: npt.NDArray[np.int32]) -> socket.socket:
    """A connection on which a request is being answered."""
    parameters = {"binary_data_size": data.nbytes}
    tensor = {"name": "IN", "datatype": "INT32", "shape": [1, data.size], "parameters": parameters}
    document = json.dumps({"inputs": [tensor]}).encode()
    lines = (
        f"POST /v2/models/{ENSEMBLE}/infer HTTP/1.1",
        "Host: x",
        f"Content-Length: {len(document) + data.nbytes}",
        f"Inference-Header-Content-Length: {len(document)}",
    )
    connection = socket.create_connection(("127.0.0.1", server.http_port))
    connection.sendall("\r\n".join((*lines, "", "")).encode() + document + data.tobytes())
    return connection
