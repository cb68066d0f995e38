from __future__ import annotations

from scheduler_stage import MS, S, Stage, arrival, batch, config, dynamic, refusal
from shoal.core.errors import Code
from shoal.core.messages import V1, Cancel, Resend, Stale
from shoal.scheduler.actions import Tell
from shoal.scheduler.events import CancelRequested, ModelConfigured, RequestsArrived, SubmitterLeft


def test_a_second_copy_of_a_waiting_or_running_request_is_dropped() -> None:
    stage = Stage(config())
    assert stage.arrive(1, 1, 2) == [batch(1, "instance idle", [1])]
    assert stage.arrive(1) == []
    assert stage.arrive(2) == []
    assert stage.done(1) == [batch(2, "instance idle", [2])]
    assert stage.done(2) == []


def test_a_second_copy_of_a_finished_request_is_answered_again_by_its_executor() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.done(1)
    assert stage.arrive(1) == [Tell("e", Resend(V1, "s", 1))]


def test_a_version_that_the_generation_does_not_have_is_refused() -> None:
    stage = Stage(config())
    text = "Request for unknown model: 'm' version 7 is not found"
    assert stage.arrive(1, version=7) == [refusal(1, Code.NOT_FOUND, text)]


def test_a_request_for_an_outdated_generation_goes_back() -> None:
    stage = Stage(config())
    stage.handle(ModelConfigured("m", "g2", {1: config()}))
    assert stage.arrive(1, generation="g") == [Tell("s", Stale(V1, (1,)))]


def test_a_request_whose_generation_is_newer_than_our_view_waits_for_the_view() -> None:
    stage = Stage(config())
    stage.ready(1, generation="g2")
    assert stage.arrive(1, generation="g2", deadline_us=900_000) == []
    stage.wait(500 * MS)
    sent = stage.handle(ModelConfigured("m", "g2", {1: config()}))
    assert sent == [batch(1, "instance idle", [1], slot=1, queue_us=500_000)]


def test_the_deadline_of_a_request_that_waited_for_the_view_counts_from_its_arrival() -> None:
    stage = Stage(config())
    stage.arrive(1, generation="g2", deadline_us=900_000)
    stage.wait(500 * MS)
    stage.handle(ModelConfigured("m", "g2", {1: config()}))
    text = (
        "deadline of 900 ms passed after 900 ms in the queue of 'm' (0 executions ahead); the request was not started"
    )
    assert stage.wait(400 * MS) == [refusal(1, Code.UNAVAILABLE, text, queue_ns=900 * MS)]


def test_a_generation_that_does_not_appear_goes_back_after_a_second() -> None:
    stage = Stage(config())
    assert stage.arrive(1, generation="g2") == []
    assert stage.wait(1 * S - 1) == []
    assert stage.wait(1) == [Tell("s", Stale(V1, (1,)))]


def test_a_model_that_does_not_appear_is_unknown_after_a_second() -> None:
    stage = Stage(config())
    stage.arrive(1, model="nobody")
    stage.wait(500 * MS)
    stage.arrive(2, model="nobody")
    text = "Request for unknown model: 'nobody' is not found"
    assert stage.wait(500 * MS) == [refusal(1, Code.NOT_FOUND, text)]
    assert stage.wait(500 * MS) == [refusal(2, Code.NOT_FOUND, text)]


def test_models_with_sequences_are_refused_as_unsupported() -> None:
    stage = Stage(config(sequence_batching={"direct": {}}))
    text = (
        "model 'm' uses sequence_batching; this release of the scheduler runs no sequences, "
        "remove sequence_batching from its configuration to serve single requests"
    )
    assert stage.arrive(1) == [refusal(1, Code.UNSUPPORTED, text)]


# Cancelling.


def test_a_waiting_request_is_cancelled_at_once_with_an_empty_text() -> None:
    stage = Stage(config())
    stage.arrive(1, 2)
    stage.pass_ns(1 * MS)
    assert stage.handle(CancelRequested("s", (2,))) == [refusal(2, Code.CANCELLED, "", queue_ns=1 * MS)]
    assert stage.done(1) == []


def test_a_running_request_is_cancelled_by_its_executor() -> None:
    stage = Stage(dynamic())
    stage.arrive(1, 2)
    assert stage.handle(CancelRequested("s", (1, 2))) == [Tell("e", Cancel(V1, "s", (1, 2)))]


def test_cancelling_what_we_do_not_have_does_nothing() -> None:
    assert Stage(config()).handle(CancelRequested("s", (9,))) == []


def test_cancelling_a_request_whose_batch_is_done_reaches_its_executor_which_may_be_giving_responses_still() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.done(1)
    assert stage.handle(CancelRequested("s", (1, 9))) == [Tell("e", Cancel(V1, "s", (1,)))]


def test_a_request_that_waits_for_the_view_can_be_cancelled() -> None:
    stage = Stage(config())
    stage.arrive(1, model="nobody")
    assert stage.handle(CancelRequested("s", (1,))) == [refusal(1, Code.CANCELLED, "")]
    assert stage.wait(2 * S) == []


def test_cancelling_the_request_that_kept_others_apart_lets_them_go() -> None:
    stage = Stage(dynamic(max_queue_delay_microseconds=1000, max_batch_size=4))
    assert stage.arrive(1, batch_size=2) == []
    assert stage.arrive(2, batch_size=1) == []
    assert stage.handle(CancelRequested("s", (2,))) == [refusal(2, Code.CANCELLED, "", queue_ns=1)]
    assert stage.arrive(3, batch_size=2) == [batch(1, "full", [1, 3])]


def test_everything_of_a_submitter_that_left_is_dropped_without_answers() -> None:
    stage = Stage(config())
    mine = [arrival(counter, submitter="other") for counter in (1, 2)]
    stage.handle(RequestsArrived((*mine, arrival(3), arrival(4, submitter="other", model="nobody"))))
    assert stage.handle(SubmitterLeft("other")) == [Tell("e", Cancel(V1, "other", (1,)))]
    assert stage.done(1) == [batch(2, "instance idle", [3])]
    assert stage.core.open_count == 1


def test_a_request_that_fits_into_no_batch_is_refused() -> None:
    stage = Stage(config())
    text = "request for model 'm' has 1073741825 bytes, at most 1072693248 fit"
    refused = stage.handle(RequestsArrived((arrival(1, bytes(1 << 30)),)))
    assert refused == [refusal(1, Code.INVALID_ARG, text)]
