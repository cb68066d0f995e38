"""What a client may say when it asks for a model to be loaded, the same for HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

#: The parameter that replaces the model's configuration, and what stands before the path of a file in the others.
CONFIG = "config"
FILE_PREFIX = "file:"
#: The parameter of an unload that takes along what only the model used.
UNLOAD_DEPENDENTS = "unload_dependents"


class LoadOverrides(NamedTuple):
    """What replaces the model's files for one load. `config` is a `ModelConfig` in JSON form, None without one;
    `files` are contents by parameter name (`file:` and a path below the model's directory). Neither is looked into."""

    config: str | None
    files: Mapping[str, bytes]
