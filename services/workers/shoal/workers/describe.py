"""`python -m shoal.workers.describe MODULE:CLASS`: have one model described, in a process of its own.

The question comes on standard input, the answer goes to standard output; a model that crashes, hangs or spoils its
process spoils nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NamedTuple, NoReturn

import msgpack

from shoal.core.errors import InternalError, ShoalError
from shoal.core.model_config import from_json
from shoal.runtime.parent_death import die_with_parent
from shoal.telemetry import logs
from shoal.workers.backend import ModelSource, load_backend
from shoal.workers.error_text import wire_error
from shoal.workers.pipes import end_process, take_standard_pipes


class Question(NamedTuple):
    """A model version and its configuration as written, in JSON form."""

    model: str
    version: int
    directory: str
    config: dict[str, Any]
    backend_config: dict[str, str]

    def source(self) -> ModelSource:
        return ModelSource(self.model, self.version, self.directory, from_json(self.config), self.backend_config)


class Description(NamedTuple):
    """The completed configuration as JSON, or an error as it travels; then `config` is empty."""

    config: str
    error: tuple[int, str] | None


def encode(message: Question | Description) -> bytes:
    packed: bytes = msgpack.packb(message)
    return packed


def decode_question(data: bytes) -> Question:
    return Question._make(msgpack.unpackb(data, strict_map_key=False))


def decode_description(data: bytes) -> Description:
    """Raises ValueError when the data is not a whole description."""
    config, error = msgpack.unpackb(data)
    return Description(config, tuple(error) if error else None)


def describe(entry_point: str, question: Question) -> Description:
    """Have the backend complete the configuration; whatever goes wrong is the description's error."""
    try:
        completed = load_backend(entry_point).signature(question.source())
        return Description(json.dumps(completed), None)
    except ShoalError as error:
        return Description("", wire_error(error))
    except BaseException as error:  # user code; whatever it raises is why the model cannot be described
        logs.get_logger("describe").exception("describe failed", model=question.model)
        return Description("", wire_error(InternalError(f"{type(error).__name__}: {error}")))


def main(argv: list[str]) -> NoReturn:
    die_with_parent()
    pipes = take_standard_pipes()
    logs.configure_from(os.environ)
    with open(pipes.from_agent, "rb") as reader:
        question = decode_question(reader.read())
    description = describe(argv[0], question)
    with open(pipes.to_agent, "wb") as writer:
        writer.write(encode(description))
    end_process(0)


if __name__ == "__main__":
    main(sys.argv[1:])
