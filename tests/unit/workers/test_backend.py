from __future__ import annotations

import pytest

from shoal.workers.backend import Backend, ModelSource, load_backend
from shoal.workers.backends.onnxruntime import OnnxRuntimeBackend


def test_a_backend_is_loaded_by_the_spelling_of_an_entry_point() -> None:
    assert load_backend("shoal.workers.backends.onnxruntime:OnnxRuntimeBackend") is OnnxRuntimeBackend


def test_an_entry_point_that_leads_nowhere_raises() -> None:
    with pytest.raises(AttributeError):
        load_backend("shoal.workers.backends.onnxruntime:Nothing")


def test_no_configuration_is_complete_unless_the_backend_says_so() -> None:
    source = ModelSource("m", 1, "/m", config=None, backend_config={})  # type: ignore[arg-type]
    assert not Backend.is_complete(source)
