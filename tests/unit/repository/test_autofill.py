from __future__ import annotations

import pytest

from shoal.core.errors import InvalidArgument
from shoal.repository.autofill import autofill
from shoal.repository.config.text import parse_text
from shoal.repository.snapshot import Item, Snapshot


def filled(text: str, *paths: str, directory: str = "m") -> tuple[str, str, str]:
    items = [Item(path, False, 1, 1) for path in paths]
    items += [Item(folder, True, 0, 0) for folder in {path.partition("/")[0] for path in paths if "/" in path}]
    config = autofill(parse_text(text, "m"), Snapshot(directory, tuple(sorted(items))))
    return config["backend"], config["platform"], config["default_model_filename"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("1/model.savedmodel/saved_model.pb", ("tensorflow", "tensorflow_savedmodel", "model.savedmodel")),
        ("1/model.graphdef", ("tensorflow", "tensorflow_graphdef", "model.graphdef")),
        ("1/model.plan", ("tensorrt", "tensorrt_plan", "model.plan")),
        ("1/model.onnx", ("onnxruntime", "onnxruntime_onnx", "model.onnx")),
        ("1/model.xml", ("openvino", "", "model.xml")),
        ("1/model.pt", ("pytorch", "pytorch_libtorch", "model.pt")),
        ("1/model.pt2", ("pytorch", "torch_aoti", "model.pt2")),
        ("1/model.py", ("python", "", "model.py")),
    ],
)
def test_backend_is_recognised_by_the_model_file(path: str, expected: tuple[str, str, str]) -> None:
    items = [Item("1", True, 0, 0), Item("1/model.savedmodel", "savedmodel" in path, 0, 0), Item(path, False, 1, 1)]
    present = [item for item in items if "savedmodel" in path or item.path != "1/model.savedmodel"]
    config = autofill(parse_text("", "m"), Snapshot("m", tuple(present)))
    assert (config["backend"], config["platform"], config["default_model_filename"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('backend: "python"', ("python", "", "model.py")),
        ('backend: "openvino"', ("openvino", "", "model.xml")),
        ('backend: "onnxruntime"', ("onnxruntime", "onnxruntime_onnx", "model.onnx")),
        (
            'backend: "onnxruntime" default_model_filename: "net.onnx"',
            ("onnxruntime", "onnxruntime_onnx", "net.onnx"),
        ),
        ('backend: "pytorch"', ("pytorch", "pytorch_libtorch", "model.pt")),
        ('backend: "pytorch" default_model_filename: "model.pt2"', ("pytorch", "torch_aoti", "model.pt2")),
        ('backend: "tensorflow"', ("tensorflow", "", "")),
        ('backend: "mine"', ("mine", "", "")),
        ('platform: "onnxruntime_onnx"', ("onnxruntime", "onnxruntime_onnx", "model.onnx")),
        ('platform: "libtorch"', ("pytorch", "libtorch", "model.pt")),
        ('platform: "no_such"', ("", "no_such", "")),
        ('default_model_filename: "model.plan"', ("tensorrt", "tensorrt_plan", "model.plan")),
        ('platform: "ensemble"', ("", "ensemble", "")),
        ("ensemble_scheduling { }", ("", "ensemble", "")),
    ],
)
def test_what_is_given_is_kept_and_the_rest_filled(text: str, expected: tuple[str, str, str]) -> None:
    assert filled(text, "1/weights") == expected


def test_the_first_folder_decides() -> None:
    assert filled("", "1/model.onnx", "2/model.py")[0] == "onnxruntime"


def test_backend_from_the_directory_name() -> None:
    assert filled("", "1/weights", directory="net.mine") == ("mine", "", "model.mine")


def test_nothing_tells_the_backend() -> None:
    with pytest.raises(InvalidArgument) as caught:
        filled("", "1/weights")
    assert caught.value.message == (
        "Invalid model name: Could not determine backend for model 'm' with no backend in model configuration. Expected"
        " model name of the form 'model.<backend_name>'."
    )
