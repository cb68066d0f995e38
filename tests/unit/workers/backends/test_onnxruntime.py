"""The onnxruntime backend on real models."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from onnx_models import BFLOAT16, FLOAT, STRING, write_add, write_add_sub, write_identity, write_model
from requests_to_execute import backend_request, responses_of, tensor
from shoal.core.datatypes import decode_bytes, encode_bytes
from shoal.core.errors import InternalError, InvalidArgument, ShoalError, Unavailable, Unsupported
from shoal.core.model_config import from_json
from shoal.core.tensors import Tensor
from shoal.workers.backend import InstanceSpec, ModelSource, Request, Response
from shoal.workers.backends.onnxruntime import OnnxRuntimeBackend

CPU = InstanceSpec("m_0", "CPU", 0)


def field(name: str, *dims: int, data_type: str = "TYPE_FP32", **more: Any) -> dict[str, Any]:
    return {"name": name, "data_type": data_type, "dims": list(dims)} | more


def source(directory: Path, **config: Any) -> ModelSource:
    raw = {"name": "m", "backend": "onnxruntime"} | config
    return ModelSource("m", 1, str(directory), from_json(raw), {})


def model_file(directory: Path) -> Path:
    return directory / "1" / "model.onnx"


def loaded(of: ModelSource) -> OnnxRuntimeBackend:
    backend = OnnxRuntimeBackend()
    backend.load(of, CPU)
    return backend


def add_sub(directory: Path) -> OnnxRuntimeBackend:
    write_add_sub(model_file(directory))
    inputs, outputs = [field("A", 4), field("B", 4)], [field("SUM", 4), field("DIFF", 4)]
    return loaded(source(directory, max_batch_size=8, input=inputs, output=outputs))


def shown(response: Response) -> dict[str, Any]:
    return {t.name: np.frombuffer(t.data, np.float32).reshape(t.shape).tolist() for t in response.outputs}


def pair(a: float, b: float, rows: int = 1, **fields: Any) -> Request:
    return backend_request(tensor("A", [[a] * 4] * rows), tensor("B", [[b] * 4] * rows), **fields)


def test_a_batch_is_one_run_and_comes_apart_again(tmp_path: Path) -> None:
    execution = add_sub(tmp_path).execute([pair(1, 2), pair(5, 3, rows=2)])
    first, second = responses_of(execution)
    assert shown(first) == {"SUM": [[3] * 4], "DIFF": [[-1] * 4]}
    assert shown(second) == {"SUM": [[8] * 4] * 2, "DIFF": [[2] * 4] * 2}
    assert execution.input_end_ns <= execution.output_start_ns


def test_only_outputs_that_somebody_asked_for_are_computed(tmp_path: Path) -> None:
    execution = add_sub(tmp_path).execute([pair(1, 2, outputs=("DIFF",))])
    assert [list(shown(response)) for response in responses_of(execution)] == [["DIFF"]]


def test_outputs_of_one_execution_survive_the_next(tmp_path: Path) -> None:
    backend = add_sub(tmp_path)
    first = responses_of(backend.execute([pair(1, 2)]))[0]
    backend.execute([pair(10, 20)])
    assert shown(first)["SUM"] == [[3] * 4]


def test_a_request_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    broken = backend_request(Tensor("A", "FP32", (1, 4), b"short"), tensor("B", [[1] * 4]))
    bad, good = responses_of(add_sub(tmp_path).execute([broken, pair(1, 2)]))
    assert isinstance(bad.error, InvalidArgument)
    assert shown(good)["SUM"] == [[3] * 4]


def test_a_batch_without_a_readable_request_is_not_run(tmp_path: Path) -> None:
    broken = backend_request(Tensor("A", "FP32", (1, 4), b"short"))
    (bad,) = responses_of(add_sub(tmp_path).execute([broken]))
    assert isinstance(bad.error, InvalidArgument)


def test_the_runtimes_text_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"^onnx runtime error 2: .*[Ii]nvalid"):
        add_sub(tmp_path).execute([backend_request(tensor("A", [[1] * 4]), tensor("B", [[1] * 3]))])


def test_a_model_without_batching(tmp_path: Path) -> None:
    write_add(model_file(tmp_path), dims=(2, 2))
    fields = {"input": [field("A", 2, 2), field("B", 2, 2)], "output": [field("SUM", 2, 2)]}
    inputs = (tensor("A", [[1, 2], [3, 4]]), tensor("B", [[1, 1], [1, 1]]))
    (response,) = responses_of(loaded(source(tmp_path, **fields)).execute([backend_request(*inputs, batch_size=0)]))
    assert shown(response) == {"SUM": [[2, 3], [4, 5]]}


def test_text_goes_in_and_out(tmp_path: Path) -> None:
    write_identity(model_file(tmp_path), STRING)
    fields = {"input": [field("IN", 2, data_type="TYPE_STRING")], "output": [field("OUT", 2, data_type="TYPE_STRING")]}
    words = Tensor("IN", "BYTES", (1, 2), encode_bytes(["grüße".encode(), b""]))
    (response,) = responses_of(loaded(source(tmp_path, max_batch_size=4, **fields)).execute([backend_request(words)]))
    assert list(decode_bytes(response.outputs[0].data)) == ["grüße".encode(), b""]


def test_bfloat16_travels_as_its_bits(tmp_path: Path) -> None:
    write_identity(model_file(tmp_path), BFLOAT16)
    fields = {"input": [field("IN", 2, data_type="TYPE_BF16")], "output": [field("OUT", 2, data_type="TYPE_BF16")]}
    backend = loaded(source(tmp_path, max_batch_size=4, **fields))
    bits = np.array([[0x3F80, 0x4000]], np.uint16)
    request = backend_request(Tensor("IN", "BF16", (1, 2), bits.tobytes()))
    first = responses_of(backend.execute([request, request]))
    assert [bytes(response.outputs[0].data) for response in first] == [bits.tobytes()] * 2


def test_bfloat16_and_text_in_one_model_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["A"], ["X"]), helper.make_node("Identity", ["B"], ["Y"])]
    inputs, outputs = [("A", BFLOAT16, [2]), ("B", STRING, [2])], [("X", BFLOAT16, [2]), ("Y", STRING, [2])]
    write_model(model_file(tmp_path), nodes, inputs, outputs)
    fields = {
        "input": [field("A", 2, data_type="TYPE_BF16"), field("B", 2, data_type="TYPE_STRING")],
        "output": [field("X", 2, data_type="TYPE_BF16")],
    }
    with pytest.raises(Unsupported, match="BF16 and BYTES"):
        loaded(source(tmp_path, **fields))


def test_a_reshape_stands_between_client_and_model(tmp_path: Path) -> None:
    write_add(model_file(tmp_path), dims=("batch", 4))
    reshape: dict[str, Any] = {"reshape": {"shape": [4]}}
    fields = {"input": [field("A", 2, 2, **reshape), field("B", 4)], "output": [field("SUM", 2, 2, **reshape)]}
    square = Tensor("A", "FP32", (1, 2, 2), np.ones(4, np.float32).tobytes())
    request = backend_request(square, tensor("B", [[1, 2, 3, 4]]))
    (response,) = responses_of(loaded(source(tmp_path, max_batch_size=4, **fields)).execute([request]))
    assert shown(response) == {"SUM": [[[2, 3], [4, 5]]]}


def test_an_optional_input_may_be_left_out(tmp_path: Path) -> None:
    default = helper.make_tensor("B", FLOAT, [1], [10.0])
    nodes = [helper.make_node("Add", ["A", "B"], ["SUM"])]
    path = model_file(tmp_path)
    tensors = [("A", FLOAT, ("batch", 1)), ("B", FLOAT, [1])]
    write_model(path, nodes, tensors, [("SUM", FLOAT, ("batch", 1))], [default])
    fields = {"input": [field("A", -1, 1), field("B", 1, optional=True)], "output": [field("SUM", -1, 1)]}
    backend = loaded(source(tmp_path, **fields))
    (left_out,) = responses_of(backend.execute([backend_request(tensor("A", [[1]]), batch_size=0)]))
    given = Tensor("B", "FP32", (1,), np.float32(5).tobytes())
    (replaced,) = responses_of(backend.execute([backend_request(tensor("A", [[1]]), given, batch_size=0)]))
    assert (shown(left_out), shown(replaced)) == ({"SUM": [[11]]}, {"SUM": [[6]]})


def test_a_model_describes_itself(tmp_path: Path) -> None:
    write_add(model_file(tmp_path))
    described = OnnxRuntimeBackend.signature(source(tmp_path))
    assert described["max_batch_size"] == 4
    assert described["input"] == [field("A", 4), field("B", 4)]
    assert described["output"] == [field("SUM", 4)]
    assert described["dynamic_batching"] == {}


def test_what_is_complete_is_not_opened(tmp_path: Path) -> None:
    complete = source(tmp_path, input=[field("A", 4)], output=[field("SUM", 4)])
    assert OnnxRuntimeBackend.is_complete(complete)
    assert OnnxRuntimeBackend.signature(complete) == complete.config.raw


def refusal(of: ModelSource, instance: InstanceSpec = CPU) -> ShoalError:
    with pytest.raises(ShoalError) as refused:
        OnnxRuntimeBackend().load(of, instance)
    return refused.value


def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    error = refusal(source(tmp_path))
    assert isinstance(error, Unavailable)
    assert error.message.startswith("unable to find '")


def test_a_file_that_is_no_model_is_refused_with_the_runtimes_text(tmp_path: Path) -> None:
    path = model_file(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"no model")
    expected = f"onnx runtime error 7: Load model from {path} failed:"
    assert refusal(source(tmp_path)).message.startswith(expected)


def test_a_configuration_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_add(model_file(tmp_path))
    error = refusal(source(tmp_path, input=[field("A", 4)], output=[field("SUM", 4)]))
    assert error.message == "unable to load model 'm', configuration expects 1 inputs, model provides 2"


def test_ragged_batches_are_refused(tmp_path: Path) -> None:
    error = refusal(source(tmp_path, max_batch_size=4, input=[field("A", -1, allow_ragged_batch=True)]))
    assert "ragged batches ('A') are not supported" in error.message


def test_a_gpu_instance_is_refused(tmp_path: Path) -> None:
    error = refusal(source(tmp_path), InstanceSpec("m_0", "GPU", 0))
    assert error.message.startswith("instance_group kind KIND_GPU not supported")


def test_parameters_reach_the_session(tmp_path: Path) -> None:
    write_add(model_file(tmp_path))
    values = {"execution_mode": "1", "memory.enable_memory_arena_shrinkage": "cpu:0", "intra_op_thread_count": "1"}
    parameters = {key: {"string_value": value} for key, value in values.items()}
    fields = {"input": [field("A", 4), field("B", 4)], "output": [field("SUM", 4)], "parameters": parameters}
    backend = loaded(source(tmp_path, max_batch_size=4, **fields))
    assert shown(responses_of(backend.execute([pair(1, 2)]))[0]) == {"SUM": [[3] * 4]}
    backend.unload()


@pytest.mark.parametrize(
    ("element_type", "data_type"), [(FLOAT, "TYPE_FP32"), (BFLOAT16, "TYPE_BF16"), (STRING, "TYPE_STRING")]
)
@pytest.mark.parametrize("count", [1, 2])
def test_nothing_refers_to_the_inputs_after_an_execution(
    tmp_path: Path, element_type: int, data_type: str, count: int
) -> None:
    write_identity(model_file(tmp_path), element_type, ("batch", 4096))
    fields = {side: [field(name, 4096, data_type=data_type)] for side, name in (("input", "IN"), ("output", "OUT"))}
    backend = loaded(source(tmp_path, max_batch_size=8, **fields))
    datatype = data_type.removeprefix("TYPE_").replace("STRING", "BYTES")
    memory = np.zeros(4096 * {"FP32": 4, "BF16": 2, "BYTES": 4}[datatype], np.uint8)
    requests = [backend_request(Tensor("IN", datatype, (1, 4096), memory.data.toreadonly())) for _ in range(count)]
    responses = responses_of(backend.execute(requests))
    before = bytes(responses[0].outputs[0].data)
    memory[:] = 1
    assert bytes(responses[0].outputs[0].data) == before
    gone = weakref.ref(memory)
    del memory, requests
    assert gone() is None


def test_outputs_say_that_nobody_will_write_to_them(tmp_path: Path) -> None:
    (response,) = responses_of(add_sub(tmp_path).execute([pair(1, 2)]))
    assert all(isinstance(t.data, memoryview) and t.data.readonly for t in response.outputs)
