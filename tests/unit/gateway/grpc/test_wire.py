"""Cutting a message apart gives what protobuf would have parsed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from shoal.gateway.grpc.schema import service_pb2
from shoal.gateway.grpc.wire import field_prefix, split_field
from shoal.gateway.scattered import joined


def pieces_of(data: bytes, cuts: list[int]) -> list[memoryview]:
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [memoryview(data)[start:stop] for start, stop in pairwise(borders)]


CUTS = st.lists(st.integers(0, 2000), max_size=6)


@given(
    st.text(max_size=20), st.lists(st.binary(max_size=300), max_size=5), st.lists(st.text(max_size=5), max_size=3), CUTS
)
def test_a_split_message_has_the_same_content(name: str, raw: list[bytes], inputs: list[str], cuts: list[int]) -> None:
    whole = service_pb2.ModelInferRequest(model_name=name, raw_input_contents=raw)
    for text in inputs:
        whole.inputs.add(name=text, shape=[-1, 2**40])
    rest, values = split_field(pieces_of(whole.SerializeToString(), cuts), 7)
    parsed = service_pb2.ModelInferRequest.FromString(rest)
    assert [bytes(joined(value)) for value in values] == raw
    del whole.raw_input_contents[:]
    assert parsed == whole


@given(st.binary(max_size=40), CUTS)
def test_any_bytes_are_split_or_refused(data: bytes, cuts: list[int]) -> None:
    try:
        rest, values = split_field(pieces_of(data, cuts), 7)
    except DecodeError:
        return
    assert len(rest) + sum(map(len, values)) <= len(data)


def test_values_are_views_of_the_message() -> None:
    message = service_pb2.ModelInferRequest(raw_input_contents=[b"abc"]).SerializeToString()
    _, (value,) = split_field([message], 7)
    assert isinstance(value, memoryview)
    assert value.obj is message


@pytest.mark.parametrize("data", [b"\x3a\x05abc", b"\x3a", b"\xff" * 11, b"\x3b\x00", b"\x09\x00"])
def test_a_message_that_is_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        split_field([data], 7)


def test_a_message_of_too_many_fields_is_refused() -> None:
    with pytest.raises(DecodeError, match="more than 16384 fields"):
        split_field([bytes(2) * 2**20], 7)
    with pytest.raises(DecodeError, match="more than 16384 fields"):
        split_field([b"\x3a\0" * 20_000], 7)


@given(st.integers(0, 2**31))
def test_a_field_prefix_is_what_protobuf_writes(nbytes: int) -> None:
    prefix = field_prefix(6, nbytes)
    if nbytes <= 300:
        message = service_pb2.ModelInferResponse.FromString(prefix + bytes(nbytes))
        assert message.raw_output_contents[0] == bytes(nbytes)
    assert prefix[0] == 0x32
