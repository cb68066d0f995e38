from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal.workers.python.error import TritonModelException
from shoal.workers.python.model_control import is_model_ready, load_model, unload_model


@pytest.mark.parametrize("function", [load_model, unload_model, is_model_ready])
def test_controlling_other_models_says_that_it_is_not_available(function: Callable[[str], object]) -> None:
    with pytest.raises(TritonModelException, match=r"\('other'\) from a model is not available in this release"):
        function("other")
