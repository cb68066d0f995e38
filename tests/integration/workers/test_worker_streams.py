"""A worker with models that answer by response senders, and a submitter that takes the responses at its own pace."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from python_worker import configuration, request_for, write_model
from shoal.core.errors import Code
from shoal.core.messages import V1, BatchDone, Cancel, InferResponse, InstanceStatus, Resend, Taken
from shoal.workers.executor.service import SENDERS_LIMIT_S
from shoal.workers.executor.stream import CREDIT_COUNT
from worker_stage import Stage, eventually

COUNTING = """
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL

def response(number):
    return pb_utils.InferenceResponse([pb_utils.Tensor("X", np.array([[number]], np.float32))])

def count(request):
    # As many as the request says.
    sender = request.get_response_sender()
    for number in range(int(value(request))):
        sender.send(response(number))
    sender.send(flags=FINAL)
"""

AT_ONCE = (
    COUNTING
    + """
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            count(request)
"""
)

IN_THREADS = (
    COUNTING
    + """
import threading

class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            threading.Thread(target=count, args=(request,)).start()

    def finalize(self):
        print("finalized", flush=True)
"""
)

#: Long enough for what should not happen to happen.
LOOK_S = 0.3


async def serve(stage: Stage, source: str) -> InstanceStatus:
    write_model(stage, source)
    config: dict[str, Any] = configuration() | {"model_transaction_policy": {"decoupled": True}}
    await stage.desire(config)
    stage.start_agent()
    (instance,) = await stage.ready()
    await stage.known(instance)
    return instance


def responses(stage: Stage, counter: int) -> list[InferResponse]:
    return [received.message for received in stage.answers(counter) if isinstance(received.message, InferResponse)]


def indexes(stage: Stage, counter: int) -> list[int]:
    return [message.response_index for message in responses(stage, counter)]


async def heard(stage: Stage, counter: int, count: int) -> None:
    await eventually(lambda: len(indexes(stage, counter)) >= count, f"{count} responses")


def take(stage: Stage, instance: InstanceStatus, counter: int, index: int) -> None:
    stage.submitter.bus.send(instance.executor, Taken(V1, ((counter, index),)))


async def test_a_model_is_no_further_ahead_than_its_client_lets_it(stage: Stage) -> None:
    instance = await serve(stage, AT_ONCE)
    asked = request_for(stage, 40.0)
    counter = asked[0].counter
    stage.send_batch(instance, [asked])
    await heard(stage, counter, CREDIT_COUNT)
    await asyncio.sleep(LOOK_S)
    assert indexes(stage, counter) == list(range(CREDIT_COUNT))
    assert stage.scheduler.of(BatchDone) == []
    for index in range(40):
        await heard(stage, counter, index + 1)
        take(stage, instance, counter, index)
    await heard(stage, counter, 41)
    assert indexes(stage, counter) == list(range(41))
    last = responses(stage, counter)[-1]
    assert (last.final, last.is_empty, last.error) == (True, True, None)
    assert min(last.timings) > 0
    await stage.scheduler.first(BatchDone)


async def test_an_instance_executes_the_next_batch_while_senders_are_open(stage: Stage) -> None:
    instance = await serve(stage, IN_THREADS)
    slow, quick = request_for(stage, 100.0), request_for(stage, 1.0)
    stage.send_batch(instance, [slow])
    await heard(stage, slow[0].counter, CREDIT_COUNT)
    stage.send_batch(instance, [quick])
    await heard(stage, quick[0].counter, 2)
    await eventually(lambda: len(stage.scheduler.of(BatchDone)) == 2, "both batches done")
    assert len(indexes(stage, slow[0].counter)) == CREDIT_COUNT


async def test_a_cancelled_request_lets_its_sender_go_after_its_batch_too(stage: Stage) -> None:
    instance = await serve(stage, IN_THREADS)
    asked = request_for(stage, 100.0)
    stage.send_batch(instance, [asked])
    await heard(stage, asked[0].counter, CREDIT_COUNT)
    await stage.scheduler.first(BatchDone)
    stage.scheduler.bus.send(instance.executor, Cancel(V1, stage.submitter.bus.incarnation, (asked[0].counter,)))
    # An instance without open senders is unloaded at once.
    await stage.view.delete("double")
    await eventually(lambda: not stage.instances(), "the instance gone")
    assert len(indexes(stage, asked[0].counter)) == CREDIT_COUNT


async def test_what_was_not_taken_is_sent_again_when_it_is_asked_for(stage: Stage) -> None:
    instance = await serve(stage, IN_THREADS)
    asked = request_for(stage, 3.0)
    counter = asked[0].counter
    stage.send_batch(instance, [asked])
    await heard(stage, counter, 4)
    take(stage, instance, counter, 1)
    stage.submitter.bus.send(instance.executor, Resend(V1, stage.submitter.bus.incarnation, counter))
    await heard(stage, counter, 6)
    assert indexes(stage, counter) == [0, 1, 2, 3, 2, 3]
    take(stage, instance, counter, 3)
    stage.submitter.bus.send(instance.executor, Resend(V1, stage.submitter.bus.incarnation, counter))
    await heard(stage, counter, 7)
    gone = responses(stage, counter)[-1]
    assert (gone.response_index, gone.final, gone.error and gone.error[0]) == (-1, True, Code.UNAVAILABLE)


async def test_an_instance_is_unloaded_when_its_senders_have_ended(stage: Stage) -> None:
    instance = await serve(stage, IN_THREADS)
    asked = request_for(stage, 30.0)
    counter = asked[0].counter
    stage.send_batch(instance, [asked])
    await heard(stage, counter, CREDIT_COUNT)
    await stage.view.delete("double")
    await asyncio.sleep(LOOK_S)
    assert "finalized" not in (stage.directory / "agent.log").read_text("utf-8", "replace")
    for index in range(30):
        await heard(stage, counter, index + 1)
        take(stage, instance, counter, index)
    await heard(stage, counter, 31)
    await eventually(lambda: not stage.instances(), "the instance gone")
    assert "finalized" in (stage.directory / "agent.log").read_text("utf-8", "replace")


@pytest.mark.slow
async def test_a_sender_that_never_ends_does_not_keep_its_instance_for_ever(stage: Stage) -> None:
    instance = await serve(stage, IN_THREADS)
    asked = request_for(stage, 100.0)
    stage.send_batch(instance, [asked])
    await heard(stage, asked[0].counter, CREDIT_COUNT)
    await stage.view.delete("double")
    await eventually(lambda: not stage.instances(), "the instance gone", deadline_s=SENDERS_LIMIT_S + 5)
    last = responses(stage, asked[0].counter)[-1]
    assert (last.response_index, last.final) == (CREDIT_COUNT, True)
    assert last.error is not None
    assert last.error[1] == "'double_0' was unloaded, and this request not ended by its sender within 20 s"


async def test_a_request_that_the_model_forgot_ends_with_an_error(stage: Stage) -> None:
    source = COUNTING + "class TritonPythonModel:\n    def execute(self, requests): pass\n"
    instance = await serve(stage, source)
    asked = request_for(stage)
    stage.send_batch(instance, [asked])
    message = (await stage.answer(asked[0])).message
    assert message.error is not None
    assert "let go of the response sender of this request (instance 'double_0')" in message.error[1]
