"""When a model is overloaded, and how many requests it may have then: on virtual time."""

from __future__ import annotations

import pytest

from served_flow import ServedFlow


@pytest.mark.parametrize("service_s", [0.004, 0.01, 0.05])
@pytest.mark.parametrize("normal_load", [0.5, 0.9])
def test_ten_times_the_load_that_saturates_leaves_the_accepted_in_time(service_s: float, normal_load: float) -> None:
    model = ServedFlow(service_s)
    normal = model.open_loop(normal_load / service_s, for_s=20)
    overload = model.open_loop(10 / service_s, for_s=60)
    assert normal.refused + normal.given_up == 0
    assert overload.percentile(99) < 2 * normal.percentile(99)
    # The model has work all the time.
    assert len(overload.latencies) > 0.95 * 60 / service_s
    # Half a second of a backlog is all that is taken on and given up again.
    assert overload.given_up < 9 * 0.6 / service_s


def test_a_model_that_starts_under_overload_answers_in_time_too() -> None:
    model = ServedFlow(0.01)
    overload = model.open_loop(1000, for_s=60)
    assert overload.percentile(99) < 0.05
    assert len(overload.latencies) > 0.95 * 6000


def test_a_mild_overload_is_noticed_later() -> None:
    model = ServedFlow(0.005)
    normal = model.open_loop(150, for_s=20)
    overload = model.open_loop(260, for_s=120)
    assert normal.refused == 0
    # Without a limit requests would wait 36 s at the end.
    assert overload.percentile(99) < 1.5
    assert len(overload.latencies) > 0.95 * 120 * 200


def test_all_is_normal_again_within_a_second() -> None:
    model = ServedFlow(0.01)
    normal = model.open_loop(50, for_s=20)
    model.open_loop(1000, for_s=10)
    model.open_loop(50, for_s=1)
    after = model.open_loop(50, for_s=10, seed=8)
    assert model.flow.limit is None
    assert after.refused + after.given_up == 0
    assert after.percentile(99) < 1.2 * normal.percentile(99)


@pytest.mark.parametrize("ramp_s", [0.0, 0.2])
@pytest.mark.parametrize(("clients", "service_s"), [(64, 0.01), (1024, 0.005), (5000, 0.002)])
def test_patient_clients_are_all_served_however_many(clients: int, service_s: float, ramp_s: float) -> None:
    model = ServedFlow(service_s)
    model.open_loop(0.2 / service_s, for_s=5)
    outcome = model.closed_loop(clients, for_s=12, ramp_s=ramp_s)
    assert outcome.refused + outcome.given_up == 0


def test_a_burst_that_is_over_soon_is_served_whole() -> None:
    model = ServedFlow(0.01)
    model.open_loop(50, for_s=5)
    burst = model.open_loop(5000, for_s=0.3)
    model.run(60)
    assert burst.refused + burst.given_up == 0
    assert len(burst.latencies) > 1400


def test_few_requests_are_never_refused_however_slow_the_model() -> None:
    model = ServedFlow(0.2)
    outcome = model.open_loop(6, for_s=40)
    assert len(outcome.latencies) > 40
    assert outcome.refused + outcome.given_up == 0


def test_a_model_that_does_not_answer_for_a_while_owes_answers_and_no_refusals() -> None:
    model = ServedFlow(0.01)
    model.open_loop(50, for_s=5)
    model.is_stalled = True
    during = model.open_loop(50, for_s=4)
    model.resume()
    after = model.open_loop(50, for_s=20, seed=9)
    assert during.refused + during.given_up + after.refused + after.given_up == 0


def test_clients_that_come_again_at_once_share_what_there_is() -> None:
    model = ServedFlow(0.01)
    model.open_loop(50, for_s=10)
    model.open_loop(1000, for_s=5)
    pushing = model.closed_loop(200, for_s=20)
    assert len(pushing.latencies) > 0.95 * 20 * 100
    assert pushing.percentile(99) < 0.1
