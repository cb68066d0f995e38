from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.repository import versions


def test_folders_are_sorted_into_versions_and_mistakes() -> None:
    folders = ("1", "10", "2", "0", "007", "v3", "-1", "1.5", "configs", "warmup", "initial_state", str(2**63))
    found = versions.find(folders)
    assert found.versions == (0, 1, 2, 10)
    assert found.ignored == ("007", "v3", "-1", "1.5", str(2**63))


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ({"latest": {"num_versions": 1}}, (10,)),
        ({"latest": {"num_versions": 2}}, (2, 10)),
        ({"latest": {"num_versions": 9}}, (1, 2, 10)),
        ({"all": {}}, (1, 2, 10)),
        ({"specific": {"versions": [10, 1, 7]}}, (1, 10)),
    ],
)
def test_version_policy(policy: dict[str, Any], chosen: tuple[int, ...]) -> None:
    assert versions.choose("m", policy, (1, 2, 10)) == chosen


@pytest.mark.parametrize(
    ("policy", "found", "told"),
    [
        ({"specific": {"versions": [7]}}, (1, 2), "1, 2"),
        ({"latest": {"num_versions": 0}}, (1,), "1"),
        ({"all": {}}, (), "none"),
    ],
)
def test_nothing_left_is_an_error(policy: dict[str, Any], found: tuple[int, ...], told: str) -> None:
    with pytest.raises(versions.NoVersion) as caught:
        versions.choose("m", policy, found)
    assert caught.value.reason() == (
        "Invalid argument: at least one version must be available under the version policy of model 'm' (version"
        f" directories found: {told})"
    )


@given(st.sets(st.integers(0, 2**63 - 1), min_size=1), st.integers(1, 5))
def test_latest_are_the_highest(found: set[int], count: int) -> None:
    parsed = versions.find(map(str, found)).versions
    assert set(parsed) == found
    assert versions.choose("m", {"latest": {"num_versions": count}}, parsed) == tuple(sorted(found))[-count:]
