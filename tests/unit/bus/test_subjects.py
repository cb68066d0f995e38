from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.bus import subjects

names = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


def test_safe_characters_stay_and_others_become_their_bytes() -> None:
    assert subjects.escape("resnet-50_v2") == "resnet-50_v2"
    assert subjects.escape("a.b/c=*>") == "a=2Eb=2Fc=3D=2A=3E"
    assert subjects.escape("é") == "=C3=A9"


@given(names)
def test_token_is_one_safe_word_and_gives_the_name_back(name: str) -> None:
    token = subjects.escape(name)
    assert re.fullmatch(r"[A-Za-z0-9_=-]{1,128}", token)
    if not subjects.is_digest(token):
        assert subjects.unescape(token) == name


@given(names, names)
def test_different_names_have_different_tokens(one: str, other: str) -> None:
    assert (subjects.escape(one) == subjects.escape(other)) == (one == other)


def test_long_name_becomes_a_digest_that_cannot_be_read() -> None:
    assert not subjects.is_digest(subjects.escape("x" * 128))
    token = subjects.escape("x" * 129)
    assert subjects.is_digest(token)
    with pytest.raises(ValueError, match="digest"):
        subjects.unescape(token)


def test_empty_name_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        subjects.escape("")


def test_everything_starts_with_the_namespace() -> None:
    assert subjects.inbox("ns", "gateway-1") == "ns.inbox.gateway-1"
    assert subjects.replies("ns", "gateway-1") == "ns.reply.gateway-1"
    assert subjects.heartbeats("ns", "agent") == "ns.heartbeat.agent"
    assert subjects.bucket("ns", "desired") == "ns-desired"
