from __future__ import annotations

import sys

import pytest

from shoal.gateway.__main__ import main


def test_the_help_tells_the_options_of_the_broker_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gateway", "--help"])
    with pytest.raises(SystemExit):
        main()
    text = capsys.readouterr().out
    assert [flag for flag in ("--http-port", "--grpc-port", "--nats-url") if flag not in text] == []
