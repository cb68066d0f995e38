"""The front door that a process with given options has, from its opening to its close."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic

from shoal.core.api_keys import ApiKeys
from shoal.core.errors import InvalidArgument
from shoal.core.restricted_api import Feature, parse_restrictions
from shoal.gateway.access.access import Access
from shoal.gateway.access.keyring import Keyring
from shoal.gateway.access.keys_file import KeysFile
from shoal.runtime.api_keys import read_api_keys
from shoal.runtime.service import EnvironmentTrouble


@asynccontextmanager
async def open_access(arguments: argparse.Namespace) -> AsyncIterator[Access]:
    """The rules of a process with these options; its file of keys is followed to the end. Raises EnvironmentTrouble
    when an option or the file cannot be followed."""
    feature: Feature = "api" if arguments.protocol == "http" else "protocol"
    given = arguments.restricted_apis if feature == "api" else arguments.restricted_protocols
    path = None if arguments.api_keys is None else Path(arguments.api_keys)
    try:
        restrictions = parse_restrictions(given, feature)
        keyring = None if path is None else Keyring(read_api_keys(path), monotonic())
    except InvalidArgument as error:
        raise EnvironmentTrouble(error.message) from error
    file = None if path is None or keyring is None else KeysFile(path, partial(_replace, keyring))
    if file is not None:
        file.open()
    try:
        yield Access(restrictions, feature, keyring)
    finally:
        if file is not None:
            await file.close()


def _replace(keyring: Keyring, keys: ApiKeys) -> None:
    keyring.replace(keys, monotonic())
