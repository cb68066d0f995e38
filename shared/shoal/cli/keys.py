"""`shoal keys`: makes API keys, and checks the file that holds their digests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from shoal.cli.command_line import UsageError, parse
from shoal.cli.option import STRING, works
from shoal.cli.tables import Column, print_table
from shoal.core.api_keys import ApiKey, Scope, digest_of, new_secret, parse_api_keys
from shoal.core.errors import InvalidArgument
from shoal.runtime.api_keys import read_api_keys

EXIT_OK = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2

USAGE = """\
usage: shoal keys new --name=<name> [--scopes=infer,read,manage] [--models=<pattern>,...]
       shoal keys check <file>

new     make a key. Prints the secret, which is kept nowhere, on standard error, and the entry for the file of
        --api-keys on standard output:  shoal keys new --name=team-a >> keys.toml
check   read a file as the server would, and list its keys.
"""

_OPTIONS = {
    option.name: option
    for option in (
        works("name", STRING, None, "the key's name"),
        works("scopes", STRING, "infer,read", "what it is for"),
        works("models", STRING, "*", "shell patterns of the models that exist for it"),
    )
}
_COLUMNS = (
    Column("NAME"),
    Column("SCOPES"),
    Column("MODELS"),
    Column("PER SECOND", is_number=True),
    Column("AT ONCE", is_number=True),
)


def keys(argv: Sequence[str]) -> int:
    """Run `shoal keys` with the words after it; returns the exit code."""
    match list(argv):
        case ["--help" | "-h"]:
            sys.stdout.write(USAGE)
            return EXIT_OK
        case ["new", *options]:
            return _new(options)
        case ["check", path]:
            return _check(Path(path))
        case _:
            sys.stderr.write(USAGE)
            return EXIT_USAGE


def _new(argv: Sequence[str]) -> int:
    secret = new_secret()
    try:
        given = parse(argv, _OPTIONS)
        entry = _entry(given.text("name"), given.text("scopes").split(","), given.text("models").split(","), secret)
        parse_api_keys(entry, "new key")
    except (UsageError, InvalidArgument) as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        return EXIT_USAGE
    sys.stdout.write(entry)
    sys.stdout.flush()
    sys.stderr.write(f"secret, shown this once: {secret}\n")
    return EXIT_OK


def _entry(name: str, scopes: Sequence[str], models: Sequence[str], secret: str) -> str:
    return (
        f"\n[[key]]\nname = {_quoted(name)}\nsha256 = {_quoted(digest_of(secret.encode()).hex())}\n"
        f"scopes = [{', '.join(map(_quoted, scopes))}]\nmodels = [{', '.join(map(_quoted, models))}]\n"
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _check(path: Path) -> int:
    try:
        found = read_api_keys(path)
    except InvalidArgument as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FINDINGS
    if found.keys:
        print_table(_COLUMNS, [_row(key) for key in found.keys], sys.stdout)
    health = "open" if found.is_health_open else "for keys only"
    sys.stdout.write(f"{len(found.keys)} keys; probes of the server are {health}\n")
    return EXIT_OK


def _row(key: ApiKey) -> tuple[str, ...]:
    scopes = ",".join(scope for scope in Scope if scope in key.scopes)
    rate = "-" if key.requests_per_second is None else f"{key.requests_per_second:g}"
    return key.name, scopes, ",".join(key.models), rate, str(key.concurrency or "-")
