from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from shoal.core.api_keys import ApiKeys
from shoal.gateway.access.keys_file import KeysFile

KEY = '[[key]]\nname = "{}"\nsha256 = "{}"\nscopes = ["read"]\n'


def write(path: Path, *names: str) -> None:
    """Replace the file, as an editor does."""
    new = path.with_suffix(".new")
    new.write_text("".join(KEY.format(name, f"{number:064x}") for number, name in enumerate(names)))
    os.replace(new, path)


async def test_a_change_of_the_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    write(path, "a")
    seen: list[ApiKeys] = []
    file = KeysFile(path, seen.append)
    await file.look()
    assert seen == []
    write(path, "a", "b")
    await file.look()
    await file.look()
    assert [[key.name for key in keys.keys] for keys in seen] == [["a", "b"]]


@pytest.mark.parametrize("text", ["[[key]", '[[key]]\nname = "a"\n', None])
async def test_a_broken_file_changes_nothing_and_is_told_once(
    tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.toml"
    write(path, "a")
    seen: list[ApiKeys] = []
    file = KeysFile(path, seen.append)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with caplog.at_level(logging.ERROR):
        await file.look()
        await file.look()
    assert seen == []
    assert [record.getMessage() for record in caplog.records] == ["API keys not read again, the old ones stay valid"]
