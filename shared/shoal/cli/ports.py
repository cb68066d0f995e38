"""Ports that several gateway processes share: found before any of them starts, and kept as long as any may start."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from shoal.cli.serve_options import Endpoint
from shoal.runtime.service import EnvironmentTrouble


@contextmanager
def shared_port(endpoint: Endpoint, processes: int) -> Iterator[Endpoint]:
    """Where `processes` processes can listen together, at the same port: a free one for port 0, which is given to
    nobody else meanwhile.

    One process at a port of its own takes that itself, so the endpoint stays as it is. Raises EnvironmentTrouble when
    the port is in use or the address is not of this machine.
    """
    if processes == 1 and endpoint.port != 0:
        yield endpoint
        return
    with contextlib.ExitStack() as stack:
        if not endpoint.reuse_port and endpoint.port != 0:
            # Sharing would let us in beside a foreign server that shares, too; nobody asked for that.
            _bound(endpoint, is_shared=False).close()
        # Bound without listening: it gets no connections.
        holder = stack.enter_context(_bound(endpoint, is_shared=True))
        yield Endpoint(endpoint.address, holder.getsockname()[1], reuse_port=True)


def _bound(endpoint: Endpoint, is_shared: bool) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(endpoint.address, endpoint.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise EnvironmentTrouble(f"'{endpoint.address}' is not an address of this machine: {error}") from error
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise EnvironmentTrouble(
            f"Socket '{endpoint}' already in use or not available ({error.strerror}); choose another port"
        ) from error
    return taken
