from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from time import monotonic_ns

import numpy as np
import pytest

from python_backend import X, Y, request, source_of, values
from requests_to_execute import responses_of
from shoal.core.errors import Code, InternalError
from shoal.core.tensors import Tensor
from shoal.memory import Arena, ArenaReader
from shoal.workers.backend import Request, Response
from shoal.workers.backends.python import PythonBackend

ECHO = """
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            return [
                pb_utils.InferenceResponse(
                    [pb_utils.Tensor("Y", pb_utils.get_input_tensor_by_name(r, "X").as_numpy())]
                )
                for r in requests
            ]
"""

Load = Callable[..., PythonBackend]


def answer(backend: PythonBackend, one: Request) -> Response:
    (response,) = responses(backend, one)
    return response


def responses(backend: PythonBackend, *requests: Request) -> list[Response]:
    """One for each request."""
    return responses_of(backend.execute(requests))


def test_each_request_gets_its_own_response(load: Load) -> None:
    backend = load(ECHO)
    before = monotonic_ns()
    execution = backend.execute([request(), request(np.ones(4, np.float32))])
    assert [values(response.outputs[0]) for response in responses_of(execution)] == [[0, 1, 2, 3], [1, 1, 1, 1]]
    assert before <= execution.input_end_ns <= execution.output_start_ns <= monotonic_ns()


def test_only_outputs_that_were_asked_for_leave(load: Load) -> None:
    text = """
        import numpy as np
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def execute(self, requests):
                names = ["Y", "Z", "STRANGER"]
                seen = requests[0].requested_output_names()
                outputs = [pb_utils.Tensor(name, np.array([len(seen)], np.int32)) for name in names]
                return [pb_utils.InferenceResponse(outputs, parameters={"seen": ",".join(seen)})]
    """
    backend = load(text, output=[Y, Y | {"name": "Z"}])
    everything, one, missing = (answer(backend, request(outputs=names)) for names in ((), ("Z",), ("OTHER",)))
    assert ([tensor.name for tensor in everything.outputs], everything.parameters) == (["Y", "Z"], {"seen": "Y,Z"})
    assert ([tensor.name for tensor in one.outputs], one.parameters) == (["Z"], {"seen": "Z"})
    assert missing.outputs == ()


def test_initialize_is_told_about_the_instance(load: Load, tmp_path: Path) -> None:
    text = """
        import json
        import numpy as np
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def initialize(self, args):
                self.text = json.dumps(args).encode()

            def execute(self, requests):
                return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([self.text], dtype=object))])]
    """
    (output,) = answer(load(text), request()).outputs
    args = json.loads(bytes(output.data)[4:])
    assert json.loads(args.pop("model_config"))["input"] == [X]
    assert args == {
        "model_instance_kind": "CPU",
        "model_instance_device_id": "0",
        "model_instance_name": "m_0",
        "model_repository": str(tmp_path),
        "model_version": "1",
        "model_name": "m",
    }


def test_reshape_changes_what_the_model_and_the_client_see(load: Load) -> None:
    text = """
        import numpy as np
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def execute(self, requests):
                array = pb_utils.get_input_tensor_by_name(requests[0], "X").as_numpy()
                return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", array.transpose(0, 2, 1))])]
    """
    reshape = {"reshape": {"shape": [2, 2]}}
    backend = load(text, max_batch_size=8, input=[X | reshape], output=[Y | reshape])
    (output,) = answer(backend, request(np.arange(8, dtype=np.float32).reshape(2, 4), batch_size=2)).outputs
    assert output.shape == (2, 4)
    assert values(output) == [0, 2, 1, 3, 4, 6, 5, 7]


def test_an_output_that_does_not_fit_its_reshape_fails_its_request_alone(load: Load) -> None:
    backend = load(ECHO, output=[Y | {"reshape": {"shape": [2, 2]}}])
    response = answer(backend, request())
    assert response.error is not None
    assert response.error.message == (
        "model 'm', output 'Y': got shape [4], expected [2, 2], which the configuration reshapes to [4]"
    )


def test_what_a_model_does_to_its_arrays_later_does_not_change_answers(load: Load) -> None:
    text = """
        import numpy as np
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            buffer = np.zeros(1, np.float32)

            def execute(self, requests):
                self.buffer += 1
                return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", self.buffer)])]
    """
    backend = load(text)
    first, second = (answer(backend, request()).outputs[0] for _ in range(2))
    assert (values(first), values(second)) == ([1], [2])


def test_errors_keep_their_code_and_concern_one_request(load: Load) -> None:
    text = """
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def execute(self, requests):
                error = pb_utils.TritonError("not you", pb_utils.TritonError.NOT_FOUND)
                return [pb_utils.InferenceResponse(error=error), pb_utils.InferenceResponse([])]
    """
    refused, fine = responses(load(text), request(), request())
    assert refused.error is not None
    assert (refused.error.code, refused.error.message, refused.outputs) == (Code.NOT_FOUND, "not you", ())
    assert (fine.error, fine.outputs) == (None, ())


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        ("ValueError('on purpose')", "ValueError: on purpose"),
        ("pb_utils.TritonModelException('of the model')", "TritonModelException: of the model"),
        ("SystemExit(1)", "SystemExit: 1"),
        ("__import__('asyncio').CancelledError()", "CancelledError: "),
    ],
)
def test_an_exception_fails_the_batch_and_shows_the_users_frames(
    load: Load, tmp_path: Path, raised: str, text: str
) -> None:
    model = f"""
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def execute(self, requests):
                raise {raised}
    """
    with pytest.raises(InternalError) as failed:
        load(model).execute([request(), request()])
    where = tmp_path / "1" / "model.py"
    assert failed.value.message == (
        f"Failed to process the request(s) for model 'm_0', message: {text}\n\nAt:\n  {where}(6): execute\n"
    )


def test_an_exception_in_a_coroutine_shows_no_frames_but_the_users(load: Load, tmp_path: Path) -> None:
    text = """
        class TritonPythonModel:
            async def execute(self, requests):
                raise ValueError("on purpose")
    """
    with pytest.raises(InternalError) as failed:
        load(text).execute([request()])
    where = tmp_path / "1" / "model.py"
    assert failed.value.message.endswith(f"ValueError: on purpose\n\nAt:\n  {where}(4): execute\n")


def test_what_execute_must_return_is_checked(load: Load) -> None:
    backend = load("class TritonPythonModel:\n    def execute(self, requests): return 'text'")
    with pytest.raises(InternalError) as failed:
        backend.execute([request()])
    assert failed.value.message == (
        "Failed to process the request(s) for model 'm_0', message: Expected a list in the execute return, found type "
        "'<class 'str'>'."
    )


def test_a_model_without_execute_loads_and_answers_with_an_error(load: Load) -> None:
    backend = load("class TritonPythonModel: pass")
    with pytest.raises(InternalError, match=r"Python model .*model\.py does not implement `execute` method\.$"):
        backend.execute([request()])


def test_an_output_that_cannot_be_encoded_fails_its_request_alone(load: Load) -> None:
    text = """
        import numpy as np
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def execute(self, requests):
                bad = pb_utils.Tensor("Y", np.array(["\\udc80"], dtype=object))
                return [pb_utils.InferenceResponse([bad]), pb_utils.InferenceResponse([])]
    """
    bad, fine = responses(load(text), request(), request())
    assert bad.error is not None
    assert "for model 'm_0', message: UnicodeEncodeError" in bad.error.message
    assert fine.error is None


def test_coroutines_run_on_one_loop(load: Load) -> None:
    text = """
        import asyncio
        import numpy as np
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            loops = set()

            async def execute(self, requests):
                await asyncio.sleep(0)
                self.loops.add(asyncio.get_running_loop())
                return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([len(self.loops)], np.float32))])]
    """
    backend = load(text)
    assert [values(answer(backend, request()).outputs[0]) for _ in range(3)] == [[1], [1], [1]]


def test_too_large_a_batch_is_refused(load: Load) -> None:
    backend = load(ECHO, max_batch_size=2)
    array = np.zeros((2, 4), np.float32)
    with pytest.raises(InternalError, match=r"^batch size 4 for 'm_0', max allowed is 2$"):
        backend.execute([request(array, batch_size=2), request(array, batch_size=2)])


def test_a_failing_initialize_fails_the_load(load: Load, tmp_path: Path) -> None:
    text = """
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def initialize(self, args):
                raise pb_utils.TritonModelException("will not start")
    """
    with pytest.raises(InternalError) as failed:
        load(text)
    where = tmp_path / "1" / "model.py"
    assert failed.value.message == f"TritonModelException: will not start\n\nAt:\n  {where}(6): initialize\n"


def test_finalize_is_called_and_its_exceptions_are_logged(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    backend = load("class TritonPythonModel:\n    def finalize(self): raise RuntimeError('not quietly')")
    backend.unload()
    assert "finalize failed" in caplog.text
    assert "not quietly" in caplog.text


def test_the_signature_of_a_model_that_does_not_describe_itself_is_its_configuration(tmp_path: Path) -> None:
    source = source_of(tmp_path, ECHO, parameters={"note": {"string_value": "kept"}})
    assert PythonBackend.signature(source) == source.config.raw


def test_a_model_completes_what_it_may_and_nothing_else(tmp_path: Path) -> None:
    text = """
        class TritonPythonModel:
            @staticmethod
            def auto_complete_config(config):
                config.set_max_batch_size(6)
                config.set_dynamic_batching()
                config.add_output({"name": "Y", "data_type": "TYPE_INT8", "dims": [-1]})
                config.as_dict()["platform"] = "changed"
                return config
    """
    completed = PythonBackend.signature(source_of(tmp_path, text, platform="", output=[]))
    assert completed == {
        "name": "m",
        "platform": "",
        "max_batch_size": 6,
        "dynamic_batching": {},
        "input": [X],
        "output": [{"name": "Y", "data_type": "TYPE_INT8", "dims": [-1]}],
    }


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return None", r"in model '.*model\.py' must return a valid pb\.ModelConfig object\."),
        ("config.set_max_batch_size(-1)", "ValueError: configuration specified max_batch_size 0, but in auto-complete"),
    ],
)
def test_a_model_that_describes_itself_wrongly_fails(tmp_path: Path, body: str, text: str) -> None:
    model = f"""
        class TritonPythonModel:
            @staticmethod
            def auto_complete_config(config):
                {body}
    """
    with pytest.raises(InternalError, match=text):
        PythonBackend.signature(source_of(tmp_path, model))


def test_a_fresh_process_needs_no_framework_and_no_protobuf(tmp_path: Path) -> None:
    source_of(tmp_path, ECHO)
    script = f"""
import sys
from shoal.core.model_config import from_json
from shoal.workers.backend import InstanceSpec, ModelSource
from shoal.workers.backends.python import PythonBackend

backend = PythonBackend()
backend.load(ModelSource("m", 1, {str(tmp_path)!r}, from_json({{"name": "m"}}), {{}}), InstanceSpec("m_0", "CPU", 0))
backend.unload()
roots = {{name.split(".")[0] for name in sys.modules}}
print(sorted(roots & {{"google", "grpc", "nats", "orjson", "starlette", "tritonclient", "uvloop", "rich"}}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


KEEPING = """
    import numpy as np
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        kept = None

        def execute(self, requests):
            if self.kept is not None:
                array = np.frombuffer(self.bytes_of(self.kept), np.uint8)
                return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", array)])]
            tensor = pb_utils.get_input_tensor_by_name(requests[0], "X")
            self.kept = {kept}
            {ends}

        def bytes_of(self, kept):
            if isinstance(kept, pb_utils.InferenceRequest):
                kept = kept.inputs()[0]
            if isinstance(kept, pb_utils.Tensor):
                kept = kept.as_numpy()
            return np.asarray(kept).tobytes()
"""


@pytest.mark.parametrize(
    "kept", ["requests[0]", "tensor", "tensor.as_numpy()", "tensor.as_numpy()[1:3]", "memoryview(tensor.as_numpy())"]
)
@pytest.mark.parametrize("ends", ["return [pb_utils.InferenceResponse([tensor])]", "raise ValueError('on purpose')"])
def test_what_a_model_keeps_of_shared_inputs_stays_what_it_was(
    load: Load, tmp_path: Path, kept: str, ends: str
) -> None:
    arena = Arena.open("gateway-1", 2**24, tmp_path)
    block = arena.allocate(16, "scheduler")
    block.memory[:] = np.arange(4, dtype=np.float32).tobytes()
    data = ArenaReader(arena.host, tmp_path).view(block.ref(0, 16))
    shared = request()._replace(inputs=(Tensor("X", "FP32", (4,), data),), is_borrowed=True)
    backend = load(KEEPING.format(kept=kept, ends=ends))
    with pytest.raises(InternalError) if "raise" in ends else nullcontext():
        backend.execute([shared])
    backend.let_go()
    block.memory[:] = b"\xff" * 16
    expected = [1, 2] if "[1:3]" in kept else [0, 1, 2, 3]
    assert values(answer(backend, request()).outputs[0]) == expected
    arena.close()


def test_an_input_that_is_given_back_as_it_came_is_not_copied(load: Load, tmp_path: Path) -> None:
    text = """
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def execute(self, requests):
                return [pb_utils.InferenceResponse(request.inputs()) for request in requests]
    """
    data = memoryview(bytes(16))
    shared = request()._replace(inputs=(Tensor("X", "FP32", (4,), data),), is_borrowed=True)
    (output,) = answer(load(text, output=[X]), shared).outputs
    assert output.data is data
