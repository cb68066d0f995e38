from __future__ import annotations

from pathlib import Path

import pytest

from shoal.bus import BusSettings
from shoal.cli.command_line import UsageError, parse
from shoal.cli.option_table import OPTIONS
from shoal.cli.serve_options import Endpoint, ServeOptions, check_ports, resolve
from shoal.telemetry.log_settings import LogSettings


def options(tmp_path: Path, *argv: str, environment: dict[str, str] | None = None) -> ServeOptions:
    return resolve(parse([f"--model-repository={tmp_path}", *argv], OPTIONS), environment or {})


def complaint(*argv: str) -> str:
    with pytest.raises(UsageError) as raised:
        resolve(parse(argv, OPTIONS), {})
    return str(raised.value)


def test_the_defaults_are_tritons(tmp_path: Path) -> None:
    found = options(tmp_path)
    assert (found.server_id, found.exit_timeout_s, found.exit_on_error) == ("triton", 30, True)
    assert found.http == Endpoint("0.0.0.0", 8000, False)
    assert found.grpc == Endpoint("0.0.0.0", 8001, False)
    assert (found.log, found.log_file, found.broker) == (LogSettings(), None, None)


def test_repositories_of_both_names_are_served(tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    assert options(tmp_path, f"--model-store={second}").repositories == (tmp_path.resolve(), second.resolve())


def test_the_limit_of_shared_memory_comes_from_the_option_or_the_environment(tmp_path: Path) -> None:
    environment = {"SHOAL_SHM_LIMIT": "5000000000"}
    assert options(tmp_path).shm_limit_nbytes is None
    assert options(tmp_path, environment=environment).shm_limit_nbytes == 5_000_000_000
    assert options(tmp_path, "--shm-limit=0", environment=environment).shm_limit_nbytes == 0


def test_a_limit_of_shared_memory_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SHOAL_SHM_LIMIT is '1GiB'"):
        options(tmp_path, environment={"SHOAL_SHM_LIMIT": "1GiB"})


def test_a_repository_must_be_given() -> None:
    assert complaint() == "--model-repository must be specified"


def test_a_repository_must_be_a_directory(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert complaint(f"--model-repository={missing}") == f"repository path is not a valid directory: '{missing}'"


def test_a_repository_in_the_cloud_is_refused() -> None:
    assert "only local directories" in complaint("--model-repository=s3://bucket/models")


def test_models_to_load_need_explicit_mode(tmp_path: Path) -> None:
    assert complaint(f"--model-repository={tmp_path}", "--load-model=a") == (
        "Error: Use of '--load-model' requires setting '--model-control-mode=explicit' as well."
    )


def test_every_model_must_be_asked_for_alone(tmp_path: Path) -> None:
    argv = [f"--model-repository={tmp_path}", "--model-control-mode=explicit", "--load-model=*", "--load-model=a"]
    assert complaint(*argv) == "Wildcard model name '*' must be the ONLY startup model if specified at all."


def test_only_one_cache_may_be_configured(tmp_path: Path) -> None:
    argv = [f"--model-repository={tmp_path}", "--cache-config=local,size=1"]
    assert "only a single cache is currently supported" in complaint(*argv, "--cache-config=redis,host=x")
    assert "Incompatible flags" in complaint(*argv, "--response-cache-byte-size=1")


def test_the_name_of_a_configuration_must_not_be_empty(tmp_path: Path) -> None:
    assert complaint(f"--model-repository={tmp_path}", "--model-config-name=") == (
        "Error: empty argument for --model-config-name"
    )


def test_two_services_at_one_place_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--http-port and --grpc-port are both 9000 at 0\.0\.0\.0"):
        check_ports(parse(["--http-port=9000", "--grpc-port=9000"], OPTIONS))
    check_ports(parse(["--http-port=9000", "--grpc-port=9000", "--allow-grpc=false"], OPTIONS))
    check_ports(parse(["--http-port=9000", "--grpc-port=9000", "--grpc-address=127.0.0.1"], OPTIONS))


def test_an_endpoint_that_is_not_allowed_is_none(tmp_path: Path) -> None:
    assert options(tmp_path, "--allow-grpc=off").grpc is None


@pytest.mark.parametrize(
    ("argv", "log"),
    [
        (["--log-verbose=true", "--log-info=false"], LogSettings(verbose_level=1, info=False)),
        (["--log-warning=false", "--log-error=false"], LogSettings(warning=False, error=False)),
        (["--log-format=iso8601"], LogSettings(format="ISO8601")),
        (["--log-format=default"], LogSettings(format="default")),
    ],
)
def test_switches_of_the_log_are_kept_apart(tmp_path: Path, argv: list[str], log: LogSettings) -> None:
    assert options(tmp_path, *argv).log == log


def test_a_broker_is_joined_with_its_secrets_from_the_environment(tmp_path: Path) -> None:
    found = options(tmp_path, "--nats-url=nats://b:1", "--namespace=n", environment={"SHOAL_NATS_TOKEN": "t"})
    assert found.broker == BusSettings(url="nats://b:1", namespace="n", token="t")


def test_credentials_without_a_broker_to_join_are_refused(tmp_path: Path) -> None:
    text = complaint(f"--model-repository={tmp_path}", "--nats-creds=file")
    assert text == "options for a broker (creds_file) without --nats-url: which one to join?"


def test_settings_of_the_broker_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    text = complaint(f"--model-repository={tmp_path}", "--nats-url=nats://b:1", "--nats-tls-cert=c")
    assert "belong together" in text


def test_the_deprecated_name_for_complete_configurations_works(tmp_path: Path) -> None:
    assert not options(tmp_path, "--strict-model-config=true").auto_complete_config


def test_protection_that_cannot_be_given_is_no_reason_to_serve_without(tmp_path: Path) -> None:
    text = complaint(f"--model-repository={tmp_path}", "--grpc-use-ssl=true")
    assert text == "grpc over TLS needs --grpc-server-cert, a PEM file"


def test_protection_that_was_declined_is_not_missed(tmp_path: Path) -> None:
    assert options(tmp_path, "--grpc-use-ssl=false").grpc is not None
