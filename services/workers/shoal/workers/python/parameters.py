"""Custom parameters of requests and responses: what a model may give, and the JSON that it reads."""

from __future__ import annotations

import json
from collections.abc import Mapping

from shoal.core.messages import Parameter
from shoal.workers.python.error import TritonModelException


def checked(parameters: Mapping[str, Parameter] | None) -> dict[str, Parameter]:
    """A copy of what a model gave. Raises TritonModelException for keys other than str, values other than bool, int
    or str, and for what is no dictionary."""
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise TritonModelException(f"Expect parameters to be a dict, found type {type(parameters)}")
    for key, value in parameters.items():
        if not isinstance(key, str):
            raise TritonModelException(f"Expect parameters keys to have type str, found type {type(key)}")
        if not isinstance(value, bool | int | str):
            raise TritonModelException(
                f"Expect parameters values to have type bool/int/str, found type {type(value)} for key '{key}'"
            )
    return dict(parameters)


def to_json(parameters: Mapping[str, Parameter]) -> str:
    """The parameters as a JSON object; an empty text when there are none."""
    return json.dumps(dict(parameters), separators=(",", ":")) if parameters else ""
