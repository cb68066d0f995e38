"""A model as far as its directory tells: configuration read, filled in and checked, versions chosen.

What only a backend can tell is added by `finish`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from shoal.core.desired import VersionEntry
from shoal.core.errors import InternalError, InvalidArgument
from shoal.repository import completion, labels, snapshot, validate, versions
from shoal.repository.autofill import autofill
from shoal.repository.config import json_form
from shoal.repository.config.json_form import JsonForm
from shoal.repository.config.text import line_of, parse_text
from shoal.repository.normalize import normalize
from shoal.repository.problems import check
from shoal.repository.settings import RepositorySettings
from shoal.repository.snapshot import Snapshot


class ConfigSource(NamedTuple):
    """The file that a configuration was read from: its name for errors, `<model>/config.pbtxt`, and its text. Without
    a file the text is empty."""

    name: str
    text: str

    def line_of(self, where: tuple[str, ...]) -> int | None:
        return line_of(self.text, where)


class Draft(NamedTuple):
    """A model that may be completed and served. `config` is normalised and keeps the rules of the first step;
    `versions` are those that the policy chose; `ignored_folders` look like versions and are none."""

    model: str
    directory: str
    source: ConfigSource
    config: JsonForm
    versions: tuple[int, ...]
    ignored_folders: tuple[str, ...]
    backend_config: dict[str, str]
    generation: str

    @property
    def backend(self) -> str:
        backend: str = self.config["backend"]
        return backend

    @property
    def is_ensemble(self) -> bool:
        return "ensemble_scheduling" in self.config

    def config_json(self) -> str:
        """The configuration as the backend that completes it gets it."""
        return json_form.dumps(self.config)


def make(contents: Snapshot, settings: RepositorySettings) -> Draft:
    """The draft of a model with these contents. Blocks while the configuration file is read.

    Raises InvalidArgument with everything that is wrong, NoVersion when the policy leaves no version, InternalError
    when the file cannot be read.
    """
    source = _read_source(contents, settings)
    written = parse_text(source.text, source.name)
    written["name"] = written["name"] or contents.name
    config = normalize(autofill(written, contents))
    check(validate.structure(config, contents.name), source.name, source.line_of)
    if not settings.completes:
        check(validate.signature(config), source.name, source.line_of)
    folders = versions.find(contents.folders())
    backend_config = settings.for_backend(config["backend"])
    return Draft(
        contents.name,
        contents.directory,
        source,
        config,
        versions.choose(contents.name, config["version_policy"], folders.versions),
        folders.ignored,
        backend_config,
        snapshot.generation(contents, config, backend_config, settings.completes),
    )


def finish(draft: Draft, completed: str | None) -> VersionEntry:
    """One version as it is to be served, its configuration completed with the backend's answer (None: not asked).

    Blocks while label files are read. Raises InvalidArgument when the complete configuration breaks a rule and
    InternalError for an answer that cannot be accepted or a label file that cannot be read.
    """
    config = draft.config
    if completed is not None:
        config = normalize(completion.accept(config, completed))
        check(validate.structure(config, draft.model), draft.source.name, draft.source.line_of)
    check(validate.signature(config), draft.source.name, draft.source.line_of)
    found = labels.read(config, draft.directory)
    check(validate.instances(config, gpus=()), draft.source.name, draft.source.line_of)
    return VersionEntry(config, found)


def _read_source(contents: Snapshot, settings: RepositorySettings) -> ConfigSource:
    path = snapshot.config_path(contents, settings.config_name)
    if path is None:
        if not settings.completes:
            raise InvalidArgument(
                f"model '{contents.name}' has no {snapshot.CONFIG_FILE}, which is needed when configurations are not"
                " completed automatically"
            )
        return ConfigSource(f"{contents.name}/{snapshot.CONFIG_FILE}", "")
    name = f"{contents.name}/{path}"
    try:
        return ConfigSource(name, Path(contents.directory, path).read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidArgument(f"{name}:{line}: configuration is not UTF-8 text") from error
    except OSError as error:
        raise InternalError(f"failed to open text file for read {name}: {error.strerror}") from error
