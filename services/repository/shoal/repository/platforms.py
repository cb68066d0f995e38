"""Which backend, platform and model file belong together: Triton's table."""

from __future__ import annotations

from typing import NamedTuple

ENSEMBLE = "ensemble"


class Framework(NamedTuple):
    """A way to store models: the backend that serves it, its platform's name (empty: the backend has none), and the
    name of the model file or folder in a version's directory."""

    backend: str
    platform: str
    filename: str


#: In the order in which a model without a backend is recognised.
FRAMEWORKS = (
    Framework("tensorflow", "tensorflow_savedmodel", "model.savedmodel"),
    Framework("tensorflow", "tensorflow_graphdef", "model.graphdef"),
    Framework("tensorrt", "tensorrt_plan", "model.plan"),
    Framework("onnxruntime", "onnxruntime_onnx", "model.onnx"),
    Framework("openvino", "", "model.xml"),
    Framework("pytorch", "pytorch_libtorch", "model.pt"),
    Framework("pytorch", "torch_aoti", "model.pt2"),
    Framework("python", "", "model.py"),
)

#: Second names of a platform.
_ALIASES = {"libtorch": "pytorch_libtorch"}

#: Instances of a KIND_CPU group that gives no count; 1 for every other backend.
DEFAULT_CPU_COUNT = {"onnxruntime": 2, "tensorflow": 2}


def of_platform(platform: str) -> Framework | None:
    """The framework with this platform name, None for a name that is not Triton's."""
    name = _ALIASES.get(platform, platform)
    return next((framework for framework in FRAMEWORKS if name and framework.platform == name), None)


def of_backend(backend: str) -> tuple[Framework, ...]:
    """The frameworks that this backend serves; empty for a backend that Triton's core does not know."""
    return tuple(framework for framework in FRAMEWORKS if framework.backend == backend)


def has_platforms(backend: str) -> bool:
    """Whether the backend insists on one of its own platform names."""
    return any(framework.platform for framework in of_backend(backend))
