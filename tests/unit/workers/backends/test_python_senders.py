"""Models that answer by response senders."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from python_backend import X, Y, request, values
from recorded_sender import RecordedSender
from shoal.core.errors import InternalError
from shoal.core.tensors import Tensor
from shoal.memory import Arena, ArenaReader
from shoal.workers.backends.python import PythonBackend

Load = Callable[..., PythonBackend]

DECOUPLED = {"model_transaction_policy": {"decoupled": True}}

PREAMBLE = """
import asyncio, threading
import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL

def response(*numbers):
    return pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array(numbers, np.float32))])
"""

COUNTING = """
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for number in range(3):
                sender.send(response(number))
            sender.send(flags=FINAL)
"""

IN_THREADS = """
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            threading.Thread(target=self.answer, args=(request,)).start()

    def answer(self, request):
        request.get_response_sender().send(response(7), FINAL)
"""

IN_COROUTINES = """
class TritonPythonModel:
    both = None

    async def execute(self, requests):
        self.both = self.both or asyncio.Event()
        sender = requests[0].get_response_sender()
        if sender_number(requests[0]) == 0:
            await self.both.wait()
        self.both.set()
        sender.send(response(sender_number(requests[0])), FINAL)

def sender_number(request):
    return int(request.inputs()[0].as_numpy()[0])
"""


def given(sender: RecordedSender) -> list[list[Any] | None]:
    """The outputs of what was sent."""
    return [None if response is None else values(response.outputs[0]) for response, _ in sender.sent]


def test_a_decoupled_model_gives_any_number_of_responses(load: Load) -> None:
    senders = [RecordedSender(), RecordedSender()]
    execution = load(PREAMBLE + COUNTING, **DECOUPLED).execute([request(sender=sender) for sender in senders])
    assert list(execution.responses) == [None, None]
    for sender in senders:
        assert given(sender) == [[0], [1], [2], None]
        assert sender.finals == [False, False, False, True]


def test_threads_of_the_model_answer_after_execute_has_returned(load: Load) -> None:
    sender = RecordedSender()
    load(PREAMBLE + IN_THREADS, **DECOUPLED).execute([request(sender=sender)])
    assert sender.is_over.wait(5)
    assert (given(sender), sender.failure) == ([[7]], None)


def test_coroutines_of_a_decoupled_model_run_beside_each_other(load: Load) -> None:
    backend = load(PREAMBLE + IN_COROUTINES, **DECOUPLED)
    first, second = RecordedSender(), RecordedSender()
    backend.execute([request(np.array([0, 0, 0, 0], np.float32), sender=first)])
    backend.execute([request(np.array([1, 0, 0, 0], np.float32), sender=second)])
    assert first.is_over.wait(5)
    assert second.is_over.wait(5)
    assert (given(first), given(second)) == ([[0]], [[1]])


@pytest.mark.parametrize("coroutine", ["", "async "])
def test_an_exception_ends_what_the_senders_have_not_ended(load: Load, coroutine: str) -> None:
    text = f"""
class TritonPythonModel:
    {coroutine}def execute(self, requests):
        requests[0].get_response_sender().send(response(1), FINAL)
        requests[1].get_response_sender().send(response(2))
        raise ValueError("on purpose")
"""
    backend = load(PREAMBLE + text, **DECOUPLED)
    senders = [RecordedSender() for _ in range(3)]
    batch = [request(sender=sender) for sender in senders]
    if coroutine:
        backend.execute(batch)
    else:
        with pytest.raises(InternalError, match="ValueError: on purpose"):
            backend.execute(batch)
    ended, begun, untouched = senders
    for sender in (begun, untouched):
        assert sender.is_over.wait(5)
        assert sender.failure is not None
        assert "for model 'm_0', message: ValueError: on purpose" in sender.failure.message
    assert (given(begun), given(ended), ended.failure) == ([[2]], [[1]], None)


def test_a_decoupled_model_that_returns_something_fails_its_requests(load: Load) -> None:
    backend = load(PREAMBLE + "class TritonPythonModel:\n    def execute(self, requests): return []", **DECOUPLED)
    sender = RecordedSender()
    with pytest.raises(InternalError) as failed:
        backend.execute([request(sender=sender)])
    assert failed.value.message == (
        "Failed to process the request(s) for model 'm_0', message: Python model 'm_0' is using the decoupled mode "
        "and the execute function must return None."
    )
    assert sender.failure is not None


def test_a_sender_that_the_model_lets_go_of_ends_its_request_with_an_error(load: Load) -> None:
    text = "class TritonPythonModel:\n    def execute(self, requests): pass"
    sender = RecordedSender()
    load(PREAMBLE + text, **DECOUPLED).execute([request(sender=sender)])
    gc.collect()
    assert sender.failure is not None
    assert sender.failure.message == (
        "the model let go of the response sender of this request (instance 'm_0') without sending "
        "TRITONSERVER_RESPONSE_COMPLETE_FINAL"
    )


def test_only_outputs_that_were_asked_for_are_sent(load: Load) -> None:
    text = """
class TritonPythonModel:
    def execute(self, requests):
        tensors = [pb_utils.Tensor(name, np.zeros(1, np.float32)) for name in ("Y", "Z", "STRANGER")]
        requests[0].get_response_sender().send(pb_utils.InferenceResponse(tensors), FINAL)
"""
    sender = RecordedSender()
    backend = load(PREAMBLE + text, output=[Y, Y | {"name": "Z"}], **DECOUPLED)
    backend.execute([request(outputs=("Z",), sender=sender)])
    ((response, _),) = sender.sent
    assert response is not None
    assert [tensor.name for tensor in response.outputs] == ["Z"]


@pytest.mark.parametrize(
    ("body", "returned"),
    [
        ("sender.send(response(5), FINAL)", "None"),
        ("sender.send(response(5), FINAL)", "[None]"),
        ("sender.send(response(5)); sender.send(flags=FINAL)", "None"),
        ("pass", "[response(5)]"),
    ],
)
def test_a_model_that_is_not_decoupled_may_answer_once_by_its_sender(load: Load, body: str, returned: str) -> None:
    text = f"""
class TritonPythonModel:
    def execute(self, requests):
        sender = requests[0].get_response_sender()
        {body}
        return {returned}
"""
    sender = RecordedSender()
    assert list(load(PREAMBLE + text).execute([request(sender=sender)]).responses) == [None]
    assert (given(sender), sender.finals) == ([[5]], [True])


def test_a_response_that_waits_for_its_final_flag_does_not_change_with_the_models_array(load: Load) -> None:
    text = """
class TritonPythonModel:
    def execute(self, requests):
        sender = requests[0].get_response_sender()
        array = np.zeros(4096, np.float32)
        sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", array)]))
        array[:] = 1
        sender.send(flags=FINAL)
"""
    sender = RecordedSender()
    load(PREAMBLE + text).execute([request(sender=sender)])
    assert given(sender) == [[0] * 4096]


@pytest.mark.parametrize(
    ("decoupled", "body", "text"),
    [
        (True, "sender.send(response(1), 2)", "Unable to send response. Unsupported flag provided."),
        (
            True,
            "sender.send()",
            "Inference Response object must be provided when the response flags is set to zero.",
        ),
        (
            True,
            "sender.send(flags=FINAL); sender.send(response(1))",
            "Unable to send response. Response sender has been closed.",
        ),
        (
            False,
            "sender.send(response(1), FINAL); sender.send(flags=FINAL)",
            "Unable to send response. Response sender has been closed.",
        ),
        (
            False,
            "sender.send(response(1)); sender.send(response(2))",
            "Unable to send response. Non-decoupled model cannot send more than one response.",
        ),
        (
            False,
            "sender.send(flags=FINAL)",
            "Unable to send response. Non-decoupled model cannot send complete final before sending a response.",
        ),
    ],
)
def test_misuse_of_a_sender_is_refused_in_tritons_words(load: Load, decoupled: bool, body: str, text: str) -> None:
    model = f"""
class TritonPythonModel:
    def execute(self, requests):
        sender = requests[0].get_response_sender()
        {body}
"""
    backend = load(PREAMBLE + model, model_transaction_policy={"decoupled": decoupled})
    with pytest.raises(InternalError, match=rf"message: TritonModelException: {re.escape(text)}"):
        backend.execute([request(sender=RecordedSender())])


def test_a_sender_does_not_answer_any_more_when_the_execution_has_failed(load: Load) -> None:
    text = """
class TritonPythonModel:
    refused = None

    def execute(self, requests):
        if self.refused is None:
            self.kept = requests[0].get_response_sender()
            self.refused = False
            raise ValueError("on purpose")
        try:
            self.kept.send(response(1))
        except pb_utils.TritonModelException as error:
            self.refused = str(error)
        requests[0].get_response_sender().send(pb_utils.InferenceResponse(parameters={"refused": self.refused}), FINAL)
"""
    backend, last = load(PREAMBLE + text, **DECOUPLED), RecordedSender()
    with pytest.raises(InternalError):
        backend.execute([request(sender=RecordedSender())])
    backend.execute([request(sender=last)])
    ((response, _),) = last.sent
    assert response is not None
    assert response.parameters == {"refused": "Unable to send response. Response sender has been closed."}


def test_inputs_in_shared_memory_can_be_sent_after_they_were_given_back(load: Load, tmp_path: Any) -> None:
    text = """
class TritonPythonModel:
    kept = None

    def execute(self, requests):
        if self.kept is None:
            self.kept = requests[0]
            return
        tensor = self.kept.inputs()[0]
        answer = pb_utils.InferenceResponse([pb_utils.Tensor("Y", tensor.as_numpy())])
        self.kept.get_response_sender().send(answer, FINAL)
        requests[0].get_response_sender().send(flags=FINAL)
"""
    arena = Arena.open("gateway-1", 2**24, tmp_path)
    block = arena.allocate(16, "scheduler")
    block.memory[:] = np.arange(4, dtype=np.float32).tobytes()
    data = ArenaReader(arena.host, tmp_path).view(block.ref(0, 16))
    kept = RecordedSender()
    shared = request(sender=kept)._replace(inputs=(Tensor("X", "FP32", (4,), data),), is_borrowed=True)
    backend = load(PREAMBLE + text, input=[X], **DECOUPLED)
    backend.execute([shared])
    backend.let_go()
    block.memory[:] = b"\xff" * 16
    backend.execute([request(sender=RecordedSender())])
    assert given(kept) == [[0, 1, 2, 3]]
    arena.close()
