from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.repository import validate, validate_tensors
from shoal.repository.config import json_form
from shoal.repository.config.json_form import JsonForm

Form = Callable[[str], JsonForm]

TENSOR = 'name: "A" data_type: TYPE_FP32'
SIZES = "must be integer >= 1, or -1 to indicate a variable-size dimension for m"


def texts(config: JsonForm) -> list[str]:
    return [problem.text for problem in validate.signature(config)]


@pytest.mark.parametrize(
    "text",
    [
        f"input {{ {TENSOR} dims: [ 4 ] reshape {{ shape: [ 2, 2 ] }} }}",
        f"input {{ {TENSOR} dims: [ 2, 4, -1, 6 ] reshape {{ shape: [ 8, -1, 1, 6 ] }} }}",
        f"max_batch_size: 1 input {{ {TENSOR} dims: [ 1 ] reshape {{ shape: [ ] }} }}",
        f"input {{ {TENSOR} dims: [ 3, 2, 2 ] format: FORMAT_NCHW }}",
        f'backend: "tensorrt" input {{ {TENSOR} dims: [ 3 ] is_shape_tensor: true }}',
    ],
)
def test_sound_tensors_pass(form: Form, text: str) -> None:
    assert texts(form(text)) == []


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("input { dims: 1 data_type: TYPE_FP32 }", ["model input must specify 'name' for m"]),
        ('input { name: "A" dims: 1 }', ["model input 'A' must specify 'data_type' for m"]),
        ('input { name: "A" data_type: 99 dims: 1 }', ["model input 'A' must specify 'data_type' for m"]),
        (f"output {{ {TENSOR} }}", ["model output 'A' must specify 'dims' for m"]),
        (f"output {{ {TENSOR} dims: 0 }}", [f"model output 'A' dimension {SIZES}"]),
        (f"input {{ {TENSOR} dims: -2 }}", [f"model input 'A' dimension {SIZES}"]),
        (
            f"input {{ {TENSOR} dims: 1 reshape {{ shape: 0 }} }}",
            [f"model input 'A' reshape dimensions {SIZES}"],
        ),
        (
            f"input {{ {TENSOR} dims: 1 reshape {{ }} }}",
            [
                "model input 'A' cannot have empty reshape for non-batching model as scalar tensors are not supported"
                " for m"
            ],
        ),
        (
            f"input {{ {TENSOR} dims: 4 reshape {{ shape: 3 }} }}",
            ["model input 'A' has different size for dims and reshape for m"],
        ),
        (
            f"max_batch_size: 1 input {{ {TENSOR} dims: 2 reshape {{ }} }}",
            ["model input 'A' has different size for dims and reshape for m"],
        ),
        (
            f"input {{ {TENSOR} dims: -1 reshape {{ shape: 4 }} }}",
            ["model input 'A' has different size for dims and reshape for m"],
        ),
        (
            f"input {{ {TENSOR} dims: [ -1, -1 ] reshape {{ shape: -1 }} }}",
            ["model input 'A' has different number of variable-size dimensions for dims and reshape for m"],
        ),
        (
            f"input {{ {TENSOR} dims: [ 2, -1, 3 ] reshape {{ shape: [ 3, -1, 2 ] }} }}",
            ["model input 'A' has different size for dims and reshape for m"],
        ),
        (
            f"input {{ {TENSOR} dims: [ 2, 2 ] format: FORMAT_NHWC }}",
            ["model input NHWC/NCHW require 3 dims for m"],
        ),
        (
            f"input {{ {TENSOR} dims: 1 is_shape_tensor: true }}",
            ["model input 'A' shape tensors are only supported for TensorRT platform for m"],
        ),
        (
            f"output {{ {TENSOR} dims: 1 is_non_linear_format_io: true }}",
            ["model output 'A' non-linear IO formats are only supported for TensorRT platform for m"],
        ),
        (
            f'backend: "tensorrt" output {{ {TENSOR} dims: 1 is_non_linear_format_io: true }}',
            ["model output 'A' non-linear IO format requires 3 dims for m"],
        ),
        (
            f"input [ {{ {TENSOR} dims: 1 }}, {{ {TENSOR} dims: 1 }} ]",
            ["model input 'A' is specified more than once for m"],
        ),
    ],
)
def test_each_mistake_has_its_text(form: Form, text: str, problems: list[str]) -> None:
    assert texts(form(text)) == problems


IO = f'input {{ {TENSOR} dims: -1 allow_ragged_batch: true }} output {{ name: "OUT" data_type: TYPE_FP32 dims: 1 }} '


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('batch_input { target_name: "I" data_type: TYPE_FP32 source_input: "A" }', []),
        (
            'batch_input { target_name: "I" data_type: TYPE_INT64 source_input: "A" }',
            ["batch input data type must be TYPE_INT32 or TYPE_FP32"],
        ),
        (
            'batch_input { target_name: "I" data_type: TYPE_FP32 source_input: [ "A", "A" ] }',
            ["batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 2"],
        ),
        (
            'batch_input { target_name: "I" data_type: TYPE_FP32 source_input: "NONE" }',
            ["unknown source input name 'NONE'"],
        ),
        (
            'batch_input { data_type: TYPE_FP32 source_input: "A" }',
            ["batch input must specify 'target_name'"],
        ),
        (
            'batch_input { target_name: [ "I", "I" ] data_type: TYPE_FP32 source_input: "A" }',
            ["target input name 'I' can only be specified once"],
        ),
        ('batch_output { target_name: "OUT" source_input: "A" }', []),
        ('batch_output { target_name: "NONE" source_input: "A" }', ["unknown target output name 'NONE'"]),
        (
            'batch_output { target_name: "OUT" }',
            ["batch output kind 'BATCH_SCATTER_WITH_INPUT_SHAPE' expects 1 source input, got 0"],
        ),
    ],
)
def test_batch_tensors_name_what_exists(form: Form, text: str, problems: list[str]) -> None:
    assert texts(form(IO + text)) == problems


@given(st.lists(st.integers(1, 3), min_size=1, max_size=5), st.integers(0, 5))
def test_a_reshape_that_only_groups_dimensions_differently_is_sound(dims: list[int], cut: int) -> None:
    merged = 1
    for size in dims[cut:]:
        merged *= size
    tensor = {"name": "A", "data_type": "TYPE_FP32", "dims": dims, "reshape": {"shape": [*dims[:cut], merged]}}
    config = json_form.parse({"name": "m", "input": [tensor]})
    assert list(validate_tensors.inputs(config)) == []
