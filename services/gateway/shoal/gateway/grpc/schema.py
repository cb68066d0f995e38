"""Triton's protobuf messages, from the modules that tritonclient ships: no second copy of the schema.

Importing the package `tritonclient.grpc` in the ordinary way brings a gRPC client, grpc itself and 30 MB along, which
a process that serves through Envoy never uses. So the two generated modules are loaded with a bare package standing in
for theirs; the real package can still be imported afterwards and finds these very modules.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

__all__ = ["DecodeError", "Message", "json_format", "model_config_pb2", "service_pb2"]

_PACKAGE = "tritonclient.grpc"


def _load(*names: str) -> list[ModuleType]:
    missing = _PACKAGE not in sys.modules
    if missing:
        parent = importlib.import_module("tritonclient")
        bare = ModuleType(_PACKAGE)
        bare.__path__ = [f"{folder}/grpc" for folder in parent.__path__]
        sys.modules[_PACKAGE] = bare
    try:
        return [importlib.import_module(f"{_PACKAGE}.{name}") for name in names]
    finally:
        if missing:
            del sys.modules[_PACKAGE]


#: Generated code without type information: what is made of it is `Any` by nature.
model_config_pb2: Any
service_pb2: Any
model_config_pb2, service_pb2 = _load("model_config_pb2", "service_pb2")
