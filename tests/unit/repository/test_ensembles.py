from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shoal.core.desired import ModelEntry, VersionEntry
from shoal.core.errors import InvalidArgument
from shoal.repository import ensembles
from shoal.repository.config.json_form import JsonForm
from shoal.repository.config.text import parse_text
from shoal.repository.draft import ConfigSource, Draft
from shoal.repository.normalize import normalize

IO = 'input { name: "A" data_type: TYPE_FP32 dims: -1 } output { name: "B" data_type: TYPE_FP32 dims: -1 }'


def config(name: str, text: str) -> JsonForm:
    return normalize(parse_text(f'name: "{name}" {text}', name))


def model(name: str, text: str = "") -> JsonForm:
    return config(name, f'backend: "python" {IO} {text}')


def step(name: str, reads: str, writes: str, version: int = -1) -> str:
    return (
        f'step {{ model_name: "{name}" model_version: {version} input_map {{ key: "A" value: "{reads}" }}'
        f' output_map {{ key: "B" value: "{writes}" }} }}'
    )


def draft(name: str, *steps: str, output: str = "", directory: str = "/none") -> Draft:
    text = (
        f'platform: "ensemble" input {{ name: "A" data_type: TYPE_FP32 dims: -1 }}'
        f' output {{ name: "B" data_type: TYPE_FP32 dims: -1 {output} }} ensemble_scheduling {{ {" ".join(steps)} }}'
    )
    return Draft(name, directory, ConfigSource(f"{name}/config.pbtxt", ""), config(name, text), (1,), (), {}, "g")


def entry(form: JsonForm, labels: dict[str, list[str]] | None = None, *versions: int, **fields: Any) -> ModelEntry:
    served = dict.fromkeys(versions or (1,), VersionEntry(form, labels or {}))
    return ModelEntry(1, form["name"], "g", "/m", "python", served, (), "", {})._replace(**fields)


def finish(found: Draft, *entries: ModelEntry) -> VersionEntry:
    models = {one.model: one.versions[max(one.versions)].config for one in entries if one.versions}
    return ensembles.finish(found, models, {one.model: one for one in entries})


TWO = draft("e", step("a", "A", "mid"), step("b", "mid", "B"))


def test_an_ensemble_comes_after_what_it_is_composed_of() -> None:
    drafts = {d.model: d for d in (draft("outer", step("inner", "A", "B")), draft("inner", step("m", "A", "B")))}
    assert [found.model for found in ensembles.in_order(drafts)] == ["inner", "outer"]


def test_a_circle_of_ensembles_ends() -> None:
    drafts = {d.model: d for d in (draft("x", step("y", "A", "B")), draft("y", step("x", "A", "B")))}
    assert sorted(found.model for found in ensembles.in_order(drafts)) == ["x", "y"]


@pytest.mark.parametrize("is_decoupled", [False, True])
def test_an_ensemble_is_decoupled_when_a_step_is(is_decoupled: bool) -> None:
    """model-config.md 1: `model_transaction_policy` of ensembles is filled in."""
    policy = "model_transaction_policy { decoupled: true }" if is_decoupled else ""
    found = finish(TWO, entry(model("a", policy)), entry(model("b")))
    assert found.config["model_transaction_policy"] == {"decoupled": is_decoupled}


def test_an_output_without_labels_has_those_of_the_step_that_makes_it() -> None:
    """scheduling.md 5: outputs without own label file inherit labels from the step producing them."""
    labels = {"B": ["cat", "dog"]}
    assert finish(TWO, entry(model("a"), {"B": ["no"]}), entry(model("b"), labels)).labels == labels


def test_labels_are_those_of_the_version_that_the_step_names() -> None:
    old, new = VersionEntry(model("a"), {"B": ["old"]}), VersionEntry(model("a"), {"B": ["new"]})
    versions = entry(model("a"), None)._replace(versions={1: old, 2: new})
    assert finish(draft("e", step("a", "A", "B", version=1)), versions).labels == {"B": ["old"]}
    assert finish(draft("e", step("a", "A", "B")), versions).labels == {"B": ["new"]}


def test_own_labels_go_before_inherited_ones(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("x\ny")
    found = draft("e", step("a", "A", "B"), output='label_filename: "own.txt"', directory=str(tmp_path))
    assert finish(found, entry(model("a"), {"B": ["no"]})).labels == {"B": ["x", "y"]}


FAILED = entry(model("b"), versions={}, failed_versions=(1,), reason="Internal: no memory")
INVALID = entry(model("b"), versions={}, reason="Invalid argument: no backend")


@pytest.mark.parametrize(
    ("found", "others", "text"),
    [
        (TWO, (), "ensemble e contains models that are not available or ambiguous: b"),
        (
            TWO,
            (FAILED,),
            "ensemble 'e' depends on 'b' which has no loaded version. Model 'b' loading failed with error: Internal: "
            "no memory",
        ),
        (
            TWO,
            (INVALID,),
            "ensemble 'e' depends on 'b' which is not valid. Model 'b' failed with error: Invalid argument: no backend",
        ),
        (
            draft("e", step("a", "A", "B", version=7)),
            (),
            "ensemble 'e' depends on 'a' whose required version 7 is not loaded.",
        ),
    ],
)
def test_what_an_ensemble_depends_on_must_be_served(found: Draft, others: tuple[ModelEntry, ...], text: str) -> None:
    """lifecycle.md 10: the texts of ensemble dependencies."""
    with pytest.raises(InvalidArgument) as raised:
        finish(found, entry(model("a")), *others)
    assert raised.value.message == text
