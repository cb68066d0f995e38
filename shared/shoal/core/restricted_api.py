"""Restricted parts of the protocol: what `--http-restricted-api` and `--grpc-restricted-protocol` say.

A value is `<category>[,<category>...]:<key>=<value>`; a category may appear once. Texts are tritonserver's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from shoal.core.api_category import Category
from shoal.core.errors import InvalidArgument

#: How the two options call what they restrict.
Feature = Literal["api", "protocol"]

#: What stands before the key in the metadata of a gRPC call.
GRPC_PREFIX = "triton-grpc-protocol-"

_OPTION: dict[Feature, str] = {"api": "http-restricted-api", "protocol": "grpc-restricted-protocol"}
_PREFIX: dict[Feature, str] = {"api": "", "protocol": GRPC_PREFIX}


class Restriction(NamedTuple):
    """A category is open to who sends this header (gRPC: metadata) with this value."""

    header: str
    value: str


Restrictions = Mapping[Category, Restriction]


def parse_restrictions(given: Iterable[str], feature: Feature) -> dict[Category, Restriction]:
    """The restrictions of all values of an option. Raises InvalidArgument for an unknown category, for one that
    appears twice, and for a value of another form."""
    restrictions: dict[Category, Restriction] = {}
    for text in given:
        categories, _, condition = text.partition(":")
        key, _, value = condition.partition("=")
        if not (categories and key and value):
            raise InvalidArgument(
                f"--{_OPTION[feature]} option format is '<config name>:<setting>=<value>'. Got {text}"
            )
        for name in categories.split(","):
            category = _category(name, feature)
            if category in restrictions:
                raise InvalidArgument(f"restricted {feature} '{name}' can not be specified in multiple config groups")
            restrictions[category] = Restriction(_PREFIX[feature] + key, value)
    return restrictions


def _category(name: str, feature: Feature) -> Category:
    try:
        return Category(name)
    except ValueError:
        known = ", ".join(Category)
        raise InvalidArgument(f"unknown restricted {feature} '{name}'; there are {known}") from None
