"""HTTP exchanges whose bytes may be no request at all, or requests that come otherwise than one by one, whole."""

from __future__ import annotations

from hypothesis import strategies as st

from http_wire import Exchange
from samples import HTTP_SAMPLES, http_request, http_sample_request


@st.composite
def cut(draw: st.DrawFn, request: bytes) -> tuple[bytes, ...]:
    """The pieces of an exchange: the request whole, or cut somewhere."""
    if draw(st.integers(0, 5)):
        return (request,)
    cuts = sorted(draw(st.lists(st.integers(0, len(request)), min_size=1, max_size=4)))
    return tuple(request[start:end] for start, end in zip([0, *cuts], [*cuts, len(request)], strict=True))


_GOOD_BODY, _GOOD_HEADERS = http_sample_request(HTTP_SAMPLES[0])
_GOOD_PATH = HTTP_SAMPLES[0].path
_FRAMING = [
    *(
        b"Content-Length: %d\r\nContent-Length: 5",
        b"Content-Length: %d\r\nTransfer-Encoding: chunked",
        b"Content-Length: -1",
    ),
    *(
        b"Content-Length: +%d",
        b"Content-Length: 0x%x",
        b"Content-Length: %d, %d",
        b"Content-Length:",
        b"Content-Length: \xb2",
    ),
    *(b"Content-Length: 99999999999999999999", b"Content-Length: 18446744073709551615", b"Content-Length: %d0"),
    *(b"Content-Length: 9223372036854775807", b"Content-Length : %d", b" Content-Length: %d", b"Content-Length: %d\n"),
    *(b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: chunked\x0b"),
    *(b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, gzip"),
    *(b"Transfer-Encoding:\r\n chunked", b"TRANSFER-ENCODING: CHUNKED", b"Transfer-Encoding: \x00chunked", b""),
    *(b"Content-Length: %d\r\nUpgrade: h2c\r\nConnection: Upgrade", b"Content-Length: %d\r\nExpect: 100-continue"),
    *(
        b"Content-Length: %d\r\nExpect: nothing",
        b"Content-Length: %d\r\nConnection: close",
        b"Content-Length: %d\r\nTE: trailers",
    ),
    *(b"Content-Length: %d\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: x", b"Content-Length: 5"),
]
_CHUNKS = [
    *(
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n",
        b"5\r\nhel",
        b"-1\r\nx\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nx",
        b"0\r\n",
    ),
    *(
        b"5;a=b\r\nhello\r\n0\r\n\r\n",
        b"5;\x00\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"\r\n",
    ),
    *(
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nA: b\r\n\r\n",
        b"5\r\nhello\r\n0\r\n" + b"A: b\r\n" * 3000 + b"\r\n",
    ),
    *(
        b"1\r\n{\r\n" * 3000 + b"0\r\n\r\n",
        b"5;" + b"e" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"g\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
    ),
]
_REQUEST_LINES = [
    *(
        b"POST %s HTTP/1.1",
        b"POST %s HTTP/1.0",
        b"POST %s HTTP/0.9",
        b"POST %s HTTP/2.0",
        b"POST %s HTTP/1.1 ",
        b"POST %s",
    ),
    *(
        b"POST  %s  HTTP/1.1",
        b"POST\t%s\tHTTP/1.1",
        b"BREW %s HTTP/1.1",
        b"post %s HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01 %s",
    ),
    *(
        b"CONNECT a:80 HTTP/1.1",
        b"POST http://a%s HTTP/1.1",
        b"POST http://[::1 HTTP/1.1",
        b"POST a HTTP/1.1",
        b"%s",
        b"",
    ),
    *(
        b"PRI * HTTP/2.0",
        b"POST %s\x00 HTTP/1.1",
        b"POST %s HTTP/1.1\r",
        b"\r\n\r\nPOST %s HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
    ),
    *(b"POST /" + b"a" * 70_000 + b" HTTP/1.1", b"P" * 70_000),
]
_EXTRA_FIELDS = [
    *(
        b"",
        b"A",
        b": b",
        b"A : b",
        b"A:\x00",
        b"\x00: a",
        b"A: b\r\n c",
        b"\xff: \xff",
        b"A: " + b"b" * 70_000,
        b"A\r: b",
    ),
    *(
        b"A: b\r\n" * 5000 + b"C: d",
        b"Host: b",
        b"Host: a\r\nHost: b",
        b"Connection: keep-alive, close",
        b"Connection: \xff",
    ),
]


@st.composite
def framing_exchanges(draw: st.DrawFn) -> Exchange:
    """Whose bytes may not be a request at all."""
    line = draw(st.sampled_from(_REQUEST_LINES + [_REQUEST_LINES[0]] * 10)).replace(b"%s", _GOOD_PATH)
    framing = draw(st.sampled_from(_FRAMING))
    for mark in (b"%d", b"%x"):
        framing = framing.replace(mark, b"%d" % len(_GOOD_BODY))
    extra = draw(st.sampled_from(_EXTRA_FIELDS + [b""] * 10))
    body = draw(st.one_of(st.just(_GOOD_BODY), st.sampled_from(_CHUNKS), st.binary(max_size=40)))
    end = draw(st.sampled_from([b"\r\n\r\n"] * 8 + [b"\n\n", b"\r\n", b"\r\r\n\n", b""]))
    request = b"\r\n".join(filter(None, (line, b"Host: a", extra, framing))) + end + body
    return Exchange(draw(cut(request)), due=None, is_slow=draw(st.booleans()))


@st.composite
def torn_exchanges(draw: st.DrawFn) -> Exchange:
    """Good requests of which the last one is not sent to its end."""
    sample = draw(st.sampled_from(HTTP_SAMPLES))
    request = http_request(sample.path, *http_sample_request(sample))
    whole = draw(st.integers(0, 3))
    sent = request * whole + request[: draw(st.integers(1, len(request) - 1))]
    return Exchange(draw(cut(sent)), due=None, is_slow=draw(st.booleans()))


@st.composite
def pipelined_exchanges(draw: st.DrawFn) -> Exchange:
    """Several good requests in one go: each must be answered."""
    chosen = draw(st.lists(st.sampled_from(HTTP_SAMPLES[:7]), min_size=2, max_size=12))
    requests = b"".join(http_request(sample.path, *http_sample_request(sample)) for sample in chosen)
    return Exchange(draw(cut(requests)), due=(False,) * len(chosen))
