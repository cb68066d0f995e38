"""What every protocol offers, without a protocol: inference, readiness, metadata, configuration, statistics.

HTTP and gRPC call the same `Gateway`, so that both give the same answers in the same words. Every error raised here is
a `ShoalError` whose class carries the HTTP and the gRPC status; its text is for the client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Mapping
from time import monotonic
from typing import Any

from shoal.bus import Bus
from shoal.core.errors import ShoalError, Unsupported
from shoal.gateway import metadata
from shoal.gateway.admission import Admission
from shoal.gateway.data_plane import DataPlane
from shoal.gateway.model_views import ModelViews
from shoal.gateway.models import Models, ServedVersion
from shoal.gateway.normalize import Checked, check
from shoal.gateway.request import InferAnswer, InferCall, StreamedAnswer
from shoal.gateway.statistics import Statistics
from shoal.gateway.submit import Submitter


class Gateway:
    """The protocol-free side of one gateway process. Use it from the event loop's thread only.

    `open` before the bus starts, `close` after the last request. A client that leaves is a cancelled task: cancelling
    whoever awaits `infer` or `execute` cancels the request at the scheduler.
    """

    def __init__(
        self,
        bus: Bus,
        plane: DataPlane,
        *,
        server_id: str = "triton",
        strict_readiness: bool = True,
        default_deadline_ms: int | None = None,
    ) -> None:
        """`plane` stays the caller's, to be closed after the gateway. `default_deadline_ms` is given to calls without a
        deadline of their own; None: they have none."""
        self.models = Models()
        self.admission = Admission()
        #: Set when the process drains: the server is no longer ready, requests are still answered.
        self.is_draining = False
        self._bus = bus
        self._strict_readiness = strict_readiness
        self._default_deadline_s = None if default_deadline_ms is None else default_deadline_ms / 1e3
        self._server_metadata = metadata.of_server(server_id)
        self._views = ModelViews(bus, self.models)
        self._statistics = Statistics(bus)
        self._submitter = Submitter(bus, plane, self._statistics, self._check_again)

    async def open(self) -> None:
        """Register handlers, start the bus and read the desired state. Call once."""
        self._submitter.open()
        self._statistics.open()
        self._views.watch_agents()
        await self._bus.start()
        await self._views.open()

    async def close(self) -> None:
        """Stop following the bus; requests that are still open are answered UNAVAILABLE."""
        self._submitter.close()
        await self._views.close()

    async def freshen(self, name: str, version: int | None) -> None:
        """Read the model's key again when this version (None: the highest) is not known as ready. To be awaited before
        anything is denied, so that a gateway whose view lags does not deny what another one has just confirmed."""
        if self.models.find(name, version) is None:
            await self._views.read_again()

    async def look_up(self, name: str, version: int | None) -> ServedVersion:
        """The ready version to serve (None: the highest), `freshen` included. Raises NotFound or Unavailable in
        Triton's words."""
        found = self.models.find(name, version)
        if found is None:
            await self._views.read_again()
            found = self.models.resolve(name, version)
        return found

    async def infer(self, call: InferCall) -> InferAnswer:
        """Answer one call: admission, look-up, checks, execution.

        Raises Overloaded (retry later), NotFound, InvalidArgument, Unavailable, Cancelled or the model's own error.
        """
        nbytes = sum(len(tensor.data) for tensor in call.inputs)
        self.admission.enter(nbytes)
        try:
            served = await self.look_up(call.model, call.version)
            execution = self.execute(check(call, served))
            del call  # and with it the client's message, which need not be kept while its copy is
            return await execution
        finally:
            self.admission.leave(nbytes)

    async def stream(self, call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        """The responses to one call, of any model. Closing or cancelling it cancels the request; the consumer's pace is
        the model's.

        Raises, at the first step, what `infer` raises up to the acceptance of the request; what goes wrong later is a
        `StreamedAnswer` with its error. Ends after the final one.
        """
        nbytes = sum(len(tensor.data) for tensor in call.inputs)
        self.admission.enter(nbytes)
        try:
            served = await self.look_up(call.model, call.version)
            if served.config.decoupled:
                raise Unsupported(f"model '{call.model}' is decoupled, which this release does not serve")
            execution = self.execute(check(call, served))
            del call
            try:
                answer = StreamedAnswer(await execution, None, True)
            except ShoalError as error:
                answer = StreamedAnswer(None, error, True)
            yield answer
        finally:
            self.admission.leave(nbytes)

    def execute(self, checked: Checked) -> Awaitable[InferAnswer]:
        """Have a checked call executed; what comes back is to be awaited at once. Does not count against admission: the
        caller has entered it. Large inputs are copied before this returns: who drops the call then lets go of its body.

        Raises Overloaded (no room in shared memory), InvalidArgument (there never is), Unavailable (no scheduler or
        broker, deadline passed, instance lost), Cancelled or the model's own error.
        """
        if checked.fault is not None:
            raise checked.fault
        if checked.call.deadline_s is None and self._default_deadline_s is not None:
            call = checked.call._replace(deadline_s=monotonic() + self._default_deadline_s)
            checked = checked._replace(call=call)
        return self._submitter.submit(checked)

    def server_live(self) -> bool:
        """Whether the start is over, well or not; true from then on for as long as the process can answer."""
        return self.models.start_is_over and not self._bus.closed.is_set()

    def server_ready(self) -> bool:
        """Whether a request would be served: broker and scheduler at hand, the repository examined, and with strict
        readiness every model ready."""
        if self.is_draining or not self._submitter.is_connected:
            return False
        return self.models.all_ready() if self._strict_readiness else self.models.repository_settled

    def model_ready(self, name: str, version: int | None) -> bool:
        """Whether a request for this version (None: the highest) would be served; False for an unknown model."""
        return self._submitter.is_connected and self.models.is_ready(name, version)

    def metadata(self, name: str, version: int | None) -> dict[str, Any]:
        """Model metadata in the HTTP protocol's JSON form. Raises NotFound or Unavailable."""
        served = self.models.resolve(name, version)
        versions = self.models.ready_versions(name) if version is None else [version]
        return metadata.of_model(served.config, versions)

    def config(self, name: str, version: int | None) -> Mapping[str, Any]:
        """The completed configuration in JSON form, read-only; the same object for as long as the generation is the
        same. Raises NotFound or Unavailable."""
        return self.models.resolve(name, version).config.raw

    async def statistics(self, name: str | None, version: int | None) -> list[dict[str, Any]]:
        """Entries of `model_stats` in JSON form: all ready versions (None: of all models), summed over all processes.

        Processes that do not answer within a second are missing from the sums. Raises InvalidArgument for a model or
        version that is not available.
        """
        if name is not None:
            await self.freshen(name, version)
        return await self._statistics.of(self.models.for_statistics(name, version), self.models.desired())

    def index(self, ready: bool) -> list[dict[str, str]]:
        """Rows of the repository index, sorted by name and version; `ready` leaves out what cannot serve."""
        return self.models.index(ready)

    def server_metadata(self) -> dict[str, Any]:
        """Server metadata in the HTTP protocol's JSON form."""
        return self._server_metadata

    async def _check_again(self, call: InferCall) -> Checked:
        """Check a call once more, against the generation that is live now."""
        return check(call, await self.look_up(call.model, call.version))
