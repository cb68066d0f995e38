import json
from collections.abc import MutableMapping
from typing import Any

from echo_app import EchoApp
from identity_model import binary_body

Event = MutableMapping[str, Any]


async def call(app: EchoApp, path: str, pieces: list[bytes], headers: list[tuple[bytes, bytes]]) -> list[Event]:
    """What the application sends for a request whose body comes in pieces."""
    left, sent = list(pieces), list[Event]()

    async def receive() -> Event:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(event: Event) -> None:
        sent.append(event)

    await app({"path": path, "headers": headers}, receive, send)
    return sent


async def test_the_binary_tail_comes_back_behind_a_header() -> None:
    _, headers, data = binary_body(16)
    json_nbytes = headers[0].split(": ")[1].encode()

    pieces, name = [data[:-64], bytes(range(64))], b"inference-header-content-length"
    start, body = await call(EchoApp(), "/v2/models/identity/infer", pieces, [(name, json_nbytes)])

    header_nbytes = int(dict(start["headers"])[name])
    (output,) = json.loads(body["body"][:header_nbytes])["outputs"]
    assert output["shape"] == [1, 16]
    assert body["body"][header_nbytes:] == bytes(range(64))


async def test_answers_are_counted_as_the_statistics_of_the_model() -> None:
    app = EchoApp()
    await call(app, "/v2/models/identity/infer", [b""], [])

    _, body = await call(app, "/v2/models/identity/versions/1/stats", [], [])

    (stats,) = json.loads(body["body"])["model_stats"]
    assert stats["inference_stats"]["success"]["count"] == 1


async def test_an_unknown_path_is_not_found() -> None:
    start, _ = await call(EchoApp(), "/v2/models/other", [], [])

    assert start["status"] == 404
