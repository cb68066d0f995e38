"""Models that crash, hang, eat memory or talk into our pipes: only the request that did it fails, and it says why."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import shared_numbers
from leaks import LeakCheck
from number_requests import Answered, ask, ask_all, is_ready
from python_models import NUMBER_CONFIG, add_model, add_number_model
from shared_numbers import POISON
from shoal_server import Server, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

BATCHING = """
max_batch_size: 8
dynamic_batching { max_queue_delay_microseconds: 5000 }
instance_group [ { kind: KIND_CPU count: 2 } ]
"""
UNTIL_TIMEOUT = 'parameters { key: "shoal.execution_timeout" value { string_value: "1.5" } }'
TIMEOUT_S = 1.5
#: A new process of a model without a framework is there within this time.
BACK_S = 10.0

SEGFAULT = """
import ctypes

def work(number):
    if number == 666:
        ctypes.string_at(0)
    return number + 1
"""
ENDLESS = """
def work(number):
    while number == 666:
        pass
    return number + 1
"""
#: Up to what the machine surely has; the kernel's part is played by the model itself.
HUNGRY = """
def work(number):
    eaten = []
    while number == 666:
        eaten.append(np.ones(8 * 2**20))
        if len(eaten) == 8:
            os.kill(os.getpid(), signal.SIGKILL)
    return number + 1
"""
LIMITED = """
import resource

def work(number):
    if number == 666:
        resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.getrlimit(resource.RLIMIT_AS)[1]))
        try:
            np.ones(2**30)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return number + 1
"""
TALKATIVE = """
def work(number):
    os.write(1, bytes(range(256)) * 1024)
    print("served", number, "x" * 100_000)
    sys.stdout.flush()
    os.system("echo from a child; head -c 100000 /dev/urandom")
    return number + 1
"""
#: Takes its time to come back, so that requests find it away.
SLOW_TO_LOAD = """
import os, signal, time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        time.sleep(1)

    def execute(self, requests):
        os.kill(os.getpid(), signal.SIGKILL)
"""
LEAVING = """
def work(number):
    if number == 666:
        sys.exit("enough")
    if number == 667:
        os._exit(3)
    return number + 1
"""
RAISES_AT_THE_END = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() + 1 for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", tensor)]) for tensor in tensors]

    def finalize(self):
        raise RuntimeError("the end was not foreseen")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of these models, each with processes of its own."""
    models = tmp_path_factory.mktemp("models")
    add_number_model(models, "segfault", SEGFAULT, BATCHING)
    add_number_model(models, "endless", ENDLESS, UNTIL_TIMEOUT)
    add_number_model(models, "hungry", HUNGRY)
    add_number_model(models, "limited", LIMITED)
    add_number_model(models, "talkative", TALKATIVE)
    add_number_model(models, "leaving", LEAVING)
    add_model(models, "slow_to_load", NUMBER_CONFIG.format(more=""), SLOW_TO_LOAD)
    add_model(models, "last_words", NUMBER_CONFIG.format(more=""), RAISES_AT_THE_END)
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), models=models) as server:
        server.wait_until_started()
        leaks = LeakCheck(server)
        baseline = leaks.baseline()
        yield server
        leaks.steady(baseline)
        assert server.stop() == 0, server.output
        leaks.nothing_left()


@pytest.fixture
def shared_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One model, both of whose instances live in one process until one of them is put in quarantine, if that comes."""
    models = tmp_path_factory.mktemp("models")
    config = NUMBER_CONFIG.format(more=BATCHING).replace('"python"', f'"{shared_numbers.NAME}"')
    add_model(models, "shared", config, "")
    environment = shared_numbers.install(tmp_path_factory.mktemp("installed"))
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), models=models, environment=environment) as server,
    ):
        server.wait_until_started()
        leaks = LeakCheck(server)
        leaks.baseline()
        yield server
        assert server.stop() == 0, server.output
        leaks.nothing_left()


def assert_right(answers: Sequence[Answered]) -> None:
    assert [answer for answer in answers if answer.number != answer.asked + 1] == []


def assert_serves_again(server: Server, model: str, shape: tuple[int, ...] = (1,)) -> None:
    until(lambda: is_ready(server.http_port, model), BACK_S)
    assert_right([ask(server.http_port, model, number, shape) for number in range(4)])


def test_a_request_that_segfaults_among_a_hundred_fails_alone(server: Server) -> None:
    assert_only_poison_fails(server, "segfault")


def test_a_request_that_segfaults_in_a_process_of_several_instances_fails_alone(shared_process: Server) -> None:
    assert_only_poison_fails(shared_process, "shared")


def assert_only_poison_fails(server: Server, model: str) -> None:
    numbers = [*range(50), POISON, *range(50, 100)]
    answers = ask_all(server.http_port, model, numbers, (1, 1))
    poisonous = answers.pop(50)
    assert_right(answers)
    assert poisonous.status == 503
    assert "signal 11" in poisonous.error
    assert_serves_again(server, model, (1, 1))


def test_an_endless_execution_ends_at_the_model_s_own_timeout(server: Server) -> None:
    answers = ask_all(server.http_port, "endless", [1, POISON, 2])
    endless = answers.pop(1)
    assert_right(answers)
    assert endless.status == 503
    assert "execution_timeout" in endless.error
    assert endless.elapsed_s < 2 * (TIMEOUT_S + BACK_S / 2)
    assert_serves_again(server, "endless")


def test_a_model_that_is_killed_for_its_memory(server: Server) -> None:
    answers = ask_all(server.http_port, "hungry", [1, POISON, 2])
    hungry = answers.pop(1)
    assert_right(answers)
    assert hungry.status == 503
    assert "signal 9" in hungry.error
    assert_serves_again(server, "hungry")


def test_a_model_that_is_refused_memory_fails_only_that_request(server: Server) -> None:
    answers = ask_all(server.http_port, "limited", [1, POISON, 2])
    refused = answers.pop(1)
    assert_right(answers)
    assert refused.status == 500
    assert "Unable to allocate" in refused.error
    assert_serves_again(server, "limited")


def test_garbage_on_standard_output_disturbs_nobody(server: Server) -> None:
    before = set(server.processes())
    assert_right(ask_all(server.http_port, "talkative", range(20)))
    assert set(server.processes()) == before


def test_a_model_that_calls_sys_exit_fails_only_that_request(server: Server) -> None:
    answers = ask_all(server.http_port, "leaving", [1, 666, 2])
    left = answers.pop(1)
    assert_right(answers)
    assert left.status in (500, 503)
    assert left.error
    assert_serves_again(server, "leaving")


def test_a_model_that_ends_its_process_fails_only_that_request(server: Server) -> None:
    answers = ask_all(server.http_port, "leaving", [1, 667, 2])
    left = answers.pop(1)
    assert_right(answers)
    assert left.status == 503
    assert "exit code 3" in left.error
    assert_serves_again(server, "leaving")


def test_a_model_that_is_being_restarted_is_unavailable_and_not_unknown(server: Server) -> None:
    """A client that is told 404 gives up; this one should try again."""
    with ThreadPoolExecutor(1) as pool:
        fatal = pool.submit(ask, server.http_port, "slow_to_load", 1)
        until(lambda: not is_ready(server.http_port, "slow_to_load"))
        assert ask(server.http_port, "slow_to_load", 2).status == 503
        assert fatal.result().status == 503
    until(lambda: is_ready(server.http_port, "slow_to_load"), BACK_S)


def test_a_model_that_raises_in_finalize_does_not_hold_up_the_end(server: Server) -> None:
    """That it does not is seen at the end of the module: the server's exit code is 0, and nothing is left."""
    assert_right(ask_all(server.http_port, "last_words", range(4)))
