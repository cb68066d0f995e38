"""Shared memory of a client: a file of `/dev/shm` that is read and written, never mapped.

A client may shrink its file at any time. A process that had it mapped would die of that (SIGBUS); one that reads it
finds fewer bytes than it asked for.
"""

from __future__ import annotations

import os
import stat
import weakref
from pathlib import Path

from shoal.core.errors import InternalError, InvalidArgument
from shoal.memory.host import SHM

#: Names of files that belong to servers, not to clients: Triton's reserved prefix, and our own segments.
_RESERVED = ("triton_python_backend_shm_region_", "shoal-")
_NAME_LIMIT_NBYTES = 255


class ClientRegion:
    """`nbytes` bytes from `offset` of a client's file, as it was when the region was registered: another file under the
    same key is another region.

    Whoever uses the region refers to it; its descriptor is closed with the last reference. Every method may be called
    from any thread, and blocks for the copy (about 50 us per MiB).
    """

    __slots__ = ("__weakref__", "_descriptor", "_offset", "file", "name", "nbytes")

    def __init__(self, descriptor: int, name: str, offset: int, nbytes: int) -> None:
        """Takes the descriptor over; to be used by `open`."""
        found = os.fstat(descriptor)
        #: Device and inode, by which processes of one host know that they have the same file.
        self.file = (found.st_dev, found.st_ino)
        self.name = name
        self.nbytes = nbytes
        self._offset = offset
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def open(cls, name: str, key: str, offset: int, nbytes: int, folder: Path = SHM) -> ClientRegion:
        """Open the shared-memory object `key`, with or without slashes in front as `shm_open` takes it.

        Raises InternalError when there is no such object, or one that cannot be read and written: links, folders and
        paths are none. Raises InvalidArgument for a reserved key, and for a size that is 0 or more than the object has
        behind the offset.
        """
        file_name = key.lstrip("/")
        _check_key(name, key, file_name)
        try:
            flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(folder / file_name, flags)
        except OSError as error:
            raise _not_opened(key, error.strerror) from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise _not_opened(key, "not a regular file")
            if nbytes <= 0 or not 0 <= offset <= found.st_size - nbytes:
                raise InvalidArgument(
                    f"failed to register shared memory region '{name}': invalid args: {nbytes} bytes at offset "
                    f"{offset} of '{key}', which has {found.st_size}"
                )
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, name, offset, nbytes)

    def read_into(self, memory: memoryview, offset: int) -> None:
        """Fill `memory` (writable bytes) from `offset` of the region.

        Raises InvalidArgument when the client has shrunk its file since, and then `memory` has undefined content.
        """
        at, done, nbytes = self._offset + offset, 0, len(memory)
        while done < nbytes:
            count = self._transfer_in(memory[done:], at + done)
            if not count:
                raise self._shrunk(offset, nbytes)
            done += count

    def write(self, data: memoryview | bytes, offset: int) -> None:
        """Write `data` at `offset` of the region.

        Raises InvalidArgument when the client has shrunk its file since, and InternalError when the system has no
        memory for it; a part may have been written then.
        """
        view = memoryview(data)
        at, done, nbytes = self._offset + offset, 0, len(view)
        if os.fstat(self._descriptor).st_size < at + nbytes:
            raise self._shrunk(offset, nbytes)
        while done < nbytes:
            try:
                done += os.pwritev(self._descriptor, [view[done:]], at + done)
            except OSError as error:
                raise InternalError(
                    f"shared memory region '{self.name}': {nbytes} bytes could not be written at offset {offset}: "
                    f"{error.strerror}"
                ) from error

    def _transfer_in(self, memory: memoryview, at: int) -> int:
        try:
            return os.preadv(self._descriptor, [memory], at)
        except OSError as error:
            raise InternalError(f"shared memory region '{self.name}' cannot be read: {error.strerror}") from error

    def _shrunk(self, offset: int, nbytes: int) -> InvalidArgument:
        there = max(0, os.fstat(self._descriptor).st_size - self._offset)
        return InvalidArgument(
            f"shared memory region '{self.name}' has shrunk: {nbytes} bytes at offset {offset} were asked for, and of "
            f"the {self.nbytes} bytes that were registered {there} are there"
        )


def _check_key(name: str, key: str, file_name: str) -> None:
    """Raise unless the key can only name a file of the folder itself that is no server's."""
    for prefix in _RESERVED:
        if file_name.startswith(prefix):
            raise InvalidArgument(
                f"cannot register shared memory region '{name}' with key '{key}' as the key contains the reserved "
                f"prefix '{prefix}'"
            )
    is_name = file_name not in ("", ".", "..") and "/" not in file_name and "\0" not in file_name
    if not is_name or len(os.fsencode(file_name)) > _NAME_LIMIT_NBYTES:
        raise _not_opened(key, "not the name of a shared-memory object")


def _not_opened(key: str, reason: str | None) -> InternalError:
    return InternalError(f"Unable to open shared memory region: '{key}': {reason}")
