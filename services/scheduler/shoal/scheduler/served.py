"""One version of one generation of a model: its way of scheduling, its instances, and whether it is still wanted."""

from __future__ import annotations

from typing import Literal

from shoal.core.errors import NotFound, ShoalError, Unavailable, Unsupported
from shoal.core.model_config import ModelConfig
from shoal.scheduler.batches import VersionKey
from shoal.scheduler.default import DefaultScheduler
from shoal.scheduler.dynamic import DynamicBatcher
from shoal.scheduler.ensemble_plan import EnsemblePlan
from shoal.scheduler.model_scheduler import ModelScheduler
from shoal.scheduler.pool import Pool


class ServedVersion:
    """`retired` tells why no new requests are accepted: another generation took its place, or the model was removed;
    what waits is still sent as long as instances are there. So are steps of the ensemble requests that have `pins`."""

    def __init__(self, key: VersionKey, config: ModelConfig, pool: Pool) -> None:
        self.key = key
        self.config = config
        self.pool = pool
        self.scheduler = scheduler_for(config)
        self.ensemble = config.ensemble_scheduling
        #: How many ensemble requests run on it, or are its own; and how those are run, by outputs and decoupled steps.
        self.pins = 0
        self.plans: dict[tuple[tuple[str, ...], tuple[bool, ...]], EnsemblePlan] = {}
        self.unsupported = unsupported(config)
        self.retired: Literal["superseded", "removed"] | None = None
        #: While no instance is there: when to look again for requests that have waited for one too long.
        self.look_again_ns: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether it is not wanted any more and nothing of it is left."""
        return self.retired is not None and not self.scheduler.waiting_count and not self.pool.busy and not self.pins

    @property
    def can_serve(self) -> bool:
        """Whether something sent here is executed, now or soon; of an ensemble its steps know."""
        return self.ensemble is not None or self.pool.can_serve


def scheduler_for(config: ModelConfig) -> ModelScheduler:
    """The scheduler that the configuration chooses."""
    if config.dynamic_batching is not None:
        return DynamicBatcher(config, config.dynamic_batching)
    return DefaultScheduler(config)


def unsupported(config: ModelConfig) -> Unsupported | None:
    """Why requests for such a model are refused, None when they are not."""
    if config.has_sequence_batching:
        return Unsupported(
            f"model '{config.name}' uses sequence_batching; this release of the scheduler runs no sequences, "
            "remove sequence_batching from its configuration to serve single requests"
        )
    return None


def unknown_model(model: str) -> ShoalError:
    return NotFound(f"Request for unknown model: '{model}' is not found")


def unknown_version(model: str, version: int) -> ShoalError:
    return NotFound(f"Request for unknown model: '{model}' version {version} is not found")


def not_ready(key: VersionKey, why: str) -> ShoalError:
    model, version, _ = key
    return Unavailable(f"Request for unknown model: '{model}' version {version} is not at ready state; {why}")
