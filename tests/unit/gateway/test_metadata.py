from __future__ import annotations

from gateway_models import add_sub, one_input, tensor_config
from shoal.core.model_config import from_json
from shoal.gateway import metadata


def test_metadata_of_a_model_without_batching_has_the_configured_dims() -> None:
    assert metadata.of_model(from_json(add_sub()), [1, 2]) == {
        "name": "addsub",
        "versions": ["1", "2"],
        "platform": "python",
        "inputs": [
            {"name": "LEFT", "datatype": "INT32", "shape": [4]},
            {"name": "RIGHT", "datatype": "INT32", "shape": [4]},
        ],
        "outputs": [
            {"name": "SUM", "datatype": "INT32", "shape": [4]},
            {"name": "DIFF", "datatype": "INT32", "shape": [4]},
        ],
    }


def test_a_batching_model_has_a_variable_first_dimension() -> None:
    config = one_input("TYPE_STRING", [3], 8)
    config["input"].append(tensor_config("SHAPE", "TYPE_INT64", [2], is_shape_tensor=True))
    shown = metadata.of_model(from_json(config), [1])
    assert [(tensor["datatype"], tensor["shape"]) for tensor in shown["inputs"]] == [("BYTES", [-1, 3]), ("INT64", [2])]


def test_a_platform_goes_before_the_backend() -> None:
    config = from_json(add_sub(platform="onnxruntime_onnx", backend="onnxruntime"))
    assert metadata.of_model(config, [1])["platform"] == "onnxruntime_onnx"


def test_the_server_lists_triton_s_extensions() -> None:
    shown = metadata.of_server("triton")
    assert shown["name"] == "triton"
    assert shown["version"]
    assert shown["extensions"][:2] == ["classification", "sequence"]
