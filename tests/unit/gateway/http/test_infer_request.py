from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest

from region_parts import BytesRegion, no_part
from shoal.core.errors import ShoalError
from shoal.gateway.http.infer_request import CallContext, OutputForm, ParsedRequest, parse_request
from shoal.gateway.region_part import RegionPart
from shoal.gateway.scattered import Pieces, RegionTensor, contiguous

CONTEXT = CallContext("m", None, None, "", no_part)
X = {"name": "X", "datatype": "INT32", "shape": [2], "data": [1, 2]}


def parse(document: Any, tail: bytes = b"", region: BytesRegion | None = None) -> ParsedRequest:
    """`region` is what every name of a region means; None: there is none."""
    text = json.dumps(document).encode()
    context = CONTEXT
    if region is not None:
        context = CONTEXT._replace(find_part=lambda name, offset, nbytes: RegionPart(region, offset, nbytes))
    return parse_request(context, [text + tail], len(text))


def binary(name: str, nbytes: Any) -> dict[str, Any]:
    return {"name": name, "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": nbytes}}


def refusal(document: Any, tail: bytes = b"") -> tuple[int, str]:
    with pytest.raises(ShoalError) as caught:
        parse(document, tail)
    return caught.value.http_status, caught.value.message


def test_a_json_request_becomes_a_call() -> None:
    call = parse({"id": "r1", "inputs": [X], "parameters": {"priority": 2, "note": "n"}}).call
    assert (call.model, call.request_id, call.priority, call.parameters) == ("m", "r1", 2, {"note": "n"})
    (tensor,) = call.inputs
    assert (tensor.name, tensor.datatype, tensor.shape) == ("X", "INT32", (2,))
    assert contiguous(tensor).data == np.array([1, 2], "<i4").tobytes()


def test_binary_inputs_are_cut_from_the_tail_in_their_order_without_a_copy() -> None:
    first, text, last = parse({"inputs": [binary("A", 2), X, binary("B", 2)]}, b"\1\2\3\4").call.inputs
    assert isinstance(first.data, memoryview)
    assert text.name == "X"
    assert (first.data, last.data) == (memoryview(b"\1\2"), memoryview(b"\3\4"))


def test_a_binary_input_that_came_in_pieces_is_not_joined() -> None:
    text = json.dumps({"inputs": [binary("A", 1), binary("B", 3), binary("C", 0), binary("D", 2)]}).encode()
    body = [text[:9], text[9:] + b"\1\2", b"\3", b"\4\5", b"", b"\6"]
    inputs = parse_request(CONTEXT, body, len(text)).call.inputs
    assert [contiguous(tensor).data for tensor in inputs] == [b"\1", b"\2\3\4", b"", b"\5\6"]
    assert [type(tensor.data) for tensor in inputs] == [memoryview, Pieces, memoryview, Pieces]


def test_a_tensor_without_elements_needs_no_data() -> None:
    (tensor,) = parse({"inputs": [{**X, "shape": [0], "data": [9, 9]}]}).call.inputs
    assert tensor.data == b""


def test_outputs_have_the_form_that_was_asked_for() -> None:
    outputs = [
        {"name": "A", "parameters": {"binary_data": True}},
        {"name": "B", "parameters": {"classification": 3}},
        {"name": "C"},
        {"name": "A"},
    ]
    parsed = parse({"inputs": [], "outputs": outputs, "parameters": {"binary_data_output": True}})
    assert parsed.call.outputs == ("A", "B", "C")
    assert parsed.form.forms == {"A": OutputForm(True), "B": OutputForm(False, 3), "C": OutputForm(False)}
    assert parsed.form.default_form == OutputForm(True)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([], "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        ({"inputs": None}, "Unable to parse 'inputs': attempt to access JSON non-array as array"),
        ({"inputs": [], "id": 5}, "Unable to parse 'id': attempt to access JSON non-string as string"),
        ({"inputs": [], "outputs": {}}, "Unable to parse 'outputs': attempt to access JSON non-array as array"),
        (
            {"inputs": [], "outputs": [{}]},
            "Unable to parse 'name': attempt to access non-existing object member 'name'",
        ),
        (
            {"inputs": [{**X, "shape": ["2"]}]},
            "Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        ({"inputs": [{**X, "data": 7}]}, "Unable to parse 'data': attempt to access JSON non-array as array"),
        (
            {"inputs": [binary("A", "2")]},
            "Unable to parse 'binary_data_size': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
    ],
)
def test_a_document_of_another_shape_is_refused(document: Any, expected: str) -> None:
    assert refusal(document) == (500, expected)


@pytest.mark.parametrize(
    ("item", "but"),
    [
        (1, "no field is set"),
        ({"name": "X"}, "no field is set"),
        ({**X, "parameters": {"binary_data_size": 1}}, "set 'data' 'binary_data_size'"),
    ],
)
def test_every_input_has_one_source(item: Any, but: str) -> None:
    assert refusal({"inputs": [item]}) == (
        400,
        "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
        f"'shared_memory_region' in 'parameters'. But {but}",
    )


def test_an_unknown_datatype_is_refused() -> None:
    assert refusal({"inputs": [{**X, "datatype": "TYPE_INT32"}]}) == (400, "invalid datatype for input X")


def test_missing_and_additional_bytes_are_told() -> None:
    assert refusal({"inputs": [binary("A", 5)]}, b"12") == (
        400,
        "unexpected size for input 'A', expecting 3 additional bytes for model 'm'",
    )
    assert refusal({"inputs": [binary("A", 1)]}, b"12") == (
        400,
        "unexpected additional input data for model 'm'",
    )


def in_region(name: str, nbytes: int, **parameters: Any) -> dict[str, Any]:
    place = {"shared_memory_region": "r", "shared_memory_byte_size": nbytes}
    return {"name": name, "datatype": "UINT8", "shape": [nbytes], "parameters": {**place, **parameters}}


def test_inputs_in_regions_stand_between_those_of_the_body() -> None:
    content = bytes(range(100)) * 100
    inputs = [binary("A", 2), in_region("B", 2, shared_memory_offset=40), binary("C", 2), in_region("D", 5000)]
    call = parse({"inputs": inputs}, b"aacc", BytesRegion(content)).call
    assert [bytes(contiguous(tensor).data) for tensor in call.inputs] == [b"aa", b"\x28\x29", b"cc", content[:5000]]
    assert [isinstance(tensor, RegionTensor) for tensor in call.inputs] == [False, False, False, True]
    assert call.region_nbytes == 5000


def test_outputs_in_regions_have_a_part_and_no_other_form() -> None:
    region = BytesRegion(bytes(20))
    place = {"shared_memory_region": "r", "shared_memory_offset": 4, "shared_memory_byte_size": 16}
    outputs = [{"name": "Y", "parameters": {**place, "binary_data": False}}, {"name": "Z"}]
    form = parse({"inputs": [X], "outputs": outputs}, region=region).form
    assert form.forms == {"Y": OutputForm(False), "Z": OutputForm(False)}
    assert list(form.regions) == ["Y"]
    form.regions["Y"].write(b"y")
    assert region.content[4:5] == b"y"


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"shared_memory_region": 5}, "'shared_memory_region': attempt to access JSON non-string as string"),
        ({"shared_memory_offset": -1}, "'shared_memory_offset': attempt to access JSON non-unsigned-integer"),
        ({"shared_memory_byte_size": "8"}, "'shared_memory_byte_size': attempt to access JSON non-unsigned-integer"),
    ],
)
def test_the_parameters_of_a_region_have_types(parameters: dict[str, Any], what: str) -> None:
    status, text = refusal({"inputs": [in_region("X", 8, **parameters)]})
    assert status == 500
    assert text.startswith(f"Unable to parse {what}")


def test_a_shared_memory_region_that_cannot_be_is_not_found() -> None:
    region = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    source = {"name": "X", "datatype": "INT32", "shape": [2], "parameters": region}
    assert refusal({"inputs": [source]}) == (404, "Unable to find shared memory region: 'r'")
    assert refusal({"inputs": [], "outputs": [{"name": "Y", "parameters": region}]})[0] == 404


@pytest.mark.parametrize("other", ["classification", "binary_data"])
def test_a_region_and_another_form_contradict_each_other(other: str) -> None:
    value: Any = 1 if other == "classification" else True
    output = {"name": "Y", "parameters": {"shared_memory_region": "r", other: value}}
    assert refusal({"inputs": [], "outputs": [output]}) == (
        400,
        f"Output can't set both 'shared_memory_region' and '{other}'",
    )


def test_a_shape_whose_size_would_take_hours_to_compute_is_refused() -> None:
    started = time.process_time()
    expected = "input 'X' has 100000 dimensions, expected 256 at most"
    assert refusal({"inputs": [X | {"shape": [2**63] * 100_000}]}) == (400, expected)
    assert time.process_time() - started < 1.0
