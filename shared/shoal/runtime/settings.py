"""How a process is told which broker to join: options, then the environment, then defaults.

Secrets (token, password) have no option, since command lines are visible to every user of a machine; they come by
environment, as the seat does, which a supervisor gives. `to_environment` is how a supervisor hands its own settings to
the services it starts.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from shoal.bus import BusSettings
from shoal.core.errors import InvalidArgument

#: The place of a process under its supervisor; see `BusSettings.seat`.
SEAT = "SHOAL_SEAT"


class BusOption(NamedTuple):
    """One field of `BusSettings`: its environment variable, and its option (None for one that has none)."""

    field: str
    environment: str
    flag: str | None
    metavar: str
    help: str


BUS_OPTIONS: tuple[BusOption, ...] = (
    BusOption("url", "SHOAL_NATS_URL", "--nats-url", "URL", "broker to join, e.g. nats://host:4222 or tls://host:4222"),
    BusOption("namespace", "SHOAL_NAMESPACE", "--namespace", "NAME", "first token of every subject and bucket"),
    BusOption("user", "SHOAL_NATS_USER", "--nats-user", "NAME", "user name; its password is SHOAL_NATS_PASSWORD"),
    BusOption("password", "SHOAL_NATS_PASSWORD", None, "", ""),
    BusOption("token", "SHOAL_NATS_TOKEN", None, "", ""),
    BusOption("creds_file", "SHOAL_NATS_CREDS", "--nats-creds", "FILE", "credentials file (user JWT and seed)"),
    BusOption("tls_ca", "SHOAL_NATS_TLS_CA", "--nats-tls-ca", "FILE", "PEM file of the authority to trust"),
    BusOption("tls_cert", "SHOAL_NATS_TLS_CERT", "--nats-tls-cert", "FILE", "PEM file of the client's certificate"),
    BusOption("tls_key", "SHOAL_NATS_TLS_KEY", "--nats-tls-key", "FILE", "PEM file of the client's private key"),
    BusOption(
        "connect_timeout_s",
        "SHOAL_NATS_CONNECT_TIMEOUT_S",
        "--nats-connect-timeout",
        "SECONDS",
        "how long to wait for the broker at start",
    ),
    BusOption("seat", SEAT, None, "", ""),
)


def add_bus_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every field that has one. An option left out is None: see `bus_settings`."""
    group = parser.add_argument_group("broker", "Each also as environment variable; secrets only so.")
    for option in BUS_OPTIONS:
        if option.flag is not None:
            text = f"{option.help} [{option.environment}]"
            group.add_argument(option.flag, dest=f"bus_{option.field}", metavar=option.metavar, help=text)


def bus_settings(arguments: argparse.Namespace, environment: Mapping[str, str]) -> BusSettings:
    """The settings of a process whose parser had `add_bus_options`.

    Raises InvalidArgument when a value cannot be read or options contradict each other.
    """
    found: dict[str, str] = {}
    for option in BUS_OPTIONS:
        value = getattr(arguments, f"bus_{option.field}", None) or environment.get(option.environment)
        if value:
            found[option.field] = value
    return from_fields(found)


def from_fields(fields: Mapping[str, str]) -> BusSettings:
    """`BusSettings` from texts by field name; fields left out keep their defaults.

    Raises InvalidArgument when a value cannot be read or options contradict each other.
    """
    texts = dict(fields)
    timeout = texts.pop("connect_timeout_s", None)
    settings = BusSettings(**texts)  # type: ignore[arg-type]  # the one field that is no text was taken out
    return settings if timeout is None else replace(settings, connect_timeout_s=_seconds(timeout))


def to_environment(settings: BusSettings) -> dict[str, str]:
    """The environment that makes another process join the same broker in the same way, secrets included."""
    values = ((option.environment, getattr(settings, option.field)) for option in BUS_OPTIONS)
    return {name: str(value) for name, value in values if value is not None}


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise InvalidArgument(f"--nats-connect-timeout is '{text}', expected a number of seconds above 0")
    return seconds
