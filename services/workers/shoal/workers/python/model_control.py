"""Loading and unloading other models from a model, which this release does not offer yet."""

from __future__ import annotations

from collections.abc import Mapping

from shoal.workers.python.error import not_available

_INSTEAD = "use the repository API (POST /v2/repository/models/<model>/load) from outside the model"


def load_model(model_name: str, config: str = "", files: Mapping[str, bytes] | None = None) -> None:
    """Not available yet: raises TritonModelException."""
    raise not_available(f"load_model('{model_name}') from a model", _INSTEAD)


def unload_model(model_name: str, unload_dependents: bool = False) -> None:
    """Not available yet: raises TritonModelException."""
    raise not_available(f"unload_model('{model_name}') from a model", _INSTEAD)


def is_model_ready(model_name: str, model_version: str = "") -> bool:
    """Not available yet: raises TritonModelException."""
    raise not_available(
        f"is_model_ready('{model_name}') from a model", "ask GET /v2/models/<model>/ready from outside the model"
    )
