"""What every protocol offers, without a protocol: inference, readiness, metadata, configuration, statistics.

HTTP and gRPC call the same `Gateway`, so that both give the same answers in the same words. Every error raised here is
a `ShoalError` whose class carries the HTTP and the gRPC status; its text is for the client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import nullcontext
from time import monotonic
from typing import Any

from shoal.bus import Bus, HeartbeatBody
from shoal.core.errors import InvalidArgument, Unavailable
from shoal.gateway import metadata
from shoal.gateway.access.access import OPEN, Access
from shoal.gateway.access.caller import current_caller
from shoal.gateway.admission import Admission
from shoal.gateway.data_plane import DataPlane
from shoal.gateway.header_forwarding import HeaderForwarding
from shoal.gateway.log_control import LogControl
from shoal.gateway.model_control import LoadOverrides
from shoal.gateway.model_views import ModelViews
from shoal.gateway.models import Models, ServedVersion
from shoal.gateway.normalize import Checked, check
from shoal.gateway.region_tensors import is_read_aside
from shoal.gateway.regions import Regions
from shoal.gateway.request import InferAnswer, InferCall, StreamedAnswer
from shoal.gateway.shared_state import SharedState
from shoal.gateway.start_settings import StartSettings
from shoal.gateway.statistics import Statistics
from shoal.gateway.submit import Submitter
from shoal.gateway.trace_control import TraceControl
from shoal.gateway.visible_models import VisibleModels
from shoal.telemetry.trace_settings import Changes

_NOT_ALLOWED = "explicit model load / unload is not allowed if polling is enabled"


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
        allow_client_shm: bool = False,
        access: Access = OPEN,
        admission: Admission | None = None,
        forwarding: HeaderForwarding | None = None,
        start: StartSettings | None = None,
    ) -> None:
        """`plane` stays the caller's, to be closed after the gateway. `default_deadline_ms` is given to calls without a
        deadline of their own; None: they have none. `allow_client_shm`: clients may register shared memory."""
        self.access = access
        self.admission = Admission() if admission is None else admission
        #: Which headers become request parameters; None: none.
        self.header_forwarding = forwarding
        self._models = Models()
        #: What all gateways know alike.
        self.shared = SharedState(bus)
        self.regions = Regions(self.shared, is_allowed=allow_client_shm)
        start = start or StartSettings()
        self._log = LogControl(self.shared, start.log, start.log_file)
        self._trace = TraceControl(self.shared, start.trace)
        #: Set when the process drains: the server is no longer ready, requests are still answered.
        self.is_draining = False
        self._bus = bus
        self._plane = plane
        self._strict_readiness = strict_readiness
        self._default_deadline_s = None if default_deadline_ms is None else default_deadline_ms / 1e3
        self._server_metadata = metadata.of_server(server_id)
        self._views = ModelViews(bus, self._models)
        self._statistics = Statistics(bus)
        self._submitter = Submitter(bus, plane, self._statistics, self._check_again)

    async def open(self) -> None:
        """Register handlers, start the bus, read the shared and the desired state. Call once."""
        self._bus.body = self._body
        self._submitter.open()
        self._statistics.open()
        self._views.watch_agents()
        await self._bus.start()
        await self.shared.open()
        await self._views.open()

    async def close(self) -> None:
        """Stop following the bus; requests that are still open are answered UNAVAILABLE."""
        self._submitter.close()
        await self._views.close()
        await self.shared.close()

    @property
    def models(self) -> Models | VisibleModels:
        """The models as the caller sees them for whom this task works."""
        caller = current_caller()
        return self._models if caller is None else VisibleModels(self._models, caller)

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
        with self.admission.enter(sum(len(tensor.data) for tensor in call.inputs), call.model):
            served = await self.look_up(call.model, call.version)
            execution = self.execute(check(call, served))
            del call  # and with it the client's message, which need not be kept while its copy is
            return await execution

    async def stream(self, call: InferCall) -> AsyncGenerator[StreamedAnswer, None]:
        """The responses to one call, of any model. Closing or cancelling it cancels the request; the consumer's pace is
        the model's.

        Raises, at the first step, what `infer` raises up to the acceptance of the request; what goes wrong later is a
        `StreamedAnswer` with its error. Ends after the final one.
        """
        with self.admission.enter(sum(len(tensor.data) for tensor in call.inputs), call.model):
            served = await self.look_up(call.model, call.version)
            checked = self._with_deadline(check(call, served))
            if is_read_aside(checked.call):
                checked = await self._plane.pack_aside(checked)
            stream = self._submitter.stream(checked)
            counts = self._counts(checked) and not served.config.decoupled
            del call, checked
            try:
                # How long a decoupled model takes is its clients' pace as much as its own.
                with self.admission.flows.observed(served.model) if counts else nullcontext():
                    answer = await stream.next()
                while not answer.is_final:
                    yield answer
                    answer = await stream.next()
                yield answer
            finally:
                stream.close()

    def execute(self, checked: Checked) -> Awaitable[InferAnswer]:
        """Have a checked call executed; what comes back is to be awaited at once. Does not count against admission: the
        caller has entered it. Large inputs are copied before this returns: who drops the call then lets go of its body.

        Raises Overloaded (no room in shared memory), InvalidArgument (there never is), Unavailable (no scheduler or
        broker, deadline passed, instance lost), Cancelled or the model's own error.
        """
        checked = self._with_deadline(checked)
        if is_read_aside(checked.call):
            return self._run(checked, self._execute_aside(checked))
        return self._run(checked, self._submitter.submit(checked))

    def _with_deadline(self, checked: Checked) -> Checked:
        """The call with its deadline, the default one if it has none. Raises the fault that Triton reports late."""
        if checked.fault is not None:
            raise checked.fault
        if checked.call.deadline_s is None and self._default_deadline_s is not None:
            call = checked.call._replace(deadline_s=monotonic() + self._default_deadline_s)
            return checked._replace(call=call)
        return checked

    def _run(self, checked: Checked, execution: Awaitable[InferAnswer]) -> Awaitable[InferAnswer]:
        return self.admission.flows.run(checked.served.model, execution) if self._counts(checked) else execution

    def _counts(self, checked: Checked) -> bool:
        """Whether an execution is watched for overload. Those of sequences are not: one depends on the one before."""
        return not (checked.served.config.has_sequence_batching or checked.call.correlation_id)

    async def _execute_aside(self, checked: Checked) -> InferAnswer:
        return await self._submitter.submit(await self._plane.pack_aside(checked))

    def server_live(self) -> bool:
        """Whether the start is over, well or not; true from then on for as long as the process can answer."""
        return self._models.start_is_over and not self._bus.closed.is_set()

    def server_ready(self) -> bool:
        """Whether a request would be served: broker and scheduler at hand, the repository examined, and with strict
        readiness every model ready."""
        if self.is_draining or not self._submitter.is_connected:
            return False
        return self._models.all_ready() if self._strict_readiness else self._models.repository_settled

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
        return await self._statistics.of(self.models.for_statistics(name, version), self._models.desired())

    def index(self, ready: bool) -> list[dict[str, str]]:
        """Rows of the repository index, sorted by name and version; `ready` leaves out what cannot serve."""
        return self.models.index(ready)

    async def load(self, name: str, overrides: LoadOverrides) -> None:
        """Load a model, or load it again. Raises Unavailable where the control mode leaves that to the repository."""
        raise Unavailable(_NOT_ALLOWED)

    async def unload(self, name: str, with_dependents: bool) -> None:
        """Unload a model, with `with_dependents` what only it used, too. Raises as `load` does."""
        raise Unavailable(_NOT_ALLOWED)

    async def change_log_settings(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """All log settings, in the HTTP protocol's JSON form, after the changes (see `LogControl.update`), of which
        there may be none."""
        await self._log.update(changes)
        return self._log.current()

    async def change_trace_settings(self, model: str | None, changes: Changes) -> dict[str, str | list[str]]:
        """A model's trace settings, or the global ones for None, in the HTTP protocol's JSON form, after the changes
        (see `TraceControl.update`). Raises InvalidArgument for a model that is not ready, too."""
        if model is not None:
            await self.freshen(model, None)
            if not self.model_ready(model, None):
                raise InvalidArgument(f"Request for unknown model : {model}")
        if changes:
            await self._trace.update(model, changes)
        return self._trace.current(model).to_json()

    def server_metadata(self) -> dict[str, Any]:
        """Server metadata in the HTTP protocol's JSON form."""
        return self._server_metadata

    def _body(self) -> HeartbeatBody:
        return HeartbeatBody(counters=self._statistics.changed_lately(), confirmed=self.shared.confirmed)

    async def _check_again(self, call: InferCall) -> Checked:
        """Check a call once more, against the generation that is live now."""
        return check(call, await self.look_up(call.model, call.version))
