"""API keys and TLS in front of a whole server: who gets in, what exists for them, and how much they may ask for."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from certificates import Certificates
from shoal.core.api_keys import digest_of
from shoal_server import Server

KEYS = {
    "all": 'scopes = ["infer", "read", "manage"]',
    "sums": 'scopes = ["infer", "read"]\nmodels = ["add*"]',
    "reader": 'scopes = ["read"]',
    "slow": 'scopes = ["infer"]\nrequests_per_second = 0.01\nburst = 2',
}
INPUTS = [{"name": name, "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]} for name in ("INPUT0", "INPUT1")]
BODY = json.dumps({"inputs": INPUTS}).encode()


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    document: Any


class Guarded:
    """A running server with keys and TLS; the secret of a key is its name."""

    def __init__(self, server: Server, made: Certificates) -> None:
        self.server = server
        self.made = made

    def ask(self, method: str, path: str, key: str | None = None, body: bytes | None = None) -> Reply:
        context = ssl.create_default_context(cafile=str(self.made.ca))
        link = http.client.HTTPSConnection("127.0.0.1", self.server.http_port, timeout=30, context=context)
        try:
            link.request(method, path, body, {} if key is None else {"Authorization": f"Bearer {key}"})
            response = link.getresponse()
            text = response.read()
            return Reply(response.status, response.headers, json.loads(text) if text else None)
        finally:
            link.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("server")
    made = Certificates(folder)
    keys = folder / "keys.toml"
    keys.write_text(
        "".join(
            f'[[key]]\nname = "{name}"\nsha256 = "{digest_of(name.encode()).hex()}"\n{more}\n'
            for name, more in KEYS.items()
        )
    )
    flags = [f"--api-keys={keys}", *made.flags("http"), "--grpc-use-ssl=true", *made.flags("grpc")]
    with Server(folder, *flags) as server:
        server.wait_until_started()
        yield Guarded(server, made)
        assert server.stop() == 0


def test_nobody_without_a_key_learns_more_than_that_the_server_lives(guarded: Guarded) -> None:
    assert guarded.ask("GET", "/v2/health/ready").status == 200
    for model in ("add_sub", "nobody"):
        for path in ("", "/config", "/ready", "/stats"):
            reply = guarded.ask("GET", f"/v2/models/{model}{path}")
            assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="shoal"')
        assert guarded.ask("POST", f"/v2/models/{model}/infer", body=BODY).status == 401
    assert guarded.ask("POST", "/v2/repository/index", "wrong").status == 401


def test_a_key_is_for_its_scopes(guarded: Guarded) -> None:
    infer = "/v2/models/add_sub/infer"
    assert guarded.ask("POST", infer, "sums", BODY).document["outputs"][0]["data"] == [2, 4, 6, 8]
    assert guarded.ask("POST", infer, "reader", BODY).status == 403
    assert guarded.ask("GET", "/v2", "slow").status == 403
    assert guarded.ask("POST", "/v2/logging", "sums", b"{}").status == 403
    assert guarded.ask("POST", "/v2/logging", "all", b"{}").status == 200


def test_a_hidden_model_is_as_unknown_as_one_that_does_not_exist(guarded: Guarded) -> None:
    def replies(model: str) -> list[tuple[int, str]]:
        asked = [
            guarded.ask("GET", f"/v2/models/{model}{tail}", "sums") for tail in ("", "/config", "/ready", "/stats")
        ]
        asked.append(guarded.ask("POST", f"/v2/models/{model}/infer", "sums", BODY))
        asked.append(guarded.ask("POST", f"/v2/models/{model}/generate", "sums", b'{"TEXT": "a"}'))
        asked.append(guarded.ask("GET", f"/v2/models/{model}/trace/setting", "sums"))
        return [(reply.status, json.dumps(reply.document).replace(model, "")) for reply in asked]

    assert replies("text_upper") == replies("nobody")
    index = guarded.ask("POST", "/v2/repository/index", "sums").document
    assert {row["name"] for row in index} == {"add_sub"}
    statistics = guarded.ask("GET", "/v2/models/stats", "sums").document
    assert {row["name"] for row in statistics["model_stats"]} == {"add_sub"}
    assert len(guarded.ask("POST", "/v2/repository/index", "all").document) > 1


def test_a_key_that_is_used_up_comes_again_later(guarded: Guarded) -> None:
    for _ in range(2):
        assert guarded.ask("POST", "/v2/models/add_sub/infer", "slow", BODY).status == 200
    reply = guarded.ask("POST", "/v2/models/add_sub/infer", "slow", BODY)
    assert (reply.status, reply.document["error"].startswith("API key 'slow' may send 0.01")) == (429, True)
    assert int(reply.headers["retry-after"]) > 10


# tritonclient has no types.
def test_grpc_knows_the_same_keys_streams_too(guarded: Guarded) -> None:
    triton: Any = grpcclient.InferenceServerClient(
        f"127.0.0.1:{guarded.server.grpc_port}", ssl=True, root_certificates=str(guarded.made.ca)
    )
    inputs = [grpcclient.InferInput(name, [1, 4], "FP32") for name in ("INPUT0", "INPUT1")]
    for given in inputs:
        given.set_data_from_numpy(np.ones((1, 4), np.float32))
    key = {"authorization": "Bearer sums"}
    assert triton.infer("add_sub", inputs, headers=key).as_numpy("OUTPUT0").tolist() == [[2, 2, 2, 2]]
    assert not triton.is_model_ready("text_upper", headers=key)
    with pytest.raises(InferenceServerException, match=r"StatusCode\.UNAUTHENTICATED"):
        triton.infer("add_sub", inputs)
    answers: list[Any] = []
    triton.start_stream(lambda result, error: answers.append(error or result), headers=key)
    triton.async_stream_infer("add_sub", inputs)
    triton.async_stream_infer("text_upper", inputs)
    triton.stop_stream()
    assert answers[0].as_numpy("OUTPUT0").tolist() == [[2, 2, 2, 2]]
    assert "Request for unknown model: 'text_upper' is not found" in str(answers[1])
    triton.close()
