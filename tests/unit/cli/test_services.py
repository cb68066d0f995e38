from __future__ import annotations

from pathlib import Path

import pytest

from shoal.bus import BusSettings, EmbeddedBroker
from shoal.cli.command_line import parse
from shoal.cli.option_table import OPTIONS
from shoal.cli.serve_options import ServeOptions, resolve
from shoal.cli.services import broker_command, service_commands, service_environment
from shoal.telemetry.log_settings import LogSettings, from_environment

ENVIRONMENT = {"SHOAL_SHM_SERVER": "s1"}
SECRET = BusSettings(url="nats://127.0.0.1:1", token="s3cr3t")
BROKER = EmbeddedBroker(("nats-server", "-c", "f"), SECRET)


def options(tmp_path: Path, *argv: str) -> ServeOptions:
    return resolve(parse([f"--model-repository={tmp_path}", *argv], OPTIONS), {})


def test_who_lets_requests_in_is_drained_first_and_the_broker_last(tmp_path: Path) -> None:
    supervised = [broker_command(BROKER, tmp_path), *service_commands(options(tmp_path), ENVIRONMENT)]
    order = [command.name for command in sorted(supervised, key=lambda command: command.stage)]
    assert order == ["HTTP gateway", "gRPC gateway", "repository", "scheduler", "agent", "broker"]


def test_a_protocol_that_is_not_allowed_has_no_gateway(tmp_path: Path) -> None:
    names = {command.name for command in service_commands(options(tmp_path, "--allow-grpc=false"), ENVIRONMENT)}
    assert names == {"repository", "scheduler", "agent", "HTTP gateway"}


def test_secrets_travel_in_the_environment_only(tmp_path: Path) -> None:
    chosen = options(tmp_path)
    environment = service_environment(chosen, SECRET, tmp_path, "s1")
    assert environment["SHOAL_NATS_TOKEN"] == "s3cr3t"
    for command in [broker_command(BROKER, tmp_path), *service_commands(chosen, environment)]:
        assert "s3cr3t" not in " ".join(command.argv)
        assert "s3cr3t" not in repr(command)


def test_every_service_logs_as_asked_for(tmp_path: Path) -> None:
    chosen = options(tmp_path, "--log-verbose=1", "--log-file=server.log")
    environment = service_environment(chosen, SECRET, tmp_path, "s1")
    assert from_environment(environment) == LogSettings(verbose_level=1)
    assert environment["SHOAL_LOG_FILE"] == "server.log"


def test_temporary_files_of_services_go_to_the_private_folder(tmp_path: Path) -> None:
    assert service_environment(options(tmp_path), SECRET, tmp_path, "s1")["TMPDIR"] == str(tmp_path)


def test_every_service_knows_its_share_of_the_shared_memory_and_whose_it_is(tmp_path: Path) -> None:
    environment = service_environment(options(tmp_path, "--shm-limit=1048576"), SECRET, tmp_path, "s1")
    assert (environment["SHOAL_SHM_LIMIT"], environment["SHOAL_SHM_SERVER"]) == ("1048576", "s1")


@pytest.mark.parametrize(("flags", "told"), [((), "false"), (("--allow-client-shm=true",), "true")])
def test_both_gateways_know_whether_clients_may_register_memory(
    tmp_path: Path, flags: tuple[str, ...], told: str
) -> None:
    commands = service_commands(options(tmp_path, *flags), ENVIRONMENT)
    assert sum(f"--allow-client-shm={told}" in command.argv for command in commands) == 2


def test_a_foreign_program_is_launched_so_that_it_dies_with_the_supervisor(tmp_path: Path) -> None:
    command = broker_command(BROKER, tmp_path)
    assert list(command.argv[1:]) == ["-m", "shoal.runtime.launch", "--", "nats-server", "-c", "f"]


@pytest.mark.parametrize("flag", ["--grpc-keepalive-time=5000", "--grpc-infer-response-compression-level=low"])
def test_options_for_connections_reach_the_grpc_gateway_alone(tmp_path: Path, flag: str) -> None:
    commands = service_commands(options(tmp_path, flag), ENVIRONMENT)
    takers = {command.name for command in commands if flag in command.argv}
    assert takers == {"gRPC gateway"}


def test_options_for_access_reach_the_gateways_that_they_are_for(tmp_path: Path) -> None:
    flags = [
        "--http-restricted-api=health:a=b",
        "--http-restricted-api=metadata:c=d",
        "--grpc-restricted-protocol=health:a=b",
        "--max-inflight-requests=5",
    ]
    commands = {command.name: command.argv for command in service_commands(options(tmp_path, *flags), ENVIRONMENT)}
    assert [flag for flag in flags if flag in commands["HTTP gateway"]] == [flags[0], flags[1], flags[3]]
    assert [flag for flag in flags if flag in commands["gRPC gateway"]] == flags[2:]
    assert not set(flags) & set(commands["scheduler"])


def test_several_gateway_processes_serve_each_protocol(tmp_path: Path) -> None:
    commands = service_commands(options(tmp_path, "--gateway-processes=2"), ENVIRONMENT)
    gateways = {command.name: list(command.argv) for command in commands if "gateway" in command.name}
    assert sorted(gateways) == ["HTTP gateway 1", "HTTP gateway 2", "gRPC gateway 1", "gRPC gateway 2"]
    assert gateways["HTTP gateway 1"] == gateways["HTTP gateway 2"]


def test_each_process_has_a_seat_of_its_own_that_the_one_after_it_takes(tmp_path: Path) -> None:
    commands = service_commands(options(tmp_path), ENVIRONMENT)
    seats = [command.environment["SHOAL_SEAT"] for command in commands]
    assert "s1/scheduler" in seats
    assert len(set(seats)) == len(commands)
