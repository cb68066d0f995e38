"""Finds out a model's backend, platform and default file name from what its directory holds."""

from __future__ import annotations

from pathlib import PurePosixPath

from shoal.core.errors import InvalidArgument
from shoal.repository import platforms
from shoal.repository.config.json_form import JsonForm
from shoal.repository.platforms import Framework
from shoal.repository.snapshot import Snapshot


def autofill(config: JsonForm, snapshot: Snapshot) -> JsonForm:
    """The configuration with `backend`, `platform` and `default_model_filename` filled in as Triton does.

    Raises InvalidArgument when nothing tells the backend. What contradicts itself is left to the rules.
    """
    if _is_ensemble(config):
        return config | {"platform": config["platform"] or platforms.ENSEMBLE}
    framework = _framework(config, snapshot)
    if framework is not None:
        return _filled(config, framework)
    if config["backend"] or config["platform"]:
        return config
    return _from_name(config, snapshot.name)


def _is_ensemble(config: JsonForm) -> bool:
    return config["platform"] == platforms.ENSEMBLE or ("ensemble_scheduling" in config and not config["backend"])


def _framework(config: JsonForm, snapshot: Snapshot) -> Framework | None:
    if config["platform"]:
        return platforms.of_platform(config["platform"])
    backend = config["backend"]
    candidates = platforms.of_backend(backend) if backend else platforms.FRAMEWORKS
    recognised = next((f for f in candidates if _matches(f, config, snapshot)), None)
    if recognised is None and candidates and backend and backend != "tensorflow":
        return candidates[0]
    return recognised


def _matches(framework: Framework, config: JsonForm, snapshot: Snapshot) -> bool:
    if config["default_model_filename"]:
        return bool(config["default_model_filename"] == framework.filename)
    folders = snapshot.folders()
    return bool(folders) and snapshot.has(f"{folders[0]}/{framework.filename}")


def _filled(config: JsonForm, framework: Framework) -> JsonForm:
    return config | {
        "backend": config["backend"] or framework.backend,
        "platform": config["platform"] or framework.platform,
        "default_model_filename": config["default_model_filename"] or framework.filename,
    }


def _from_name(config: JsonForm, directory: str) -> JsonForm:
    backend = PurePosixPath(directory).suffix.removeprefix(".")
    if not backend:
        raise InvalidArgument(
            f"Invalid model name: Could not determine backend for model '{directory}' with no backend in model"
            " configuration. Expected model name of the form 'model.<backend_name>'."
        )
    return config | {
        "backend": backend,
        "default_model_filename": config["default_model_filename"] or f"model.{backend}",
    }
