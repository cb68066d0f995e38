from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shoal.core.errors import InternalError, InvalidArgument
from shoal.repository import draft, snapshot
from shoal.repository.draft import Draft
from shoal.repository.settings import RepositorySettings
from shoal.repository.versions import NoVersion

MakeModel = Callable[..., Path]

IO = (
    'input { name: "A" data_type: TYPE_FP32 dims: -1 }\n'
    'output { name: "B" data_type: TYPE_FP32 dims: 2 label_filename: "labels.txt" }\n'
)


def make(directory: Path, settings: RepositorySettings) -> Draft:
    return draft.make(snapshot.take(str(directory)), settings)


def test_a_directory_without_configuration_is_enough(make_model: MakeModel, settings: RepositorySettings) -> None:
    made = make(make_model(None, {"3/model.py": "", "old/model.py": ""}), settings)
    assert (made.model, made.backend, made.versions, made.ignored_folders) == ("m", "python", (3,), ("old",))
    assert made.config["name"] == "m"
    assert made.config["default_model_filename"] == "model.py"
    assert made.backend_config == {"threads": "1", "shm": "2"}


def test_rules_of_the_first_step_are_reported_with_lines(make_model: MakeModel, settings: RepositorySettings) -> None:
    directory = make_model('name: "other"\nbackend: "python"\nmax_batch_size: -1\n')
    with pytest.raises(InvalidArgument) as caught:
        make(directory, settings)
    assert caught.value.message == (
        "unexpected directory name 'm' for model 'other', directory name must equal model name (m/config.pbtxt:1);"
        " 'max_batch_size' must be non-negative value for other (m/config.pbtxt:3)"
    )


def test_signature_is_checked_later_when_a_backend_completes_it(
    make_model: MakeModel, settings: RepositorySettings
) -> None:
    directory = make_model('backend: "python"\ninput { name: "A" dims: 1 }\n')
    error = "model input 'A' must specify 'data_type' for m (m/config.pbtxt:2)"
    made = make(directory, settings)
    with pytest.raises(InvalidArgument) as caught:
        draft.finish(made, None)
    assert caught.value.message == error
    with pytest.raises(InvalidArgument) as caught:
        make(directory, replace(settings, completes=False))
    assert caught.value.message == error


def test_without_completion_a_configuration_is_needed(make_model: MakeModel, settings: RepositorySettings) -> None:
    with pytest.raises(InvalidArgument, match=r"model 'm' has no config\.pbtxt"):
        make(make_model(None), replace(settings, completes=False))


def test_a_named_configuration_is_preferred(make_model: MakeModel, settings: RepositorySettings) -> None:
    files = {"1/model.py": "", "configs/fast.pbtxt": "max_batch_size: 9"}
    directory = make_model("max_batch_size: 1", files)
    assert make(directory, replace(settings, config_name="fast")).config["max_batch_size"] == 9
    assert make(directory, settings).config["max_batch_size"] == 1


def test_no_version_is_told_apart(make_model: MakeModel, settings: RepositorySettings) -> None:
    with pytest.raises(NoVersion):
        make(make_model('backend: "python"', {"readme.txt": ""}), settings)


def test_text_that_is_not_utf8_is_reported(make_model: MakeModel, settings: RepositorySettings) -> None:
    directory = make_model("")
    (directory / "config.pbtxt").write_bytes(b'name: "m"\n# caf\xe9\n')
    with pytest.raises(InvalidArgument) as caught:
        make(directory, settings)
    assert caught.value.message == "m/config.pbtxt:2: configuration is not UTF-8 text"


def test_finishing_reads_labels(make_model: MakeModel, settings: RepositorySettings) -> None:
    directory = make_model('backend: "python"\n' + IO, {"1/model.py": "", "labels.txt": "cat\ndog\n"})
    made = make(directory, settings)
    version = draft.finish(made, None)
    assert version.labels == {"B": ["cat", "dog"]}
    assert version.config == made.config


def test_finishing_accepts_and_normalises_the_completion(make_model: MakeModel, settings: RepositorySettings) -> None:
    made = make(make_model('backend: "python"\n'), settings)
    completed = made.config_json().replace('"max_batch_size":0', '"max_batch_size":6,"dynamic_batching":{}')
    assert draft.finish(made, completed).config["dynamic_batching"]["preferred_batch_size"] == [6]


@pytest.mark.parametrize(
    ("change", "error", "kind"),
    [
        ('"max_batch_size":-1', "'max_batch_size' must be non-negative value for m", InvalidArgument),
        ('"max_batch_size":0,"runtime":"x"', "backend changed 'runtime'", InternalError),
    ],
)
def test_finishing_refuses_a_bad_completion(
    make_model: MakeModel, settings: RepositorySettings, change: str, error: str, kind: type[Exception]
) -> None:
    made = make(make_model('backend: "python"\n'), settings)
    completed = made.config_json().replace('"runtime":"",', "").replace('"max_batch_size":0', change)
    with pytest.raises(kind, match=error):
        draft.finish(made, completed)


def test_instances_without_gpus(make_model: MakeModel, settings: RepositorySettings) -> None:
    made = make(make_model('backend: "python"\ninstance_group { kind: KIND_GPU }\n'), settings)
    with pytest.raises(InvalidArgument) as caught:
        draft.finish(made, None)
    assert caught.value.reason() == (
        "Invalid argument: instance group m_0 of model m has kind KIND_GPU but no GPUs are available (m/config.pbtxt:2)"
    )


def test_generation_follows_the_content(make_model: MakeModel, settings: RepositorySettings) -> None:
    directory = make_model("max_batch_size: 1")
    before = make(directory, settings).generation
    assert make(directory, settings).generation == before
    assert make(directory, replace(settings, backend_config={})).generation != before
    (directory / "config.pbtxt").write_text("max_batch_size: 2")
    assert make(directory, settings).generation != before
