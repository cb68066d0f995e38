"""The bodies of load and unload requests, which are optional: `{"parameters": {...}}`."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any

from shoal.core.errors import InternalError, InvalidArgument
from shoal.gateway.http import json_text
from shoal.gateway.http.json_access import as_bool, has_member, member, printable
from shoal.gateway.model_control import CONFIG, FILE_PREFIX, UNLOAD_DEPENDENTS, LoadOverrides


def read_load(body: bytes) -> LoadOverrides:
    """Files come in base64. A document that is no object says nothing, as in Triton.

    Raises InternalError in Triton's words for what is no JSON, for values that are no text and for other parameters,
    InvalidArgument for what is no base64.
    """
    config: str | None = None
    files: dict[str, bytes] = {}
    for name, value in _parameters(body).items():
        if type(value) is not str:
            raise InternalError("attempt to access JSON non-string as string")
        if name == CONFIG:
            config = printable(value)
        elif name.startswith(FILE_PREFIX):
            files[printable(name)] = _decode(printable(name), value)
        else:
            raise InternalError(
                f"unexpected error on creating Triton parameter: '{printable(name)}' is none, expected '{CONFIG}' or "
                f"'{FILE_PREFIX}<path>'"
            )
    return LoadOverrides(config, files)


def read_unload(body: bytes) -> bool:
    """Whether to unload what only this model used, too. Raises InternalError for what is no JSON and for another value
    than true or false."""
    parameters = _parameters(body)
    if UNLOAD_DEPENDENTS not in parameters:
        return False
    return as_bool(parameters[UNLOAD_DEPENDENTS], UNLOAD_DEPENDENTS)


def _parameters(body: bytes) -> dict[str, Any]:
    document = json_text.parse(body) if body else {}
    if not has_member(document, "parameters"):
        return {}
    parameters = member(document, "parameters")
    if type(parameters) is not dict:
        raise InternalError("attempt to get members for non-object")
    return parameters


def _decode(name: str, text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(f"load parameter '{name}' is no base64: {error}") from error
