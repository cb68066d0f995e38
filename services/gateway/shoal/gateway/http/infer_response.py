"""`InferAnswer` -> an HTTP inference body: JSON, or JSON followed by binary tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from shoal.gateway.classification import classify
from shoal.gateway.http.infer_request import AnswerForm
from shoal.gateway.http.tensor_json import write_data
from shoal.gateway.models import ServedVersion
from shoal.gateway.request import InferAnswer

_NO_LABELS: Sequence[str] = ()


class InferBody(NamedTuple):
    """`json` and the binary tensors after it, in the order of the outputs, without the empty ones: bytes, or views of
    the answer's message, which they keep alive."""

    json: bytes
    tail: list[memoryview | bytes]


def render(answer: InferAnswer, form: AnswerForm, served: ServedVersion) -> InferBody:
    """Write an answer in the form that was asked for. Outputs in regions are there already.

    Raises InvalidArgument where an output has no such form (FP16 as JSON, classes of texts).
    """
    outputs: list[dict[str, Any]] = []
    tail: list[memoryview | bytes] = []
    for tensor in answer.outputs:
        wanted = form.forms.get(tensor.name, form.default_form)
        shown = tensor
        if wanted.classes:
            labels = served.labels.get(tensor.name, _NO_LABELS)
            shown = classify(tensor, wanted.classes, served.config.max_batch_size > 0, labels)
        row: dict[str, Any] = {"name": shown.name, "datatype": shown.datatype, "shape": shown.shape}
        if wanted.is_binary:
            row["parameters"] = {"binary_data_size": len(shown.data)}
            if len(shown.data):
                tail.append(shown.data)
        elif shown.name not in form.regions:
            row["data"] = write_data(shown.datatype, shown.data)
        outputs.append(row)
    text = orjson.dumps(_document(answer, outputs), option=orjson.OPT_SERIALIZE_NUMPY)
    return InferBody(text, tail)


def _document(answer: InferAnswer, outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {"id": answer.request_id} if answer.request_id else {}
    document["model_name"] = answer.model
    document["model_version"] = str(answer.version)
    if answer.parameters:
        document["parameters"] = answer.parameters
    document["outputs"] = outputs
    return document
