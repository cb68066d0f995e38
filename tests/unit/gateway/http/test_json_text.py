from __future__ import annotations

import math
import time

import pytest

from shoal.core.errors import InternalError, InvalidArgument
from shoal.gateway.http.json_text import parse


def test_plain_json_is_read() -> None:
    assert parse(b' {"a": [1, -2.5, true, null, "\\u00e9"]}\n') == {"a": [1, -2.5, True, None, "é"]}


def test_numbers_that_are_not_finite_are_read() -> None:
    nan, *infinite = parse(b"[NaN, Inf, Infinity, -Inf, -Infinity]")
    assert math.isnan(nan)
    assert infinite == [math.inf, math.inf, -math.inf, -math.inf]


def test_inf_inside_a_text_stays_a_text() -> None:
    assert parse(b'["Inf \\" Inf", Inf]') == ['Inf " Inf', math.inf]


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b"\xef\xbb\xbf[1]") == [1]


def test_bytes_that_are_not_utf8_survive_as_surrogate_escapes() -> None:
    (text,) = parse(b'["\xff\xfe"]')
    assert text.encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_the_first_of_two_members_counts() -> None:
    assert parse(b'{"inputs":[],"inputs":[1]}') == {"inputs": []}


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"18446744073709551616", float(2**64)),
        (b"-9223372036854775809", float(-(2**63))),
    ],
)
@pytest.mark.parametrize("more", [b"", b", NaN"])
def test_integers_beyond_64_bits_become_doubles(digits: bytes, expected: float, more: bytes) -> None:
    value = parse(b"[" + digits + more + b"]")[0]
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{", "Missing a name for object member. at 1"),
        (b"[1e999]", "Number too big to be stored in double. at 1"),
        (b'["\\ud83d"]', "The surrogate pair in string is invalid. at 2"),
        (b"[] x", "The document root must not be followed by other values. at 3"),
        (b"", "The document is empty. at 0"),
    ],
)
def test_what_is_no_json_is_refused_with_reason_and_offset(text: bytes, expected: str) -> None:
    with pytest.raises(InternalError) as caught:
        parse(text)
    assert caught.value.message == f"failed to parse the request JSON buffer: {expected}"


def test_a_huge_document_is_refused_without_reading_it_once_more() -> None:
    with pytest.raises(InternalError, match=r"failed to parse the request JSON buffer: Invalid value. at"):
        parse(b"[" + b"1," * 1_000_000)


def test_nesting_beyond_what_can_be_followed_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="nesting depth"):
        parse(b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize("digits", [b"1" * 5000, b"-" + b"1" * 5000])
@pytest.mark.parametrize("more", [b"", b", NaN"])
def test_an_integer_of_thousands_of_digits_is_refused(digits: bytes, more: bytes) -> None:
    with pytest.raises(InternalError, match=r"Number too big to be stored in double\. at 1"):
        parse(b"[" + digits + more + b"]")


@pytest.mark.parametrize("end", [b"", b"\\"])
def test_texts_without_an_end_do_not_take_quadratic_time(end: bytes) -> None:
    started = time.process_time()
    with pytest.raises(InternalError):
        parse(b"Inf" + b'\\"' * 50_000 + end)
    assert time.process_time() - started < 1.0


def test_a_lone_surrogate_in_a_huge_document_is_refused() -> None:
    with pytest.raises(InternalError, match="The surrogate pair in string is invalid"):
        parse(b'["\\ud83d"' + b",1" * 600_000 + b"]")
    assert parse(b'[NaN,"\\ud83d\\ude00"' + b",1" * 600_000 + b"]")[1] == "\U0001f600"
