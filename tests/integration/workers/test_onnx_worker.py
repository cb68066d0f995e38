"""A worker with an ONNX model, from desired state to answers."""

from __future__ import annotations

from typing import Any

from onnx_models import write_add_sub
from worker_stage import Stage, floats

CONFIG: dict[str, Any] = {
    "name": "add_sub",
    "backend": "onnxruntime",
    "max_batch_size": 8,
    "input": [
        {"name": "A", "data_type": "TYPE_FP32", "dims": [4]},
        {"name": "B", "data_type": "TYPE_FP32", "dims": [4]},
    ],
    "output": [
        {"name": "SUM", "data_type": "TYPE_FP32", "dims": [4]},
        {"name": "DIFF", "data_type": "TYPE_FP32", "dims": [4]},
    ],
    "instance_group": [{"name": "add_sub", "kind": "KIND_CPU", "count": 1}],
}


async def serve(stage: Stage, **changes: Any) -> None:
    write_add_sub(stage.directory / "add_sub" / "1" / "model.onnx")
    await stage.desire({**CONFIG, **changes})
    stage.start_agent()


async def test_a_batch_is_executed_together_and_answered_apart(stage: Stage) -> None:
    await serve(stage)
    (instance,) = await stage.ready()
    one = stage.request([floats("A", [[1, 2, 3, 4]]), floats("B", [[4, 3, 2, 1]])])
    two = stage.request([floats("A", [[5] * 4, [6] * 4]), floats("B", [[1] * 4, [2] * 4])], outputs=("DIFF",))
    stage.send_batch(instance, [one, two])
    first, second = await stage.answer(one[0]), await stage.answer(two[0])
    assert first.outputs["SUM"].tolist() == [[5, 5, 5, 5]]
    assert first.outputs["DIFF"].tolist() == [[-3, -1, 1, 3]]
    assert list(second.outputs) == ["DIFF"]
    assert second.outputs["DIFF"].tolist() == [[4] * 4, [4] * 4]
