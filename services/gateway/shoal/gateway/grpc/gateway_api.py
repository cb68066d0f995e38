"""What the gRPC part needs of the gateway behind it, the same object that serves HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from shoal.gateway.models import ServedVersion
from shoal.gateway.request import InferAnswer, InferCall


class GatewayApi(Protocol):
    """The gateway as protocol handlers see it; `is_draining` makes it say that it is not ready.

    Everything raises ShoalError with the text for the client.

    `version` None means the highest ready version. Dictionaries are the JSON forms of the HTTP protocol and are
    read-only; `config` gives the same mapping object as long as the model's generation is the same.
    """

    is_draining: bool

    async def freshen(self, name: str, version: int | None) -> None:
        """To be awaited before this version is said to be unknown or not ready."""
        ...

    async def look_up(self, name: str, version: int | None) -> ServedVersion:
        """The ready version to serve, `freshen` included."""
        ...

    async def infer(self, call: InferCall) -> InferAnswer:
        """Execute one call. Being cancelled cancels the request everywhere."""
        ...

    def server_live(self) -> bool: ...

    def server_ready(self) -> bool: ...

    def model_ready(self, name: str, version: int | None) -> bool: ...

    def server_metadata(self) -> dict[str, Any]: ...

    def metadata(self, name: str, version: int | None) -> dict[str, Any]: ...

    def config(self, name: str, version: int | None) -> Mapping[str, Any]: ...

    def index(self, ready: bool) -> list[dict[str, str]]:
        """Rows of the repository index; `ready` leaves out what cannot serve."""
        ...

    async def statistics(self, name: str | None, version: int | None) -> list[dict[str, Any]]: ...
