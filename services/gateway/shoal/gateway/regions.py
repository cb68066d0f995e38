"""Shared-memory regions that clients registered: known to all gateways alike, opened by each.

Every gateway of a host opens the same file or device memory. One that cannot (on another host, in another container)
knows the region all the same, and says so to requests that name it. Requests refer to the region that they found, so
that it can be unregistered, and its name given to another, while they are in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from shoal.core.errors import AlreadyExists, InvalidArgument, NotFound, ShoalError, Unavailable, Unsupported
from shoal.gateway import region_entry
from shoal.gateway.region_entry import Kind, RegionEntry
from shoal.gateway.region_part import Region, RegionPart
from shoal.memory import SHM, host_id
from shoal.memory.client_region import ClientRegion
from shoal.memory.cuda_region import CudaRegion

#: Each takes a descriptor in every gateway.
REGION_LIMIT = 4096
_NAME_LIMIT_NBYTES = 1024
_PREFIX = "regions/"

DISABLED = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."


class UnknownRegion(NotFound):
    """No region of this name is known here; another gateway may know it already (see `Regions.refresh`)."""


class SharedRegions(Protocol):
    """What this module needs of `SharedState`."""

    def watch(self, prefix: str, on_change: Callable[[str, bytes | None], None]) -> None: ...
    async def create(self, key: str, value: bytes) -> bool: ...
    async def delete(self, *keys: str) -> None: ...
    async def refresh(self) -> None: ...


class _Known(NamedTuple):
    """A registered region; `region` None: it cannot be opened here, `trouble` says why."""

    entry: RegionEntry
    region: Region | None
    trouble: str


class Regions:
    """The registry of one gateway process. Made before the shared state is opened. Use it from the event loop's thread,
    `part` from any."""

    def __init__(self, shared: SharedRegions, *, is_allowed: bool, folder: Path = SHM) -> None:
        """`is_allowed` False: nothing can be registered, and nothing is known. `folder` is where clients' shared-memory
        objects are."""
        self._shared = shared
        self._is_allowed = is_allowed
        self._folder = folder
        self._host = host_id(folder) if is_allowed else ""
        self._known: dict[str, _Known] = {}
        #: What is being registered by this process, by its name: opened already.
        self._opened: dict[str, tuple[RegionEntry, Region]] = {}
        if is_allowed:
            shared.watch(_PREFIX, self._on_change)

    def part(self, name: str, offset: int, nbytes: int) -> RegionPart:
        """`nbytes` bytes at `offset` of a region. Raises UnknownRegion, InvalidArgument for bytes that are not in it,
        and Unavailable when this process cannot open it."""
        known = self._known.get(name)
        if known is None:
            raise UnknownRegion(f"Unable to find shared memory region: '{name}'")
        if known.region is None:
            raise Unavailable(
                f"shared memory region '{name}' is registered, but this gateway cannot use it: {known.trouble}"
            )
        return RegionPart(known.region, offset, nbytes)

    async def refresh(self) -> None:
        """Learn what others have registered just now. To be awaited before a region is denied."""
        await self._shared.refresh()

    def check_name(self, kind: Kind, name: str) -> None:
        """What is checked of a registration before all else. Raises Unsupported where clients may not register shared
        memory, InvalidArgument for an empty or very long name."""
        self._check_allowed()
        if not name:
            raise InvalidArgument(f"'region name' is necessary to register {kind.value.lower()} shared memory region")
        if len(name.encode()) > _NAME_LIMIT_NBYTES:
            raise InvalidArgument(f"the name of a shared memory region may have {_NAME_LIMIT_NBYTES} bytes at most")

    async def register_system(self, name: str, key: str, offset: int, nbytes: int) -> None:
        """Register `nbytes` bytes at `offset` of the shared-memory object `key`; every gateway knows it then.

        Raises AlreadyExists for a name that is taken, InternalError and InvalidArgument as `ClientRegion.open`, and
        Unavailable when no more can be registered or the broker does not take it.
        """
        await self._check_new(Kind.SYSTEM, name)
        region = ClientRegion.open(name, key, offset, nbytes, self._folder)
        entry = RegionEntry(name, Kind.SYSTEM, nbytes, self._host, key=key, offset=offset, file=region.file)
        await self._register(entry, region)

    async def register_cuda(self, name: str, handle: bytes, device_id: int, nbytes: int) -> None:
        """Register device memory by its IPC handle of 64 bytes. Raises AlreadyExists, InvalidArgument as
        `CudaRegion.open`, and Unavailable, as `register_system`."""
        await self._check_new(Kind.CUDA, name)
        # The first one makes a context on the device, which takes a while.
        region = await asyncio.to_thread(CudaRegion.open, name, handle, device_id, nbytes)
        await self._register(
            RegionEntry(name, Kind.CUDA, nbytes, self._host, device_id=device_id, handle=handle), region
        )

    async def unregister(self, kind: Kind, name: str) -> None:
        """Forget a region of this kind, all of them for an empty name; fine when there is none. Requests in flight keep
        theirs. Raises Unsupported where it is not allowed, and Unavailable when the broker does not take it."""
        self._check_allowed()
        if name and name not in self._known:
            await self.refresh()
        names = [name] if name else list(self._known)
        keys = [_PREFIX + each for each in names if each in self._known and self._known[each].entry.kind is kind]
        if keys:
            await self._shared.delete(*keys)

    async def status(self, kind: Kind, name: str) -> list[RegionEntry]:
        """The region of this name, all of this kind by name for an empty one. Raises NotFound."""
        if not name:
            entries = (known.entry for known in self._known.values())
            return sorted(entry for entry in entries if entry.kind is kind)
        if name not in self._known:
            await self.refresh()
        known = self._known.get(name)
        if known is None:
            raise NotFound(f"Unable to find {kind.value.lower()} shared memory region: '{name}'")
        found = known.entry.kind
        if found is not kind:
            raise NotFound(
                f"The region named '{name}' is registered as {found.value} shared memory, "
                f"not {kind.value} shared memory"
            )
        return [known.entry]

    def _check_allowed(self) -> None:
        if not self._is_allowed:
            raise Unsupported(DISABLED)

    async def _check_new(self, kind: Kind, name: str) -> None:
        self.check_name(kind, name)
        if name in self._known:
            await self.refresh()
            self._check_free(name)
        if len(self._known) >= REGION_LIMIT:
            raise Unavailable(
                f"shared memory region '{name}' was not registered: there are {REGION_LIMIT} of them, the most that a "
                "server takes; unregister those that are not used"
            )

    def _check_free(self, name: str) -> None:
        if name in self._known or name in self._opened:
            raise AlreadyExists(f"shared memory region '{name}' already in manager")

    async def _register(self, entry: RegionEntry, region: Region) -> None:
        name = entry.name
        self._check_free(name)
        self._opened[name] = entry, region
        try:
            if not await self._shared.create(_PREFIX + name, region_entry.encode(entry)):
                raise AlreadyExists(f"shared memory region '{name}' already in manager")
        finally:
            del self._opened[name]

    def _on_change(self, key: str, value: bytes | None) -> None:
        name = key.removeprefix(_PREFIX)
        if value is None:
            self._known.pop(name, None)
            return
        entry = region_entry.decode(value)
        opened = self._opened.get(name)
        # Our own writing, or that of another gateway which was asked for the same at the same time.
        region = opened[1] if opened is not None and opened[0] == entry else None
        self._known[name] = self._open(entry) if region is None else _Known(entry, region, "")

    def _open(self, entry: RegionEntry) -> _Known:
        if entry.host != self._host:
            trouble = "it lies in the memory of another host or container; ask a gateway where the client runs"
            return _Known(entry, None, trouble)
        try:
            if entry.kind is Kind.CUDA:
                return _Known(entry, CudaRegion.open(entry.name, entry.handle, entry.device_id, entry.nbytes), "")
            region = ClientRegion.open(entry.name, entry.key, entry.offset, entry.nbytes, self._folder)
        except ShoalError as error:
            return _Known(entry, None, error.message)
        if region.file != entry.file:
            return _Known(entry, None, f"another object has the key '{entry.key}' by now; register it again")
        return _Known(entry, region, "")
