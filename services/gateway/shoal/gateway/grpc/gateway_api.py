"""What the gRPC part needs of the gateway behind it, the same object that serves HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

from shoal.gateway.access.access import Access
from shoal.gateway.header_forwarding import HeaderForwarding
from shoal.gateway.model_control import LoadOverrides
from shoal.gateway.models import ServedVersion
from shoal.gateway.regions import Regions
from shoal.gateway.request import InferAnswer, InferCall, StreamedAnswer
from shoal.telemetry.trace_settings import Changes


class GatewayApi(Protocol):
    """The gateway as protocol handlers see it; `is_draining` makes it say that it is not ready.

    Everything raises ShoalError with the text for the client.

    `version` None means the highest ready version. Dictionaries are the JSON forms of the HTTP protocol and are
    read-only; `config` gives the same mapping object as long as the model's generation is the same.
    """

    is_draining: bool
    access: Access
    header_forwarding: HeaderForwarding | None
    regions: Regions

    async def freshen(self, name: str, version: int | None) -> None:
        """To be awaited before this version is said to be unknown or not ready."""
        ...

    async def look_up(self, name: str, version: int | None) -> ServedVersion:
        """The ready version to serve, `freshen` included."""
        ...

    async def infer(self, call: InferCall) -> InferAnswer:
        """Execute one call. Being cancelled cancels the request everywhere."""
        ...

    def stream(self, call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        """Execute one call of any model, decoupled or not. The first step raises what keeps it from being accepted;
        later errors are among the answers. Closing or cancelling it cancels the request everywhere."""
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

    async def load(self, name: str, overrides: LoadOverrides) -> None: ...

    async def unload(self, name: str, with_dependents: bool) -> None: ...

    async def change_log_settings(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """All log settings after the changes, of which there may be none."""
        ...

    async def change_trace_settings(self, model: str | None, changes: Changes) -> dict[str, str | list[str]]:
        """The model's trace settings after the changes, or the global ones."""
        ...

    async def statistics(self, name: str | None, version: int | None) -> list[dict[str, Any]]: ...
