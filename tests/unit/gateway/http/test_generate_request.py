from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from gateway_models import tensor_config
from shoal.core.datatypes import decode_bytes
from shoal.core.errors import InternalError, InvalidArgument, ShoalError
from shoal.core.model_config import ModelConfig, from_json
from shoal.gateway.http.generate_request import GenerateContext, parse_generate
from shoal.gateway.request import InferCall
from shoal.gateway.scattered import contiguous

CONTEXT = GenerateContext("m", 3, 5.0, "00-t")
NO_SHAPE = "The schema can not convert input '{}' to tensor with proper shape"
NO_PARAMETER = "parameter '{}' has invalid type. It should be either 'int', 'bool', or 'string'."


WRONG_COUNT = "Unable to parse 'data': Shape does not match true shape of 'data' field"


def model(*inputs: dict[str, Any], max_batch_size: int = 0) -> ModelConfig:
    config = {"name": "m", "backend": "python", "max_batch_size": max_batch_size, "input": list(inputs), "output": []}
    return from_json(config)


SPEAK = model(
    tensor_config("prompt", "TYPE_STRING", [1]),
    tensor_config("extra", "TYPE_FP32", [-1], optional=True),
    tensor_config("shout", "TYPE_BOOL", [1], optional=True),
)


def parse(document: Any, config: ModelConfig = SPEAK) -> InferCall:
    return parse_generate(CONTEXT, document if isinstance(document, bytes) else orjson.dumps(document), config)


def refusal(document: Any, config: ModelConfig = SPEAK) -> ShoalError:
    with pytest.raises(ShoalError) as caught:
        parse(document, config)
    return caught.value


def test_members_are_inputs_or_parameters() -> None:
    call = parse({"prompt": "hi", "extra": [1.5, 2], "style": "plain", "n": 3, "on": True, "f": 0.5})
    assert (call.model, call.version, call.deadline_s, call.traceparent) == ("m", 3, 5.0, "00-t")
    assert {tensor.name: tensor.shape for tensor in call.inputs} == {"prompt": (1,), "extra": (2,)}
    assert call.parameters == {"style": "plain", "n": 3, "on": True, "f": 0.5}
    prompt, extra = call.inputs
    assert list(decode_bytes(contiguous(prompt).data)) == [b"hi"]
    assert np.frombuffer(contiguous(extra).data, "<f4").tolist() == [1.5, 2]


def test_the_id_is_a_parameter_besides() -> None:
    call = parse({"prompt": "hi", "id": "r"})
    assert (call.request_id, call.parameters) == ("r", {"id": "r"})


def test_sequences_and_priorities_are_parameters_like_others() -> None:
    call = parse({"prompt": "hi", "sequence_id": "s", "priority": -4, "triton_a": 1})
    assert (call.correlation_id, call.priority) == (0, 0)
    assert call.parameters == {"sequence_id": "s", "priority": -4, "triton_a": 1}


def test_members_of_the_parameters_object_are_members() -> None:
    call = parse({"parameters": {"prompt": "hi", "id": "inner", "n": 1}})
    assert [tensor.name for tensor in call.inputs] == ["prompt"]
    assert (call.request_id, call.parameters) == ("", {"id": "inner", "n": 1})


@pytest.mark.parametrize(
    ("dims", "max_batch_size", "value", "shape"),
    [
        ([1], 0, 7, (1,)),
        ([-1], 0, [1, 2], (2,)),
        ([-1], 0, [], (0,)),
        ([-1], 8, [1, 2], (1, 2)),
        ([2], 8, [1, 2, 3, 4], (2, 2)),
        ([-1, 2, -1], 0, [1, 2, 3, 4], (1, 2, 2)),
        ([], 0, 7, ()),
    ],
)
def test_shapes_are_the_model_s_with_the_rest_in_the_innermost_variable_dimension(
    dims: list[int], max_batch_size: int, value: Any, shape: tuple[int, ...]
) -> None:
    config = model(tensor_config("X", "TYPE_INT32", dims), max_batch_size=max_batch_size)
    (tensor,) = parse({"X": value}, config).inputs
    assert (tensor.shape, len(tensor.data)) == (shape, 4 * np.prod(shape, dtype=int))


@pytest.mark.parametrize(("dims", "value"), [([1], [1, 2]), ([2], 1), ([1], []), ([-1, 3], [1, 2]), ([0], [1])])
def test_values_that_fit_no_shape_are_refused(dims: list[int], value: Any) -> None:
    error = refusal({"X": value}, model(tensor_config("X", "TYPE_INT32", dims)))
    assert isinstance(error, InvalidArgument) and error.message == NO_SHAPE.format("X")


NOT_A = "attempt to access JSON non-"


@pytest.mark.parametrize(
    ("document", "kind", "text"),
    [
        (b"", InternalError, "failed to parse the request JSON buffer: The document is empty. at 0"),
        (b"[1]", InternalError, "attempt to get members for non-object"),
        ({"prompt": None}, InternalError, f"Unable to parse JSON bytes array: {NOT_A}string as string"),
        ({"shout": 1}, InternalError, f"Unable to parse 'data': {NOT_A}boolean as boolean"),
        ({"extra": "many"}, InternalError, f"Unable to parse 'data': {NOT_A}number as double"),
        ({"extra": [[1, 2], [3]]}, InternalError, WRONG_COUNT),
        ({"id": 5}, InternalError, f"Unable to parse 'id': {NOT_A}string as string"),
        ({"stop": ["a"]}, InvalidArgument, NO_PARAMETER.format("stop")),
        ({"nul": None}, InvalidArgument, NO_PARAMETER.format("nul")),
        ({"parameters": 5}, InternalError, f"Expected JSON object for keyword: 'parameters': {NOT_A}object as object"),
        (
            {"parameters": {"parameters": {}}},
            InvalidArgument,
            "Converting keyword: 'parameters': " + NO_PARAMETER.format("parameters"),
        ),
    ],
)
def test_bad_documents_are_refused_in_tritons_words(document: Any, kind: type[ShoalError], text: str) -> None:
    error = refusal(document)
    assert (type(error), error.message) == (kind, text)


def test_an_input_cannot_be_called_parameters() -> None:
    error = refusal({}, model(tensor_config("parameters", "TYPE_INT32", [1])))
    assert error.message == "Keyword 'parameters' for nested schema also given as input tensor name"
