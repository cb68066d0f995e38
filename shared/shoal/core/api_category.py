"""The parts of the protocol that can be restricted, named as tritonserver's options name them."""

from __future__ import annotations

from enum import StrEnum


class Category(StrEnum):
    """What an endpoint or an RPC is about."""

    HEALTH = "health"
    METADATA = "metadata"
    INFERENCE = "inference"
    SHARED_MEMORY = "shared-memory"
    MODEL_CONFIG = "model-config"
    MODEL_REPOSITORY = "model-repository"
    STATISTICS = "statistics"
    TRACE = "trace"
    LOGGING = "logging"
