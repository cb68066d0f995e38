from __future__ import annotations

import argparse

import pytest

from shoal.repository.settings import RepositorySettings, add_options, from_arguments


def parsed(*arguments: str) -> RepositorySettings:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser)
    return from_arguments(parser.parse_args(arguments))


def test_defaults() -> None:
    assert parsed("--model-repository=/a") == RepositorySettings(("/a",), True, "", {}, 4, 10.0)


def test_repositories_are_collected() -> None:
    assert parsed("--model-repository", "/a", "--model-store=/b").repositories == ("/a", "/b")


@pytest.mark.parametrize(
    ("arguments", "completes"),
    [
        (("--disable-auto-complete-config",), False),
        (("--strict-model-config=true",), False),
        (("--strict-model-config=ON",), False),
        (("--strict-model-config=0",), True),
    ],
)
def test_completion_can_be_switched_off(arguments: tuple[str, ...], completes: bool) -> None:
    assert parsed(*arguments).completes is completes


def test_a_backends_own_settings_win() -> None:
    settings = parsed(
        "--backend-config=threads=1",
        "--backend-config=python,threads=2",
        "--backend-config=python,url=a=b",
        "--backend-config=onnxruntime,threads=3",
    )
    assert settings.for_backend("python") == {"threads": "2", "url": "a=b"}
    assert settings.for_backend("openvino") == {"threads": "1"}


@pytest.mark.parametrize(
    "argument",
    [
        "--backend-config=nothing",
        "--backend-config=python,=1",
        "--backend-config=,a=1",
        "--strict-model-config=maybe",
        "--model-config-name=",
        "--model-load-thread-count=0",
        "--worker-wait=-1",
        "--worker-wait=inf",
        "--worker-wait=soon",
        "--model-control-mode=explicit",
    ],
)
def test_bad_values_are_refused(argument: str) -> None:
    with pytest.raises(argparse.ArgumentError):
        parsed(argument)
