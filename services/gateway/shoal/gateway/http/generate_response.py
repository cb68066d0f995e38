"""`InferAnswer` -> a response of the generate extension: one flat JSON object."""

from __future__ import annotations

from typing import Any

import orjson

from shoal.core.datatypes import element_count
from shoal.core.tensors import Tensor
from shoal.gateway.http.tensor_json import write_data
from shoal.gateway.request import InferAnswer

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS


def render_generated(answer: InferAnswer) -> bytes:
    """Names of outputs and of response parameters with their values, model, version and id, sorted as Triton does.

    A tensor of one element is that element, any other a flat array. Raises InvalidArgument for FP16 and BF16.
    """
    document: dict[str, Any] = {"id": answer.request_id} if answer.request_id else {}
    document |= {"model_name": answer.model, "model_version": str(answer.version)}
    document |= answer.parameters
    for output in answer.outputs:
        document[output.name] = _value(output)
    return orjson.dumps(document, option=_OPTIONS)


def _value(output: Tensor) -> Any:
    values = write_data(output.datatype, output.data)
    if element_count(output.shape) != 1:
        return values
    array = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    return orjson.Fragment(array[1:-1])
