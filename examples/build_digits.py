"""Train the `digits` example: a small ONNX classifier of handwritten digits, and the held-back images to try it with.

The data set is the one that scikit-learn ships (1,797 images of 8x8 grey levels 0..16), so nothing is downloaded:

    python examples/build_digits.py

writes `models/digits/1/model.onnx`, `models/digits/labels.txt` and `digits_held_back.npz` beside this file.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).parent
MODEL_DIRECTORY = HERE / "models" / "digits"
HELD_BACK = HERE / "digits_held_back.npz"
GREY_LEVELS = 16.0


def to_onnx(classifier: MLPClassifier) -> onnx.ModelProto:
    """The classifier as a graph: `image` FP32 [B, 64] (grey levels 0..16) -> `scores` FP32 [B, 10] (they sum to 1)."""
    nodes = [helper.make_node("Div", ["image", "grey_levels"], ["hidden_0"])]
    initializers = [numpy_helper.from_array(np.float32(GREY_LEVELS).reshape(1), "grey_levels")]
    layers = list(zip(classifier.coefs_, classifier.intercepts_, strict=True))
    for number, (weights, bias) in enumerate(layers, start=1):
        last = number == len(layers)
        initializers += [
            numpy_helper.from_array(weights.astype(np.float32), f"weights_{number}"),
            numpy_helper.from_array(bias.astype(np.float32), f"bias_{number}"),
        ]
        inputs = [f"hidden_{number - 1}", f"weights_{number}", f"bias_{number}"]
        nodes.append(helper.make_node("Gemm", inputs, [f"linear_{number}"]))
        activation = helper.make_node("Softmax", [f"linear_{number}"], ["scores"], axis=1)
        nodes.append(activation if last else helper.make_node("Relu", [f"linear_{number}"], [f"hidden_{number}"]))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        initializers,
    )
    # Defaults of recent onnx releases are newer than ONNX Runtime loads.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.2, random_state=0, stratify=labels
    )
    classifier = MLPClassifier(hidden_layer_sizes=(64,), max_iter=600, random_state=0)
    classifier.fit(train_images / GREY_LEVELS, train_labels)
    print(f"accuracy on held-back digits: {classifier.score(test_images / GREY_LEVELS, test_labels):.4f}")
    onnx.save(to_onnx(classifier), MODEL_DIRECTORY / "1" / "model.onnx")
    (MODEL_DIRECTORY / "labels.txt").write_text("\n".join(map(str, range(10))) + "\n")
    np.savez_compressed(HELD_BACK, images=test_images.astype(np.uint8), labels=test_labels.astype(np.uint8))


if __name__ == "__main__":
    main()
