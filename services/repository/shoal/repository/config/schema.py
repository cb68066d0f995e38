"""Triton's own schema of `config.pbtxt`: the generated module of the `tritonclient` package, loaded alone.

Importing it as `tritonclient.grpc.model_config_pb2` would import grpc and the whole client before it. The generated
module needs nothing but protobuf, so it is loaded by its file, under a name of ours. Should the client be imported as
well, both share one registration: the descriptor pool accepts the same file twice and classes belong to descriptors.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import cast

from google.protobuf.message import Message

_NAME = "shoal.repository.config._model_config_pb2"


def new_config() -> Message:
    """An empty `inference.ModelConfig`. Raises ImportError when the `tritonclient` package lacks the schema."""
    return cast("Message", _generated().ModelConfig())


@cache
def _generated() -> ModuleType:
    package = importlib.util.find_spec("tritonclient")
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder) / "grpc" / "model_config_pb2.py"
        spec = importlib.util.spec_from_file_location(_NAME, path)
        if path.is_file() and spec and spec.loader:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError("tritonclient/grpc/model_config_pb2.py was not found; install tritonclient[grpc]")
