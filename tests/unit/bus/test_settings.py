from __future__ import annotations

import pytest

from shoal.bus.settings import BusSettings
from shoal.core.errors import InvalidArgument


def test_addresses_of_one_cluster_are_separated_by_commas() -> None:
    settings = BusSettings(url="nats://a:4222, tls://b:4222,")
    assert settings.servers == ("nats://a:4222", "tls://b:4222")


def test_secrets_do_not_appear_when_printed() -> None:
    assert "hush" not in repr(BusSettings(token="hush"))
    assert "hush" not in repr(BusSettings(user="u", password="hush"))


@pytest.mark.parametrize("namespace", ["", "a.b", "a b", "a>", "x" * 65, "a\r\nPUB x 0"])
def test_namespace_that_subjects_do_not_take_is_refused(namespace: str) -> None:
    with pytest.raises(InvalidArgument, match="namespace"):
        BusSettings(namespace=namespace)


def test_other_transports_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="neither nats:// nor tls://"):
        BusSettings(url="ws://broker:8080")


def test_contradicting_credentials_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="token was given together"):
        BusSettings(token="t", user="u", password="p")
    with pytest.raises(InvalidArgument, match="without a password"):
        BusSettings(user="u")
    with pytest.raises(InvalidArgument, match="belong together"):
        BusSettings(tls_cert="client.pem")
