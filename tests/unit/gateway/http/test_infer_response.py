from __future__ import annotations

import json

import numpy as np
import pytest

from gateway_models import add_sub, int32, served
from region_parts import BytesRegion
from shoal.core.errors import InvalidArgument
from shoal.core.tensors import Tensor
from shoal.gateway.http.infer_request import AnswerForm, OutputForm
from shoal.gateway.http.infer_response import InferBody, render
from shoal.gateway.models import ServedVersion
from shoal.gateway.region_part import RegionPart
from shoal.gateway.request import InferAnswer

SUM, DIFF = int32("SUM", [3, 4]), int32("DIFF", [1, 0])
MODEL = served(add_sub())


def rendered(
    *outputs: Tensor,
    forms: dict[str, OutputForm] | None = None,
    is_binary_default: bool = False,
    request_id: str = "",
    in_region: str = "",
    model: ServedVersion = MODEL,
) -> InferBody:
    regions = {in_region: RegionPart(BytesRegion(bytes(8)), 0, 8)} if in_region else {}
    form = AnswerForm(forms or {}, OutputForm(is_binary_default), regions)
    return render(InferAnswer("addsub", 1, request_id, outputs, {}), form, model)


def test_an_answer_is_json_by_default() -> None:
    body = rendered(SUM, DIFF)
    assert json.loads(body.json) == {
        "model_name": "addsub",
        "model_version": "1",
        "outputs": [
            {"name": "SUM", "datatype": "INT32", "shape": [2], "data": [3, 4]},
            {"name": "DIFF", "datatype": "INT32", "shape": [2], "data": [1, 0]},
        ],
    }
    assert body.tail == []


def test_an_output_in_a_region_has_no_data() -> None:
    body = rendered(SUM._replace(data=b""), DIFF, forms={"SUM": OutputForm(False)}, in_region="SUM")
    assert json.loads(body.json)["outputs"] == [
        {"name": "SUM", "datatype": "INT32", "shape": [2]},
        {"name": "DIFF", "datatype": "INT32", "shape": [2], "data": [1, 0]},
    ]


def test_the_request_s_id_is_echoed() -> None:
    assert json.loads(rendered(SUM, request_id="r1").json)["id"] == "r1"


def test_binary_outputs_follow_the_json_in_their_order() -> None:
    body = rendered(SUM, DIFF, is_binary_default=True)
    assert [output["parameters"] for output in json.loads(body.json)["outputs"]] == [{"binary_data_size": 8}] * 2
    assert b"".join(body.tail) == bytes(SUM.data) + bytes(DIFF.data)


def test_a_listed_output_has_its_own_form() -> None:
    body = rendered(SUM, DIFF, forms={"SUM": OutputForm(True), "DIFF": OutputForm(False)}, is_binary_default=True)
    outputs = json.loads(body.json)["outputs"]
    assert ("data" in outputs[0], "data" in outputs[1]) == (False, True)
    assert body.tail == [SUM.data]


def test_an_answer_whose_binary_outputs_are_empty_has_no_tail() -> None:
    body = rendered(Tensor("SUM", "INT32", (0,), b""), is_binary_default=True)
    assert json.loads(body.json)["outputs"][0]["parameters"] == {"binary_data_size": 0}
    assert body.tail == []


def test_classes_replace_the_output() -> None:
    model = ServedVersion("addsub", 1, "g1", MODEL.config, {"SUM": ["ant", "bee"]})
    body = rendered(SUM, forms={"SUM": OutputForm(False, 1)}, model=model)
    assert json.loads(body.json)["outputs"] == [{"name": "SUM", "datatype": "BYTES", "shape": [1], "data": ["4:1:bee"]}]


def test_half_floats_go_out_only_in_binary() -> None:
    half = Tensor("SUM", "FP16", (1,), np.array([0.5], "<f2").tobytes())
    assert rendered(half, is_binary_default=True).tail == [half.data]
    with pytest.raises(InvalidArgument, match="sending FP16 data via JSON is not supported"):
        rendered(half)
