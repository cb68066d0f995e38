"""Label files of classification outputs: one label per line, the line's number is the class."""

from __future__ import annotations

import os

from shoal.core.errors import InternalError, InvalidArgument
from shoal.repository.config.json_form import JsonForm


def read(config: JsonForm, directory: str) -> dict[str, list[str]]:
    """The labels of each output that names a file, by output name. Blocks.

    Raises InternalError for a file that cannot be read, InvalidArgument for one outside the model's directory and for
    what is no file name.
    """
    return {
        output["name"]: _lines(directory, output["label_filename"])
        for output in config["output"]
        if output["label_filename"]
    }


def _lines(directory: str, filename: str) -> list[str]:
    path = os.path.normpath(os.path.join(directory, filename))
    if not path.startswith(os.path.join(directory, "")):
        raise InvalidArgument(f"label_filename '{filename}' must stay within the model directory '{directory}'")
    try:
        # Lines end as files' lines do; str.splitlines would cut labels at rarer separators too.
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line.removesuffix("\n") for line in file]
    except ValueError as error:
        raise InvalidArgument(f"label_filename {filename!r} is no file name: {error}") from error
    except OSError as error:
        raise InternalError(f"failed to open text file for read {path}: {error.strerror}") from error
