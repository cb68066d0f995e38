from __future__ import annotations

import pytest

from shoal.core.errors import InvalidArgument
from shoal.gateway.http.infer_headers import InferHeaders, read_headers


def test_known_headers_are_picked() -> None:
    headers = read_headers(
        [
            (b"host", b"x"),
            (b"content-length", b"231"),
            (b"inference-header-content-length", b"99"),
            (b"request-timeout-ms", b"250"),
            (b"accept-encoding", b"gzip"),
        ]
    )
    assert headers == InferHeaders("231", "", "gzip", "99", "250", "")
    assert headers.content_nbytes == 231


def test_encodings_in_several_lines_are_one_list() -> None:
    headers = read_headers([(b"accept-encoding", b"deflate"), (b"accept-encoding", b"gzip")])
    assert headers.accept_encoding == "deflate, gzip"


def test_without_the_header_everything_is_json() -> None:
    assert InferHeaders().json_nbytes(231) == 231


@pytest.mark.parametrize(("text", "expected"), [("99", 99), ("0", 0), ("231", 231), ("ten", 0), ("", 0), ("12x", 12)])
def test_the_length_of_the_json_part_is_read_as_c_would(text: str, expected: int) -> None:
    assert InferHeaders(header_length=text).json_nbytes(231) == expected


@pytest.mark.parametrize("text", ["-5", "232", "99999999999999999999999", "9" * 5000])
def test_a_json_part_larger_than_the_body_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        InferHeaders(header_length=text).json_nbytes(231)
    assert caught.value.message == f"inference header size should be in range (0, 231), got: {text}"


def test_a_timeout_becomes_a_deadline() -> None:
    assert InferHeaders(timeout_ms="250").deadline_s(10.0) == 10.25
    assert InferHeaders().deadline_s(10.0) is None


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "soon", "²", "9" * 16, "9" * 5000])
def test_a_timeout_that_is_no_number_of_milliseconds_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"Unable to parse Request-Timeout-Ms, got: {text};"):
        InferHeaders(timeout_ms=text).deadline_s(10.0)
