"""The process's own connection to Envoy's admin interface.

Envoy offers it as a socket in a private folder. The process connects once and removes socket and folder: what has no
name can be reached by nobody else, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from pathlib import Path
from typing import Self

from shoal.gateway.grpc.envoy_config import LISTENER
from shoal.gateway.grpc.listen_address import ListenAddress

_ANSWER_WITHIN_S = 5.0
_BOUND_WITHIN_S = 10.0
_ASK_AGAIN_S = 0.02


class Admin:
    """Requests to Envoy, one after another. To be used from one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> Self:
        """Connect to the socket at `path` and remove it with its folder. Raises OSError when nobody listens there.

        Envoy answers only when its configuration is loaded: after the ASGI application's startup.
        """
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(path))
        shutil.rmtree(path.parent, ignore_errors=True)
        return cls(*await asyncio.open_connection(sock=link))

    async def listen_address(self) -> ListenAddress:
        """What the listener is bound to. Raises TimeoutError when it is not within some seconds."""
        async with asyncio.timeout(_BOUND_WITHIN_S):
            while True:
                answer = json.loads(await self._ask("GET", "/listeners?format=json"))
                for status in answer.get("listener_statuses", ()):
                    if status["name"] == LISTENER:
                        found = status["local_address"]["socket_address"]
                        return ListenAddress(found["address"], found["port_value"])
                await asyncio.sleep(_ASK_AGAIN_S)

    async def turn_clients_away(self) -> None:
        """Stop listening, and ask every connection to go away with its next answer (GOAWAY)."""
        await self._ask("POST", "/healthcheck/fail")
        await self._ask("POST", "/drain_listeners")

    async def quit(self) -> None:
        """Have Envoy end the process with code 0, after the ASGI application's shutdown."""
        await self._ask("POST", "/quitquitquit")

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def _ask(self, method: str, target: str) -> bytes:
        async with self._turn, asyncio.timeout(_ANSWER_WITHIN_S):
            self._writer.write(f"{method} {target} HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\n\r\n".encode())
            head = await self._reader.readuntil(b"\r\n\r\n")
            body = await self._body(head.lower())
        status = head.split(b" ", 2)[1]
        if status != b"200":
            raise OSError(f"Envoy answered {target} with {status.decode()}: {body.decode(errors='replace')}")
        return body

    async def _body(self, head: bytes) -> bytes:
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return await self._reader.readexactly(int(line.partition(b":")[2]))
        chunks = []
        while nbytes := int(await self._reader.readuntil(b"\r\n"), 16):
            chunks.append((await self._reader.readexactly(nbytes + 2))[:-2])
        await self._reader.readuntil(b"\r\n")
        return b"".join(chunks)
