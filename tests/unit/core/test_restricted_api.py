from __future__ import annotations

import pytest

from shoal.core.api_category import Category
from shoal.core.errors import InvalidArgument
from shoal.core.restricted_api import Restriction, parse_restrictions


def test_categories_are_restricted_by_header_and_value() -> None:
    given = ["model-repository,statistics:x-admin=open=sesame", "inference:x-infer=letmein"]
    assert parse_restrictions(given, "api") == {
        Category.MODEL_REPOSITORY: Restriction("x-admin", "open=sesame"),
        Category.STATISTICS: Restriction("x-admin", "open=sesame"),
        Category.INFERENCE: Restriction("x-infer", "letmein"),
    }


def test_metadata_of_grpc_has_a_prefix() -> None:
    restrictions = parse_restrictions(["health:k=v"], "protocol")
    assert restrictions == {Category.HEALTH: Restriction("triton-grpc-protocol-k", "v")}


@pytest.mark.parametrize("text", ["foo", "a:b", ":k=v", "health:=v", "health:k="])
def test_another_form_is_refused_in_tritons_words(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_restrictions([text], "api")
    expected = f"--http-restricted-api option format is '<config name>:<setting>=<value>'. Got {text}"
    assert caught.value.message == expected


def test_an_unknown_category_is_refused_in_tritons_words() -> None:
    with pytest.raises(InvalidArgument, match=r"^unknown restricted protocol 'bogus'; there are health, metadata"):
        parse_restrictions(["health,bogus:k=v"], "protocol")


def test_a_category_may_be_restricted_once() -> None:
    with pytest.raises(
        InvalidArgument, match=r"^restricted api 'health' can not be specified in multiple config groups"
    ):
        parse_restrictions(["health:k=v", "metadata,health:k=v"], "api")
