from __future__ import annotations

import subprocess
import sys

import pytest

from shoal.gateway.__main__ import main

LAUNCH = """
import sys
import shoal.gateway.__main__, shoal.gateway.grpc.server
print(*sorted({"nats", "numpy", "google.protobuf", "shoal.gateway.gateway"} & sys.modules.keys()))
"""


def test_the_help_tells_the_options_of_the_broker_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gateway", "--help"])
    with pytest.raises(SystemExit):
        main()
    text = capsys.readouterr().out
    assert [flag for flag in ("--http-port", "--grpc-port", "--nats-url") if flag not in text] == []


def test_what_only_becomes_envoy_loads_nothing_that_is_loaded_again_in_there() -> None:
    done = subprocess.run([sys.executable, "-c", LAUNCH], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
