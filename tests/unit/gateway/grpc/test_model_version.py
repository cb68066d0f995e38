"""Versions as gRPC clients write them."""

from __future__ import annotations

import pytest

from shoal.core.errors import InvalidArgument
from shoal.gateway.grpc.model_version import parse_version


@pytest.mark.parametrize(("text", "version"), [("", None), ("3", 3), (" 1", 1), ("1x", 1), ("+2", 2)])
def test_a_version_is_read_as_strtol_reads_it(text: str, version: int | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["abc", "x1", "-", " ", "99999999999999999999", "9" * 5000, "٣"])
def test_a_text_without_a_number_is_refused_in_tritons_words(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_version(text)
    assert caught.value.message == (
        f"failed to get model version from specified version string '{text}' (details: stol), "
        "version should be an integral value > 0"
    )


@pytest.mark.parametrize("text", ["0", "-1"])
def test_a_version_below_one_is_refused_in_tritons_words(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_version(text)
    assert caught.value.message == f"invalid model version specified '{text}' , version should be an integral value > 0"
