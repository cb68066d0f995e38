"""The repository's options, named as tritonserver names them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shoal.runtime.arguments import boolean, positive

#: Settings of every backend are kept under the empty name.
_EVERY_BACKEND = ""


@dataclass(frozen=True, slots=True)
class RepositorySettings:
    """`repositories` are local folders of models. With `completes` backends are asked to complete configurations.

    `config_name` chooses `configs/<config_name>.pbtxt` where a model has it. `backend_config` holds settings by backend
    name, those for every backend under the empty name. At most `load_threads` models are examined at once. A model
    whose backend no worker has becomes UNAVAILABLE after `worker_wait_s` seconds.
    """

    repositories: tuple[str, ...]
    completes: bool
    config_name: str
    backend_config: Mapping[str, Mapping[str, str]]
    load_threads: int
    worker_wait_s: float

    def for_backend(self, backend: str) -> dict[str, str]:
        """The settings of one backend; its own win over those for every backend."""
        return {**self.backend_config.get(_EVERY_BACKEND, {}), **self.backend_config.get(backend, {})}


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model-repository", "--model-store", action="append", default=[], metavar="PATH", help="folder of models")
    add("--model-control-mode", choices=("none",), default="none", help="which models are loaded, and when")
    add("--disable-auto-complete-config", action="store_true", help="take configurations as they are written")
    add("--strict-model-config", type=boolean, default=False, metavar="BOOL", help="same, deprecated")
    add("--model-config-name", type=_config_name, metavar="NAME", help="use configs/NAME.pbtxt")
    add(
        "--backend-config",
        action="append",
        default=[],
        type=_backend_setting,
        metavar="[BACKEND,]SETTING=VALUE",
        help="a backend's setting, or one for every backend",
    )
    add("--model-load-thread-count", type=positive, default=4, metavar="N", help="models examined at once (4)")
    add("--worker-wait", type=_seconds, default=10.0, metavar="SECONDS", help="wait for a worker with the backend (10)")


def from_arguments(arguments: argparse.Namespace) -> RepositorySettings:
    return RepositorySettings(
        repositories=tuple(arguments.model_repository),
        completes=not (arguments.disable_auto_complete_config or arguments.strict_model_config),
        config_name=arguments.model_config_name or "",
        backend_config=_by_backend(arguments.backend_config),
        load_threads=arguments.model_load_thread_count,
        worker_wait_s=arguments.worker_wait,
    )


def _by_backend(settings: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    by_backend: dict[str, dict[str, str]] = {}
    for backend, setting, value in settings:
        by_backend.setdefault(backend, {})[setting] = value
    return by_backend


def _backend_setting(text: str) -> tuple[str, str, str]:
    name, equals, value = text.partition("=")
    backend, comma, setting = name.partition(",")
    if not comma:
        backend, setting = _EVERY_BACKEND, name
    if not equals or not setting or (comma and not backend):
        raise argparse.ArgumentTypeError(
            f"--backend-config option format is '<backend name>,<setting>=<value>' or '<setting>=<value>'. Got {text}"
        )
    return backend, setting, value


def _config_name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("empty argument for --model-config-name")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more. Got {text}")
    return seconds
