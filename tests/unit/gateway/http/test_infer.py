from __future__ import annotations

import gzip
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any, cast

from gateway_models import add_sub
from shoal.core.model_config import from_json
from shoal.gateway.admission import Admission
from shoal.gateway.gateway import Gateway
from shoal.gateway.http.disconnects import Disconnects
from shoal.gateway.http.infer import InferRoute
from shoal.gateway.models import ServedVersion


async def test_a_compressed_body_counts_with_its_plain_size() -> None:
    served = ServedVersion("addsub", 1, "g1", from_json(add_sub()), {})
    admission = Admission(max_bytes=50_000)
    gateway = SimpleNamespace(admission=admission, models=SimpleNamespace(find=lambda *_: served))
    route = InferRoute(cast(Gateway, gateway), Disconnects(), 1_000_000)
    body = gzip.compress(b" " * 100_000)
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(body))]
    await route({"method": "POST", "headers": headers}, receive, send, "addsub", None)
    assert sent[0]["status"] == 429
    assert (admission.requests, admission.nbytes) == (0, 0)
