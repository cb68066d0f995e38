"""What a client reads when a call fails."""

from __future__ import annotations

from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from shoal.gateway.grpc.status import INTERNAL, RpcError, encode_message


@given(st.text(max_size=50))
def test_every_text_survives_its_encoding(text: str) -> None:
    encoded = encode_message(text)
    assert all(0x20 <= byte < 0x7F for byte in encoded)
    assert unquote(encoded.decode()) == text


def test_plain_text_stays_readable() -> None:
    assert encode_message("input 'X': 100% wrong\n") == b"input 'X': 100%25 wrong%0A"


@given(st.sampled_from(["a", "\n", "ß", "漢"]))
def test_long_texts_are_cut_to_what_clients_accept(character: str) -> None:
    message = RpcError(INTERNAL, character * 10_000).message
    assert message.startswith(character * 700) and message.endswith("...")
    assert len(encode_message(message)) < 7100


def test_spaces_at_the_ends_of_a_text_are_encoded() -> None:
    assert encode_message("  got [4]. ") == b"%20%20got [4].%20"
    assert encode_message("  ") == b"%20%20"


def test_short_texts_are_not_touched() -> None:
    assert RpcError(INTERNAL, "ß" * 1000).message == "ß" * 1000
