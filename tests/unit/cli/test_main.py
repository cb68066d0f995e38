from __future__ import annotations

from importlib import metadata

import pytest

from shoal.cli.main import main


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"shoal {metadata.version('shoal')}\n"


def test_the_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "serve" in capsys.readouterr().out


def test_an_unknown_command_fails_with_the_nearest_match(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sevre"]) == 2
    assert "there is no command 'sevre'; did you mean 'serve'?" in capsys.readouterr().err


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "no command given" in capsys.readouterr().err


def test_the_help_of_serve_comes_from_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    assert "--model-repository=<string>" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["--no-such-flag=1"], ["--http-port=often"], []])
def test_serve_ends_with_tritons_code_for_a_bad_command_line(argv: list[str]) -> None:
    assert main(["serve", *argv]) == 1
