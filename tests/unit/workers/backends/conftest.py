from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from python_backend import source_of
from shoal.workers.backend import InstanceSpec
from shoal.workers.backends.python import PythonBackend


@pytest.fixture(autouse=True)
def restored_imports() -> Iterator[None]:
    path, modules, dont_write = sys.path[:], dict(sys.modules), sys.dont_write_bytecode
    yield
    sys.path[:], sys.dont_write_bytecode = path, dont_write
    for name in set(sys.modules) - set(modules):
        if name.startswith(("1", "triton_python_", "c_python_")):
            del sys.modules[name]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[..., PythonBackend]]:
    """Loads a python model from its source text; further arguments are fields of its configuration."""
    loaded: list[PythonBackend] = []

    def loading(text: str, **config: Any) -> PythonBackend:
        backend = PythonBackend()
        backend.load(source_of(tmp_path, text, **config), InstanceSpec("m_0", "CPU", 0))
        loaded.append(backend)
        return backend

    yield loading
    for backend in loaded:
        backend.unload()
