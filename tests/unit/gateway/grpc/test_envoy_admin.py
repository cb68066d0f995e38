"""The process's private connection to Envoy's admin interface."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shoal.gateway.grpc.envoy_admin import Admin


class Envoy:
    """Answers requests on a socket; `answers` are bodies by target, the last one is repeated."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.answers: dict[str, list[bytes]] = {}
        self.status = "200 OK"
        self.left = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                break
            method, target, _ = head.split(" ", 2)
            self.requests.append(f"{method} {target}")
            bodies = self.answers.get(target, [b"OK\n"])
            body = bodies.pop(0) if len(bodies) > 1 else bodies[0]
            writer.write(f"HTTP/1.1 {self.status}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
            for chunk in (body[:7], body[7:]):
                if chunk:
                    writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            writer.write(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        self.left.set()


@pytest.fixture
async def envoy() -> Envoy:
    return Envoy()


@pytest.fixture
async def admin(envoy: Envoy, tmp_path: Path) -> AsyncIterator[Admin]:
    folder = tmp_path / "private"
    folder.mkdir()
    server = await asyncio.start_unix_server(envoy.handle, folder / "admin")
    admin = await Admin.connect(folder / "admin")
    yield admin
    await admin.close()
    await envoy.left.wait()
    server.close()
    await server.wait_closed()


def test_nothing_is_left_to_connect_to(admin: Admin, tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []


async def test_the_listener_is_waited_for(admin: Admin, envoy: Envoy) -> None:
    address = {"socket_address": {"address": "0.0.0.0", "port_value": 8001}}
    bound = {"listener_statuses": [{"name": "grpc", "local_address": address}]}
    envoy.answers["/listeners?format=json"] = [b"{}", json.dumps(bound).encode()]
    assert await admin.listen_address() == ("0.0.0.0", 8001)
    assert len(envoy.requests) == 2


async def test_a_drain_turns_clients_away_before_the_process_quits(admin: Admin, envoy: Envoy) -> None:
    await admin.turn_clients_away()
    await admin.quit()
    assert envoy.requests == ["POST /healthcheck/fail", "POST /drain_listeners", "POST /quitquitquit"]


async def test_a_refusal_is_told(admin: Admin, envoy: Envoy) -> None:
    envoy.status = "404 Not Found"
    with pytest.raises(OSError, match="Envoy answered /quitquitquit with 404"):
        await admin.quit()
