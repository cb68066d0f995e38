from __future__ import annotations

import argparse

import pytest

from shoal.bus import BusSettings
from shoal.core.errors import InvalidArgument
from shoal.runtime.settings import BUS_OPTIONS, add_bus_options, bus_settings, from_fields, to_environment


def settings(argv: list[str], environment: dict[str, str]) -> BusSettings:
    parser = argparse.ArgumentParser()
    add_bus_options(parser)
    return bus_settings(parser.parse_args(argv), environment)


def test_defaults_are_those_of_the_bus() -> None:
    assert settings([], {}) == BusSettings()


def test_options_win_over_the_environment() -> None:
    environment = {"SHOAL_NATS_URL": "nats://other:1", "SHOAL_NAMESPACE": "one"}
    found = settings(["--nats-url=nats://here:2"], environment)
    assert (found.url, found.namespace) == ("nats://here:2", "one")


def test_an_empty_variable_says_nothing() -> None:
    assert settings([], {"SHOAL_NATS_TOKEN": "", "SHOAL_NAMESPACE": ""}) == BusSettings()


def test_secrets_and_the_seat_come_by_environment_only() -> None:
    assert {option.field for option in BUS_OPTIONS if option.flag is None} == {"token", "password", "seat"}
    assert settings([], {"SHOAL_NATS_TOKEN": "t"}).token == "t"


def test_settings_travel_through_the_environment_unchanged() -> None:
    given = BusSettings(
        url="tls://broker:4222",
        namespace="two",
        user="u",
        password="p",
        tls_ca="ca.pem",
        tls_cert="cert.pem",
        tls_key="key.pem",
        connect_timeout_s=2.5,
    )
    assert settings([], to_environment(given)) == given


def test_every_field_of_the_settings_has_an_option() -> None:
    assert [option.field for option in BUS_OPTIONS if not hasattr(BusSettings(), option.field)] == []
    assert len(BUS_OPTIONS) == len(BusSettings.__dataclass_fields__)


@pytest.mark.parametrize("text", ["soon", "0", "-1"])
def test_a_bad_timeout_names_its_option(text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"--nats-connect-timeout is '{text}'"):
        from_fields({"connect_timeout_s": text})
