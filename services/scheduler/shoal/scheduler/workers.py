"""From what the bus tells about agents and executors to the core's events."""

from __future__ import annotations

from collections.abc import Collection

from shoal.bus import PeerEvent
from shoal.scheduler.events import Event, HostChanged, LinkChanged
from shoal.scheduler.inventory import Inventory


def worker_events(inventory: Inventory, event: PeerEvent, executors: Collection[str]) -> list[Event]:
    """The events that follow from one of an agent or an executor, none for other roles. `executors` are those that
    are heard now."""
    if event.peer.role == "agent":
        return _agent_events(inventory, event, executors)
    return _executor_events(inventory, event) if event.peer.role == "executor" else []


def _agent_events(inventory: Inventory, event: PeerEvent, executors: Collection[str]) -> list[Event]:
    agent = event.peer.incarnation
    if event.kind == "suspected":
        return inventory.agent_silent(agent, executors, f"worker {agent} is not heard any more")
    if event.kind == "left":
        return inventory.agent_silent(agent, executors, f"worker {agent} has left")
    heartbeat = event.peer.heartbeat
    return inventory.observe(agent, heartbeat.instances, heartbeat.ended)


def host_events(event: PeerEvent) -> list[Event]:
    """Where an executor is, when that is news; none for other roles."""
    if event.peer.role != "executor":
        return []
    executor, host = event.peer.incarnation, event.peer.heartbeat.host
    if event.kind == "left":
        return [HostChanged(executor, None)]
    is_new = event.previous is None or event.previous.host != host
    return [HostChanged(executor, host)] if is_new else []


def _executor_events(inventory: Inventory, event: PeerEvent) -> list[Event]:
    executor = event.peer.incarnation
    if event.kind == "suspected":
        return inventory.executor_silent(executor)
    if event.kind == "left":
        is_farewell = event.peer.heartbeat.leaving
        return inventory.executor_left(executor) if is_farewell else inventory.executor_vanished(executor)
    if event.previous is not None and event.previous.links != event.peer.heartbeat.links:
        return [LinkChanged(executor)]
    return []
