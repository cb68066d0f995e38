from __future__ import annotations

from pathlib import Path

import pytest

from shoal.cli.keys import keys
from shoal.core.api_keys import Scope, digest_of
from shoal.runtime.api_keys import read_api_keys


def test_a_new_key_is_an_entry_for_the_file_and_a_secret_shown_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keys(["new", '--name=team "a"', "--scopes=infer,manage", "--models=ocr*,asr"]) == 0
    output, remark = capsys.readouterr()
    secret = remark.strip().rpartition(" ")[2]
    assert secret not in output
    path = tmp_path / "keys.toml"
    path.write_text(output)
    (key,) = read_api_keys(path).keys
    assert (key.name, key.digest, key.models) == ('team "a"', digest_of(secret.encode()), ("ocr*", "asr"))
    assert key.scopes == {Scope.INFER, Scope.MANAGE}


@pytest.mark.parametrize("argv", [["new"], ["new", "--name=a", "--scopes=all"], ["new", "--rate=1"], [], ["check"]])
def test_wrong_words_are_answered_with_the_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert keys(argv) == 2
    output, complaint = capsys.readouterr()
    assert (output, complaint.endswith("list its keys.\n")) == ("", True)


def test_a_file_is_checked_as_the_server_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'[[key]]\nname = "a"\nsha256 = "{"0" * 64}"\nscopes = ["read"]\n')
    assert keys(["check", str(path)]) == 0
    assert "1 keys; probes of the server are open" in capsys.readouterr().out
    path.write_text("[[key]]")
    assert keys(["check", str(path)]) == 1
    assert "'name' must be a text" in capsys.readouterr().err
