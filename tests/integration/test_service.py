"""The shell around every service, against a real broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from broker_process import Broker
from shoal.bus import BusSettings, free_port
from shoal.runtime.settings import to_environment

PROGRAM = Path(__file__).parent / "programs" / "service.py"


@pytest.fixture
def settings(broker: Broker) -> BusSettings:
    return broker.settings()


def start(settings: BusSettings, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *argv],
        env={**os.environ, **to_environment(settings)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(settings: BusSettings, *argv: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a service that ends by itself."""
    with start(settings, *argv) as service:
        output, errors = service.communicate(timeout=30)
    return service.returncode, output, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_the_service(settings: BusSettings, number: signal.Signals) -> None:
    with start(settings, "drain") as service:
        assert service.stdout is not None
        assert service.stdout.readline().startswith("up example-")
        service.send_signal(number)
        output, _ = service.communicate(timeout=20)
    assert (service.returncode, output) == (0, "drained\n")


def test_trouble_with_the_environment_is_exit_code_3_and_its_own_text(settings: BusSettings) -> None:
    code, _, errors = run(settings, "trouble")
    assert (code, errors) == (3, "port 1 is in use; choose another one\n")


def test_a_failure_is_exit_code_1_and_is_logged_with_its_traceback(settings: BusSettings) -> None:
    code, _, errors = run(settings, "fail")
    assert code == 1
    assert "RuntimeError: something broke" in errors


def test_a_service_that_returns_ends_well(settings: BusSettings) -> None:
    assert run(settings, "return")[0] == 0


def test_options_that_cannot_be_followed_are_exit_code_2(settings: BusSettings) -> None:
    code, _, errors = run(settings, "drain", "--nats-connect-timeout=soon")
    assert code == 2
    assert "--nats-connect-timeout is 'soon'" in errors


def test_a_broker_that_refuses_us_is_told_without_a_traceback(settings: BusSettings) -> None:
    stranger = BusSettings(url=settings.url, token="wrong", connect_timeout_s=5)
    code, _, errors = run(stranger, "drain")
    assert code == 1
    assert settings.url in errors
    assert "Traceback" not in errors


def test_a_signal_ends_the_wait_for_the_broker() -> None:
    nowhere = BusSettings(url=f"nats://127.0.0.1:{free_port()}", connect_timeout_s=60)
    with start(nowhere, "drain") as service:
        time.sleep(1.5)
        service.terminate()
        service.communicate(timeout=10)
    assert service.returncode == 0
