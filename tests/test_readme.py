"""Every command of the README works as it stands there.

A fenced block marked `sh` is run line by line against a server of its own; its addresses are put in place of the ones
written down. Lines of `sh shown` start something that runs on: it has to come up and to end at SIGTERM. `sh setup` is
what a reader runs once; the project's continuous integration does the same.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_process import Broker
from shoal.bus import Bus, BusSettings
from shoal_server import BIN, EXAMPLES, Server

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def commands(mark: str) -> list[str]:
    """The lines of the blocks with this mark; a line that ends with a backslash goes on in the next."""
    blocks = re.findall(rf"^```{mark}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        server.wait_until_started()
        yield server


def here(command: str) -> str:
    """The command with this environment's programs and models."""
    return command.replace(".venv/bin/", f"{BIN}/").replace("/path/to/models", str(EXAMPLES))


def test_the_readme_has_commands() -> None:
    assert commands("sh")
    assert commands("sh setup") == ["make serve", "make test"]


@pytest.mark.parametrize("command", commands("sh"))
def test_a_command_succeeds(command: str, server: Server) -> None:
    address = f"localhost:{server.http_port}"
    line = here(command).replace("localhost:8000", address)
    if "classify_digits.py" in line and "--url" not in line:
        line += f" --url={address}"
    if line.startswith("curl "):
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed here")
        line = line.replace("curl ", "curl --fail-with-body ", 1)
    ended = subprocess.run(line, shell=True, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
    assert ended.stdout


@pytest.fixture
def settings(broker: Broker) -> BusSettings:
    return broker.settings()


@pytest.mark.parametrize("command", [line for line in commands("sh shown") if "shoal serve" in line])
def test_a_server_comes_up_and_ends(command: str, settings: BusSettings) -> None:
    """With this test's ports and models instead of those of the README."""
    line = here(command).replace("nats://broker:4222", settings.url)
    flags = [word for word in shlex.split(line)[2:] if not re.match("--(model-repository|http-port|grpc-port)=", word)]
    environment = {"SHOAL_NATS_TOKEN": str(settings.token)} if settings.url in line else {}
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), *flags, environment=environment) as server:
        server.wait_until_started()
        assert server.stop() == 0, server.output


@pytest.mark.parametrize("command", [line for line in commands("sh shown") if " -m shoal." in line])
async def test_a_service_comes_up_and_ends(command: str, settings: BusSettings) -> None:
    bus = await Bus.connect(settings, "cli", ("agent", "gateway", "repository", "scheduler"))
    appeared = asyncio.Event()
    bus.watch_peers(lambda _: appeared.set())
    await bus.start()
    argv = shlex.split(here(command).replace("nats://broker:4222", settings.url))
    environment = {**os.environ, "SHOAL_NATS_TOKEN": str(settings.token), "SHOAL_NAMESPACE": settings.namespace}
    service = await asyncio.create_subprocess_exec(*argv, env=environment)
    try:
        await asyncio.wait_for(appeared.wait(), 30)
        service.terminate()
        assert await asyncio.wait_for(service.wait(), 30) == 0
    finally:
        if service.returncode is None:
            service.kill()
            await service.wait()
        await bus.close()
