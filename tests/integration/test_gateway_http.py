"""The HTTP gateway as a real process on a real broker; everything else is scripted by the test."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
import select
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http

from broker_process import Broker
from gateway_models import add_sub, entry, one_input
from gateway_stage import GatewayProcess, Scheduler, Stage
from shoal.bus import Part
from shoal.core.desired import encode
from shoal.core.errors import Code
from shoal.core.messages import NO_TIMINGS, V1, V2, InferRequest, InferResponse, NotOwner, Stale

INFER = "/v2/models/addsub/infer"
GOOD: dict[str, Any] = {
    "inputs": [
        {"name": "LEFT", "datatype": "INT32", "shape": [4], "data": [1, 2, 3, 4]},
        {"name": "RIGHT", "datatype": "INT32", "shape": [4], "data": [10, 20, 30, 40]},
    ]
}
BODY = json.dumps(GOOD).encode()


def raw_request(body: bytes) -> bytes:
    return b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (INFER.encode(), len(body)) + body


@pytest.fixture
async def stage(broker: Broker, tmp_path: Path) -> AsyncIterator[Stage]:
    configs = add_sub(), {**one_input("TYPE_INT32", [-1]), "name": "large"}
    async with Stage.open(broker.settings(), tmp_path, *configs, announced=("late",)) as stage:
        yield stage


def silent(sender: str, request: InferRequest, part: Part) -> None:
    """A scheduler that never answers."""


def output(body: bytes, name: str) -> list[int]:
    rows = {row["name"]: row["data"] for row in json.loads(body)["outputs"]}
    data: list[int] = rows[name]
    return data


async def test_a_json_request_is_answered_in_json(stage: Stage) -> None:
    status, content_type, body = await stage.gateway.post(INFER, GOOD)
    assert (status, content_type) == (200, "application/json")
    assert (output(body, "SUM"), output(body, "DIFF")) == ([11, 22, 33, 44], [-9, -18, -27, -36])


async def test_the_official_client_gets_its_tensors(stage: Stage) -> None:
    def infer(**compression: str) -> list[int]:
        with tritonclient.http.InferenceServerClient(f"127.0.0.1:{stage.gateway.port}") as client:
            inputs = []
            for name, values in (("LEFT", [1, 2, 3, 4]), ("RIGHT", [4, 3, 2, 1])):
                tensor = tritonclient.http.InferInput(name, [4], "INT32")
                tensor.set_data_from_numpy(np.array(values, np.int32))
                inputs.append(tensor)
            result = client.infer("addsub", inputs, request_id="r1", **compression)
            assert result.get_response()["id"] == "r1"
            summed: list[int] = result.as_numpy("SUM").tolist()
            return summed

    assert await asyncio.to_thread(infer) == [5, 5, 5, 5]
    zipped = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "deflate"}
    assert await asyncio.to_thread(infer, **zipped) == [5, 5, 5, 5]


async def test_large_binary_tensors_come_back_whole(stage: Stage) -> None:
    values = np.arange(1_000_000, dtype="<i4")

    def double(sender: str, request: InferRequest, part: Part) -> None:
        values = np.frombuffer(stage.scheduler.read(request.inputs[0], part), "<i4")
        stage.scheduler.respond(sender, request, Y=values * 2)

    stage.scheduler.answer = double
    headers = {"Inference-Header-Content-Length": "0"}
    status, content_type, body = await stage.gateway.ask("POST", "/v2/models/large/infer", values.tobytes(), headers)
    assert (status, content_type) == (200, "application/octet-stream")
    assert body.endswith((values * 2).tobytes())


async def test_large_json_and_compressed_bodies_are_served(stage: Stage) -> None:
    values = np.random.default_rng(3).integers(0, 2**31, 200_000, "<i4")

    def negate(sender: str, request: InferRequest, part: Part) -> None:
        given = np.frombuffer(stage.scheduler.read(request.inputs[0], part), "<i4")
        stage.scheduler.respond(sender, request, Y=-given)

    stage.scheduler.answer = negate
    tensor = {"name": "X", "datatype": "INT32", "shape": [len(values)], "data": values.tolist()}
    document = json.dumps({"inputs": [tensor]}).encode()
    assert len(document) > 2**20
    for body, headers in ((document, {}), (gzip.compress(document, 1), {"Content-Encoding": "gzip"})):
        status, _, answer = await stage.gateway.ask("POST", "/v2/models/large/infer", body, headers)
        assert status == 200
        assert output(answer, "Y") == (-values).tolist()


#: Method, path, status, whether the answer is JSON by its type, and its error ("" for an empty body).
ANSWERS = [
    ("GET", "/v2/health/live", 200, False, ""),
    ("GET", "/v2/health/live?x=1", 200, False, ""),
    ("POST", "/v2/health/live", 405, False, "Method Not Allowed"),
    ("HEAD", "/v2/health/live", 405, False, ""),
    ("GET", "/v2/health/live/", 404, False, "Not Found"),
    ("GET", "/v2/models/nobody/ready", 400, False, "Model version not ready"),
    ("GET", "/v2/models/addsub/versions/1/ready", 200, False, ""),
    ("POST", "/v2", 405, True, "Method Not Allowed"),
    ("GET", "/v2/", 404, False, "Not Found"),
    ("GET", "//v2", 404, False, "Not Found"),
    ("GET", "/v2/models", 404, False, "Not Found"),
    ("GET", "/v2/models/addsub/versions/one", 404, False, "Not Found"),
    ("GET", "/v2/models/add%73ub", 404, True, "Request for unknown model: 'add%73ub' is not found"),
    ("POST", "/v2/models/addsub%2Fx/infer", 404, False, "Request for unknown model: 'addsub%2Fx' is not found"),
    (
        "POST",
        "/v2/models/addsub/versions/8/infer",
        404,
        False,
        "Request for unknown model: 'addsub' version 8 is not found",
    ),
    ("POST", "/v2/models/addsub/infer/", 404, False, "Not Found"),
    ("POST", "/v2/models/../models/addsub/infer", 404, False, "Not Found"),
    ("OPTIONS", "/v2/models/addsub/infer", 405, False, "Method Not Allowed"),
    ("GET", "/v2/repository/index", 405, True, "Method Not Allowed"),
    (
        "POST",
        "/v2/repository/models/addsub/load",
        503,
        True,
        "explicit model load / unload is not allowed if polling is enabled",
    ),
    ("POST", "/v2/repository/r/models/addsub/load", 501, True, "'repository_name' specification is not supported"),
    ("PUT", "/v2/logging", 405, True, "Method Not Allowed"),
    ("GET", "/v2/models/nobody/stats", 400, True, "requested model 'nobody' is not available"),
]


async def test_paths_and_methods_are_answered_as_triton_does(stage: Stage) -> None:
    for method, path, *expected in ANSWERS:
        status, content_type, body = await stage.gateway.ask(method, path)
        error = json.loads(body)["error"] if body else ""
        assert [status, content_type == "application/json", error] == expected, path


#: First line of a request, and what its answer says; None where it does not come to us.
ODD_REQUESTS = [
    (b"POST /v2/models/\xff\xfe/infer", None),
    (
        b"POST /v2/models/addsub/versions/" + b"9" * 4000 + b"/infer",
        f"Request for unknown model: 'addsub' version {'9' * 4000} is not found",
    ),
    (b"POST /v2/models/addsub/versions/" + b"9" * 5000 + b"/infer", "URI Too Long"),
    (b"GET /v2/models/addsub/versions/" + b"9" * 5000, "URI Too Long"),
    (b"GET /v2/models/" + b"a" * 4000, f"Request for unknown model: '{'a' * 4000}' is not found"),
    (b"POST /v2/models/a\x00b/infer", None),
]


async def test_odd_paths_are_refused_without_an_internal_error(stage: Stage) -> None:
    def exchange(line: bytes) -> tuple[bytes, bytes]:
        with socket.create_connection(("127.0.0.1", stage.gateway.port), timeout=10) as connection:
            connection.sendall(line + b" HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
            head, _, body = answer.partition(b"\r\n\r\n")
            return head, body

    for line, expected in ODD_REQUESTS:
        head, body = await asyncio.to_thread(exchange, line)
        assert b" 4" in head[:12], head
        assert expected is None or json.loads(body)["error"] == expected
    assert "request failed" not in stage.gateway.log


@pytest.mark.parametrize("start", [b"GET /v2 HTTP/1.1\r\nX-Long: ", b"GET /"])
async def test_a_head_without_an_end_is_refused(stage: Stage, start: bytes) -> None:
    def exchange() -> bytes:
        with socket.create_connection(("127.0.0.1", stage.gateway.port), timeout=10) as connection:
            connection.sendall(start)
            with contextlib.suppress(ConnectionError):
                for _ in range(20):
                    connection.sendall(b"a" * 100_000)
                    if select.select([connection], [], [], 0.05)[0]:
                        return connection.recv(65536)
            return b""

    assert (await asyncio.to_thread(exchange)).startswith(b"HTTP/1.1 431 ")


async def test_a_head_after_a_large_body_is_not_taken_for_a_large_head(stage: Stage) -> None:
    stage.scheduler.answer = lambda sender, request, part: stage.scheduler.respond(
        sender, request, Y=np.frombuffer(stage.scheduler.read(request.inputs[0], part), "<i4")[:1]
    )
    values = np.arange(500_000, dtype="<i4").tobytes()
    first = b"POST /v2/models/large/infer HTTP/1.1\r\nInference-Header-Content-Length: 0\r\nContent-Length: %d\r\n\r\n"
    second = b"GET /v2 HTTP/1.1\r\n", b"Connection: close\r\n\r\n"

    def exchange() -> bytes:
        with socket.create_connection(("127.0.0.1", stage.gateway.port), timeout=10) as connection:
            connection.sendall(first % len(values) + values + second[0])
            time.sleep(0.2)
            connection.sendall(second[1])
            return b"".join(iter(lambda: connection.recv(65536), b""))

    assert (await asyncio.to_thread(exchange)).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("value", ["9" * 30, "9" * 400, "9" * 5000, "\u00b2"])
async def test_an_odd_deadline_is_refused(stage: Stage, value: str) -> None:
    status, _, body = await stage.gateway.ask("POST", INFER, BODY, {"Request-Timeout-Ms": value})
    assert (status, json.loads(body)["error"][:34]) == (400, "Unable to parse Request-Timeout-Ms")


def say(port: int, *pieces: bytes) -> list[bytes]:
    """What a connection receives after each of these pieces was sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        heard = []
        for piece in pieces:
            connection.sendall(piece)
            heard.append(connection.recv(65536))
        return heard


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(stage: Stage) -> None:
    head = b"POST %s HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    asked, answer = await asyncio.to_thread(say, stage.gateway.port, head % (INFER.encode(), len(BODY)), BODY)
    assert (asked, answer[:15]) == (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK")
    (refusal,) = await asyncio.to_thread(say, stage.gateway.port, head % (INFER.encode(), 2**40))
    assert refusal.startswith(b"HTTP/1.1 400 ")


async def test_a_request_that_offers_another_protocol_is_served_in_this_one(stage: Stage) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    request = b"POST %s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n" % (INFER.encode(), offer, len(BODY)) + BODY
    answers = await asyncio.to_thread(say, stage.gateway.port, request, raw_request(BODY))
    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * 2


LOAD = "/v2/repository/models/addsub/load"
UNLOAD = "/v2/repository/models/addsub/unload"
NOT_ALLOWED = "explicit model load / unload is not allowed if polling is enabled"
#: Path, body, status and error of requests to load and to unload.
CONTROL = [
    (LOAD, b'{"parameters":{"config":"{}","file:1/model.py":"YQ=="}}', 503, NOT_ALLOWED),
    (LOAD, b'{"parameters":{"config":5}}', 500, "attempt to access JSON non-string as string"),
    (LOAD, b"{", 500, "failed to parse the request JSON buffer: Missing a name for object member. at 1"),
    (UNLOAD, b'{"parameters":{"unload_dependents":true}}', 503, NOT_ALLOWED),
    (
        UNLOAD,
        b'{"parameters":{"unload_dependents":1}}',
        500,
        "Unable to parse 'unload_dependents': attempt to access JSON non-boolean as boolean",
    ),
]


@pytest.mark.parametrize(("path", "body", "status", "error"), CONTROL)
async def test_requests_to_load_and_unload_are_checked_first(
    stage: Stage, path: str, body: bytes, status: int, error: str
) -> None:
    got, content_type, answer = await stage.gateway.ask("POST", path, body)
    assert (got, content_type, json.loads(answer)["error"]) == (status, "application/json", error)


async def test_bodies_of_other_routes_are_bounded_and_not_in_flight_any_more(stage: Stage) -> None:
    for _ in range(5):
        status, _, body = await stage.gateway.ask("POST", LOAD, b" " * (65 * 1024 * 1024))
        assert (status, b"exceeds the maximum allowed size of 67108864 bytes" in body) == (400, True)
    assert (await stage.gateway.post(INFER, GOOD))[0] == 200


async def test_models_are_described(stage: Stage) -> None:
    _, _, metadata = await stage.gateway.get("/v2/models/addsub")
    assert json.loads(metadata)["inputs"][0] == {"name": "LEFT", "datatype": "INT32", "shape": [4]}
    _, _, config = await stage.gateway.get("/v2/models/addsub/config")
    assert json.loads(config) == add_sub()
    _, _, server = await stage.gateway.get("/v2")
    assert json.loads(server)["name"] == "triton"
    _, _, index = await stage.gateway.post("/v2/repository/index", {"ready": True})
    assert json.loads(index)[0] == {"name": "addsub", "version": "1", "state": "READY"}


async def test_errors_before_the_execution_are_json_and_those_of_the_execution_plain(stage: Stage) -> None:
    status, content_type, _ = await stage.gateway.post(INFER, {"inputs": GOOD["inputs"][:1]})
    assert (status, content_type) == (400, "application/json")

    def refuse(sender: str, request: InferRequest, part: Part) -> None:
        error = (int(Code.INTERNAL), "not a number")
        stage.scheduler.bus.send(
            sender, InferResponse(V2, request.counter, 0, True, True, error, (), {}, NO_TIMINGS, False)
        )

    stage.scheduler.answer = refuse
    assert await stage.gateway.post(INFER, GOOD) == (500, "text/plain", b'{"error":"not a number"}')


async def test_a_connection_goes_on_after_an_error(stage: Stage) -> None:
    def exchange() -> list[bytes]:
        with socket.create_connection(("127.0.0.1", stage.gateway.port)) as connection:
            lines = []
            for body in (b"{", BODY):
                connection.sendall(
                    b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (INFER.encode(), len(body)) + body
                )
                lines.append(connection.recv(65536).split(b"\r\n")[0])
            return lines

    assert await asyncio.to_thread(exchange) == [b"HTTP/1.1 500 Internal Server Error", b"HTTP/1.1 200 OK"]


async def test_statistics_count_every_answer(stage: Stage) -> None:
    for _ in range(3):
        await stage.gateway.post(INFER, GOOD)
    _, _, body = await stage.gateway.get("/v2/models/addsub/stats")
    (entry_,) = json.loads(body)["model_stats"]
    inference = entry_["inference_stats"]
    assert (inference["success"]["count"], inference["fail"]["count"]) == (3, 0)
    assert inference["queue"] == {"count": 3, "ns": 3_000}
    assert inference["compute_infer"] == {"count": 3, "ns": 60}


async def test_a_client_that_leaves_cancels_its_request(stage: Stage) -> None:
    stage.scheduler.answer = silent

    with socket.create_connection(("127.0.0.1", stage.gateway.port)) as connection:
        connection.sendall(raw_request(BODY))
        await stage.scheduler.until(lambda: len(stage.scheduler.requests) == 1)
    await stage.scheduler.until(lambda: stage.scheduler.cancelled == [stage.scheduler.requests[0].counter])


async def test_a_deadline_travels_with_the_request_and_ends_it(stage: Stage) -> None:
    stage.scheduler.answer = silent
    status, _, body = await stage.gateway.ask("POST", INFER, BODY, {"Request-Timeout-Ms": "200"})
    assert status == 503
    assert re.search(rb"deadline of (199|200) ms passed", body)
    remaining_us = stage.scheduler.requests[0].deadline_us
    assert remaining_us is not None
    assert 0 < remaining_us <= 200_000


async def test_a_body_larger_than_may_ever_be_in_flight_is_refused_before_it_is_read(stage: Stage) -> None:
    status, _, body = await stage.gateway.ask("POST", INFER, None, {"Content-Length": str(300 * 1024 * 1024)})
    assert status == 400
    assert b"send less at once" in body


async def test_a_new_owner_gets_what_the_old_one_did_not_answer(stage: Stage, broker: Broker) -> None:
    stage.scheduler.answer = silent
    asking = asyncio.create_task(stage.gateway.post(INFER, GOOD))
    await stage.scheduler.until(lambda: len(stage.scheduler.requests) == 1)
    async with Scheduler.start(broker.settings(), epoch=8) as successor:
        await successor.until(lambda: len(successor.asked) == 1)
        status, _, body = await asking
        assert (status, output(body, "SUM")) == (200, [11, 22, 33, 44])
        assert [request.counter for request in successor.requests] == [1]


async def test_a_request_that_came_to_a_former_owner_is_sent_to_the_new_one(stage: Stage, broker: Broker) -> None:
    def refuse(sender: str, request: InferRequest, part: Part) -> None:
        stage.scheduler.bus.send(sender, NotOwner(V1, (request.counter,)))

    stage.scheduler.answer = refuse
    async with Scheduler.start(broker.settings(), epoch=8) as successor:
        status, _, body = await stage.gateway.post(INFER, GOOD)
        assert (status, output(body, "SUM")) == (200, [11, 22, 33, 44])
        assert len(successor.requests) == 1


async def test_a_stale_request_is_checked_against_the_live_generation_and_sent_again(stage: Stage) -> None:
    def refuse_once(sender: str, request: InferRequest, part: Part) -> None:
        stage.scheduler.answer = stage.scheduler.add_and_subtract
        stage.scheduler.bus.send(sender, Stale(V1, (request.counter,)))

    stage.scheduler.answer = refuse_once
    status, _, _ = await stage.gateway.post(INFER, GOOD)
    assert status == 200
    assert len(stage.scheduler.requests) == 2


async def test_a_model_that_was_just_confirmed_is_not_denied(stage: Stage) -> None:
    for attempt in range(5):
        config = {**add_sub(), "name": "late"}
        await stage.desired.put("late", encode(entry(config, 1)))
        status, _, body = await stage.gateway.post("/v2/models/late/infer", GOOD)
        assert status == 200, (attempt, body)
        await stage.desired.delete("late")
        # Once the gateway has noticed, the next round begins without the model.
        while (await stage.gateway.get("/v2/models/late/ready"))[0] == 200:
            pass


async def test_a_model_whose_new_generation_is_not_loaded_makes_the_server_unready(stage: Stage) -> None:
    await stage.desired.put("addsub", encode(entry(add_sub(), 1, generation="g2")))
    await stage.gateway.ready_is(400)
    assert (await stage.gateway.get("/v2/health/live"))[0] == 200


@pytest.mark.slow
async def test_a_broker_that_is_away_makes_the_gateway_unready_and_refuse_until_it_is_back(
    stage: Stage, broker: Broker
) -> None:
    broker.kill()
    await stage.gateway.ready_is(400)
    await asyncio.sleep(1.2)
    status, _, body = await stage.gateway.post(INFER, GOOD)
    assert status == 503
    assert b"the message broker cannot be reached" in body
    broker.start()
    await stage.gateway.started()
    assert (await stage.gateway.post(INFER, GOOD))[0] == 200


@pytest.mark.slow
async def test_requests_in_flight_survive_a_restart_of_the_broker(stage: Stage, broker: Broker) -> None:
    stage.scheduler.answer = silent
    asking = asyncio.create_task(stage.gateway.post(INFER, GOOD))
    await stage.scheduler.until(lambda: len(stage.scheduler.requests) == 1)
    stage.scheduler.requests.clear()
    stage.scheduler.answer = stage.scheduler.add_and_subtract
    broker.kill()
    broker.start()
    status, _, body = await asking
    assert (status, output(body, "SUM")) == (200, [11, 22, 33, 44])


async def test_the_first_signal_lets_requests_finish_and_ends_with_zero(stage: Stage) -> None:
    answers: list[tuple[str, InferRequest, Part]] = []

    def later(sender: str, request: InferRequest, part: Part) -> None:
        answers.append((sender, request, part))

    stage.scheduler.answer = later
    asking = asyncio.create_task(stage.gateway.post(INFER, GOOD))
    await stage.scheduler.until(lambda: bool(answers))
    stage.gateway.process.send_signal(signal.SIGTERM)
    await stage.gateway.ready_is(503)
    await asyncio.sleep(0.5)
    stage.scheduler.add_and_subtract(*answers[0])
    assert (await asking)[0] == 200
    assert await stage.gateway.ended() == 0


async def test_a_port_in_use_ends_the_process_with_a_text(stage: Stage, broker: Broker, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    second = GatewayProcess(broker.settings(), folder, f"--http-port={stage.gateway.port}")
    assert await second.ended() == 3
    assert f"Socket '127.0.0.1:{stage.gateway.port}' already in use" in second.log
