"""The limits that a model's configuration sets to its processes: which are exceeded, in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shoal.core.process_policy import EXECUTION_TIMEOUT, RECYCLE_ABOVE_RESIDENT_BYTES, RECYCLE_AFTER_EXECUTIONS
from shoal.workers.agent.instances import PlannedInstance


def timeouts_s(instances: Mapping[int, PlannedInstance]) -> dict[int, float]:
    """By slot, for those that have one."""
    found = ((slot, instance.policy.execution_timeout_s) for slot, instance in instances.items())
    return {slot: timeout_s for slot, timeout_s in found if timeout_s is not None}


def timed_out_text(instance: PlannedInstance) -> str:
    key = instance.key
    return (
        f"execution of model '{key.model}' (instance {key.name}) took longer than its {EXECUTION_TIMEOUT} of "
        f"{instance.policy.execution_timeout_s:g} s"
    )


def worn_text(instance: PlannedInstance, executions: int, resident_nbytes: Callable[[], int]) -> str:
    """Why the instance is to be recycled; empty when it is not. One that has not executed yet is as good as new,
    whatever it takes in memory."""
    _, most_executions, most_nbytes = instance.policy
    if not executions:
        return ""
    if most_executions is not None and executions >= most_executions:
        return f"{executions} executions, {RECYCLE_AFTER_EXECUTIONS} is {most_executions}"
    if most_nbytes is None:
        return ""
    nbytes = resident_nbytes()
    return f"{nbytes} bytes, {RECYCLE_ABOVE_RESIDENT_BYTES} is {most_nbytes}" if nbytes > most_nbytes else ""
