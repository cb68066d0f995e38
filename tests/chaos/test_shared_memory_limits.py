"""Little shared memory, or much wanted by others: refused with the reason, or the right bytes; nothing crashes."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc

from echo import MODEL, Echoed, Words, add_echo_model, exchange, exchange_all, words_of
from leaks import LeakCheck
from shoal.memory.inspection import inspect
from shoal_server import Server, until
from slow_link import SlowLink

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MIB = 2**20
HUGE_NBYTES = 100 * MIB
SMALL_NBYTES, MIDDLE_NBYTES, LARGE_NBYTES = 1024, 64 * 1024, 8 * MIB

OTHERS_COUNT = 50
#: Of the answer to a slow reader; HTTP/2 needs some for itself before the first byte of a tensor.
FREE_NBYTES = 8 * 1024
#: For two or three large requests at a time, so that every block is used again soon.
SHM_LIMIT_NBYTES = 64 * MIB


def namespace_with_shm(nbytes: int) -> list[str]:
    """A launcher that mounts a `/dev/shm` of this size for what it becomes. Skips the test where that is forbidden."""
    mount = f'mount -t tmpfs -o size={nbytes} tmpfs /dev/shm && exec "$0" "$@"'
    launcher = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "sh", "-c", mount]
    try:
        trial = subprocess.run([*launcher, "true"], capture_output=True, text=True, timeout=10, check=False)
    except OSError as error:
        pytest.skip(f"there is no unshare here: {error}")
    if trial.returncode != 0:
        pytest.skip(f"a /dev/shm of its own is not permitted here: {trial.stderr.strip()}")
    return launcher


def serving(
    tmp_path: Path, launcher: list[str] | None = None, environment: dict[str, str] | None = None
) -> Iterator[Server]:
    """`shoal serve` with the echo model, checked for leaks at the end."""
    models = tmp_path / "models"
    add_echo_model(models)
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(
            Path(folder),
            f"--http-max-input-size={2 * HUGE_NBYTES}",
            models=models,
            launcher=launcher or (),
            environment=environment,
        ) as server,
    ):
        server.wait_until_started()
        leaks = LeakCheck(server)
        for nbytes, concurrency in ((MIDDLE_NBYTES, 16), (LARGE_NBYTES, 16 if launcher else 2)):
            exchange_all(server.http_port, range(2 * concurrency), nbytes, concurrency)
        exchange_by_grpc(server.grpc_port, 1, MIDDLE_NBYTES if launcher else LARGE_NBYTES)
        baseline = leaks.baseline()
        yield server
        # The leak check sees our own /dev/shm, which is another one in a namespace.
        until(lambda: not held_blocks(server), within_s=20)
        leaks.steady(baseline)
        assert server.stop() == 0, server.output
        leaks.nothing_left()


def held_blocks(server: Server) -> int:
    """The blocks in use in the `/dev/shm` of that server, whichever it is."""
    return sum(segment.used_blocks for segment in inspect(Path(f"/proc/{server.process.pid}/root/dev/shm")))


@pytest.fixture(params=[1, 64], ids=lambda mib: f"{mib} MiB")
def shm_mib(request: pytest.FixtureRequest) -> int:
    mib: int = request.param
    return mib


@pytest.fixture
def cramped(tmp_path: Path, shm_mib: int) -> Iterator[Server]:
    """A server whose `/dev/shm` has the size of the test's parameter."""
    yield from serving(tmp_path, namespace_with_shm(shm_mib * MIB))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    yield from serving(tmp_path, environment={"SHOAL_SHM_LIMIT": str(SHM_LIMIT_NBYTES)})


def is_served_or_refused(answer: Echoed) -> bool:
    """Right, or refused by a text that tells what is full and what to do: 400 for what can never fit."""
    if answer.status == 200:
        return answer.is_right
    return answer.status in (400, 429, 503) and "/dev/shm" in answer.error and "shm_size" in answer.error


def test_more_than_shared_memory_holds_is_refused_or_served(cramped: Server, shm_mib: int) -> None:
    port, before = cramped.http_port, set(cramped.processes())
    assert "shm_size" in cramped.output, "the start does not explain that /dev/shm is small"
    huge = exchange_all(port, range(2), HUGE_NBYTES, concurrency=1)
    assert [answer for answer in huge if not is_served_or_refused(answer)] == []
    fitting_nbytes = MIDDLE_NBYTES if shm_mib == 1 else LARGE_NBYTES
    for nbytes in (SMALL_NBYTES, fitting_nbytes):
        assert [answer for answer in exchange_all(port, range(4), nbytes, 1) if not answer.is_right] == []
    many = exchange_all(port, range(32), fitting_nbytes, concurrency=16)
    assert [answer for answer in many if not is_served_or_refused(answer)] == []
    assert exchange(port, 1, fitting_nbytes).is_right
    assert set(cramped.processes()) == before


def test_a_slow_reader_over_http_gets_its_own_bytes(server: Server) -> None:
    with SlowLink(server.http_port, FREE_NBYTES) as link, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(exchange, link.port, 1, LARGE_NBYTES)
        while_others_are_served(server, link, slow)
        assert slow.result(30).is_right


def test_a_slow_reader_over_grpc_gets_its_own_bytes(server: Server) -> None:
    with SlowLink(server.grpc_port, FREE_NBYTES) as link, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(exchange_by_grpc, link.port, 1, LARGE_NBYTES)
        while_others_are_served(server, link, slow)
        assert np.array_equal(slow.result(30), np.invert(words_of(1, LARGE_NBYTES)))


def while_others_are_served(server: Server, link: SlowLink, slow: Future[Echoed] | Future[Words]) -> None:
    """When the answer of the slow one has begun, have others answered, then let it come."""
    link.wait_until_slow()
    others = exchange_all(server.http_port, range(2, 2 + OTHERS_COUNT), LARGE_NBYTES, concurrency=2)
    assert [answer for answer in others if not answer.is_right] == []
    assert not slow.done()
    link.hurry()


def exchange_by_grpc(port: int, number: int, nbytes: int) -> Words:
    """The answer to that request."""
    given = tritonclient.grpc.InferInput("IN", [nbytes // 8], "UINT64")
    given.set_data_from_numpy(words_of(number, nbytes))
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{port}") as client:
        words: Words = client.infer(MODEL, [given], client_timeout=60).as_numpy("OUT")
    return words
