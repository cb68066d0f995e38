"""The endpoint's options."""

from __future__ import annotations

import argparse

import pytest

from shoal.gateway.grpc.options import GrpcOptions, add_grpc_options, grpc_options


def parse(*arguments: str) -> GrpcOptions:
    parser = argparse.ArgumentParser()
    add_grpc_options(parser)
    return grpc_options(parser.parse_args(arguments))


def test_defaults_are_tritonservers() -> None:
    assert parse() == GrpcOptions()


def test_options_are_read_in_tritonservers_spelling() -> None:
    given = parse(
        "--grpc-address=127.0.0.1",
        "--grpc-port=9",
        "--grpc-transport=grpcio",
        "--reuse-grpc-port=true",
        "--grpc-keepalive-time=1000",
        "--grpc-max-connection-age=5",
    )
    assert given == GrpcOptions(
        address="127.0.0.1",
        port=9,
        transport="grpcio",
        reuse_port=True,
        keepalive_time_ms=1000,
        max_connection_age_ms=5,
    )


def test_the_exit_timeout_is_the_process_s_own() -> None:
    parser = argparse.ArgumentParser()
    add_grpc_options(parser)
    parser.add_argument("--exit-timeout-secs", type=int)
    assert grpc_options(parser.parse_args(["--exit-timeout-secs=7"])).exit_timeout_s == 7


def test_a_boolean_is_true_or_false(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--reuse-grpc-port=maybe")
    assert "invalid value for bool option: maybe" in capsys.readouterr().err


def test_a_message_may_be_as_large_as_what_a_gateway_takes_on() -> None:
    arguments = argparse.Namespace(**vars(_defaults()), max_inflight_bytes=10 * 2**20)
    assert grpc_options(arguments).message_limit_nbytes == 11 * 2**20
    arguments.max_inflight_bytes = 2**40
    assert grpc_options(arguments).message_limit_nbytes == 2**31 - 1


def _defaults() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_grpc_options(parser)
    return parser.parse_args([])
