from __future__ import annotations

import asyncio

import pytest

from shoal.gateway.errors import Overloaded
from shoal.gateway.flows import Flows
from shoal.gateway.request import InferAnswer

ANSWER = InferAnswer("m", 1, "", (), {})


async def answer() -> InferAnswer:
    return ANSWER


async def known(flows: Flows) -> None:
    """Have something executed: from then on the model is known."""
    await flows.run("m", answer())


async def test_names_that_no_model_has_leave_nothing_behind() -> None:
    flows = Flows()
    assert flows.arrive("nobody") is None
    await known(flows)
    assert flows.arrive("m") is not None


async def test_a_request_beyond_the_limit_of_its_model_is_refused() -> None:
    flows = Flows()
    await known(flows)
    flow = flows.arrive("m")
    assert flow is not None
    flow.limit = 1
    with pytest.raises(
        Overloaded, match="model 'm' is overloaded: more requests arrive than it answers, and 1 are open"
    ):
        flows.arrive("m")
    flow.leave()
    assert flows.arrive("m") is flow


async def test_an_execution_that_is_given_up_is_cancelled_and_answered_as_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flows = Flows()
    await known(flows)
    withdrawn = asyncio.Event()

    async def execute() -> InferAnswer:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            withdrawn.set()
            raise
        return ANSWER

    task = asyncio.create_task(flows.run("m", execute()))
    await asyncio.sleep(0)
    flow = flows.arrive("m")
    assert flow is not None
    monkeypatch.setattr(type(flow), "is_due", lambda flow, now: True)
    monkeypatch.setattr(type(flow), "judge", lambda flow, now: [2])
    flows.arrive("m")
    with pytest.raises(Overloaded):
        await task
    assert withdrawn.is_set()
    assert task.cancelling() == 0


async def test_a_client_that_leaves_is_no_overload() -> None:
    flows = Flows()
    task = asyncio.create_task(flows.run("m", asyncio.Event().wait()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_without_limiting_nothing_is_known_of_any_model() -> None:
    flows = Flows(is_limiting=False)
    await known(flows)
    assert flows.arrive("m") is None


async def test_an_observed_execution_is_never_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    flows = Flows()
    with flows.observed("m"):
        flow = flows.arrive("m")
        assert flow is not None
        monkeypatch.setattr(type(flow), "is_due", lambda flow, now: True)
        monkeypatch.setattr(type(flow), "judge", lambda flow, now: [1])
        flows.arrive("m")
        await asyncio.sleep(0)
