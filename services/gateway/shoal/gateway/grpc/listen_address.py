"""Where to listen, checked before a transport takes over: a port in use is told in words a person can act on."""

from __future__ import annotations

import socket
from typing import NamedTuple

from shoal.runtime.service import EnvironmentTrouble


class ListenAddress(NamedTuple):
    """A numeric address. `port` 0 means any free one."""

    ip: str
    port: int

    def authority(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


def claimable(address: str, port: int, reuse_port: bool) -> ListenAddress:
    """The address in numbers, after trying that it can be bound. Blocks for the look-up of a name.

    Somebody else may still take the port before the transport does; then the transport fails with its own words.
    Raises EnvironmentTrouble when the name is unknown, the port is in use or the address is not of this machine.
    """
    try:
        family, _, _, _, resolved = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise EnvironmentTrouble(f"--grpc-address '{address}' is not an address of this machine: {error}") from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind(resolved)
        except OSError as error:
            raise trouble(address, port, error) from error
    return ListenAddress(str(resolved[0]), port)


def trouble(address: str, port: int, error: Exception) -> EnvironmentTrouble:
    """What to tell when the address cannot be bound."""
    return EnvironmentTrouble(
        f"Socket '{address}:{port}' already in use or not available for gRPC ({error}); choose another --grpc-port, or "
        "let processes share it with --reuse-grpc-port=true"
    )
