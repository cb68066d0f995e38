"""Accepts what a backend made of a configuration."""

from __future__ import annotations

from shoal.core.errors import InternalError, ShoalError
from shoal.repository.config import json_form
from shoal.repository.config.json_form import JsonForm

_SCHEDULERS = ("dynamic_batching", "sequence_batching", "ensemble_scheduling")

#: What a backend may fill in or change.
_OPEN_FIELDS = frozenset({"max_batch_size", "input", "output", "model_transaction_policy", *_SCHEDULERS})


def accept(config: JsonForm, completed: str) -> JsonForm:
    """`config` with what the backend filled in, not yet normalised again. `completed` is the backend's JSON.

    Raises InternalError when the backend's answer is no configuration, changes a field that is not its to change, or
    replaces the scheduler.
    """
    model = config["name"]
    try:
        answer = json_form.parse(completed)
    except ShoalError as error:
        raise InternalError(f"backend of model '{model}' answered: {error.message}") from error
    changed = [name for name in sorted(config.keys() | answer.keys()) if config.get(name) != answer.get(name)]
    closed = [name for name in changed if name not in _OPEN_FIELDS]
    if closed:
        raise InternalError(
            f"backend changed '{closed[0]}' of the configuration of model '{model}'; only"
            f" {', '.join(sorted(_OPEN_FIELDS))} can be completed"
        )
    before, after = _scheduler(config), _scheduler(answer)
    if before is not None and before != after:
        raise InternalError(f"backend replaced scheduler '{before}' of model '{model}' by '{after}'")
    return answer


def _scheduler(config: JsonForm) -> str | None:
    return next((name for name in _SCHEDULERS if name in config), None)
