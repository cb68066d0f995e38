from __future__ import annotations

import pytest

from shoal.repository import validate
from shoal.repository.config.text import parse_text
from shoal.repository.normalize import normalize

PREFIX = "instance group m_0 of model m"


@pytest.mark.parametrize(
    ("text", "gpus", "problems"),
    [
        ("", (), []),
        ("instance_group { kind: KIND_CPU }", (0,), []),
        ("instance_group { kind: KIND_GPU }", (0, 1), []),
        ("instance_group { kind: KIND_GPU gpus: [ 1 ] }", (0, 1), []),
        ("instance_group { kind: KIND_GPU }", (), [f"{PREFIX} has kind KIND_GPU but no GPUs are available"]),
        ("instance_group { kind: KIND_GPU gpus: 0 }", (), [f"{PREFIX} has kind KIND_GPU but no GPUs are available"]),
        (
            "instance_group { kind: KIND_GPU gpus: 7 }",
            (0, 1),
            [f"{PREFIX} specifies invalid or unsupported gpu id 7. GPUs available: 0, 1"],
        ),
        (
            "instance_group { kind: KIND_CPU gpus: 0 }",
            (0,),
            [f"{PREFIX} has kind KIND_CPU but specifies one or more GPUs"],
        ),
        (
            "instance_group { kind: KIND_MODEL gpus: 0 }",
            (0,),
            [f"{PREFIX} has kind KIND_MODEL but specifies one or more GPUs"],
        ),
        (
            'instance_group { profile: "1" }',
            (),
            [f"{PREFIX} specifies profile field which is only supported for TensorRT models"],
        ),
        (
            'backend: "tensorrt" instance_group { profile: "one" }',
            (),
            [f"{PREFIX} has profile ['one'], expected integers >= 0"],
        ),
        (
            "instance_group { count: 2000000000 }",
            (),
            [f"{PREFIX} has count 2000000000, expected at most 1024"],
        ),
        (
            'instance_group [ { name: "g" }, { name: "g" } ]',
            (),
            ["instance group name 'g' is used more than once for m"],
        ),
    ],
)
def test_instance_groups(text: str, gpus: tuple[int, ...], problems: list[str]) -> None:
    config = normalize(parse_text(text, "m") | {"name": "m"}, gpus)
    assert [problem.text for problem in validate.instances(config, gpus)] == problems
