"""HTTP exchanges for hypothesis: requests that are well framed, whatever they ask for."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import strategies as st

from fuzz_models import BATCHED, PAIR, STREAM, TEXT, TYPES
from http_framing import cut, framing_exchanges, pipelined_exchanges, torn_exchanges
from http_wire import Exchange
from json_strategies import HOSTILE_TEXTS, VALUES, edited, render
from samples import HTTP_SAMPLES, REGION, HttpSample, http_request

_MODELS = [BATCHED, PAIR, TEXT, TYPES, STREAM, "nobody"]
_NAMES = st.one_of(
    st.sampled_from(
        [
            *("id", "inputs", "outputs", "parameters", "name", "datatype", "shape", "data", "binary_data_size"),
            *("binary_data", "binary_data_output", "classification", "shared_memory_region", "shared_memory_offset"),
            *("shared_memory_byte_size", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"),
            *("triton_x", "triton_final_response", "headers", "IN", "OUT", "stream", "text_input"),
        ]
    ),
    st.text(max_size=10),
)
#: What may stand in a header's value: anything else ends the connection, which is another matter.
_HEADER_TEXT = st.binary(max_size=30).map(lambda text: bytes(byte for byte in text if byte >= 0x20 and byte != 0x7F))
_LENGTHS = st.one_of(
    st.integers(-2, 400).map(lambda number: b"%d" % number),
    st.sampled_from(
        [
            b"",
            b" ",
            b"-0",
            b"+5",
            b"0x10",
            b"5.0",
            b"1e3",
            b"9" * 30,
            b"9" * 5000,
            b"abc",
            b"5 5",
            b"5,5",
            b"\xb2",
            b"\xff",
            b"NaN",
        ]
    ),
)
_ENCODINGS = [b"gzip", b"deflate", b"identity", b"br", b"GZIP", b"gzip, gzip", b"", b"x" * 300, b"\xff"]
_METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"HEAD"]


#: Small bodies, with their headers, that become larger than a server takes.
_BOMB = bytes(65 * 2**20)
BOMBS = [
    (gzip.compress(_BOMB), {b"Content-Encoding": b"gzip"}),
    (zlib.compress(_BOMB), {b"Content-Encoding": b"deflate"}),
    (zlib.compress(bytes(2**22)), {b"Content-Encoding": b"deflate"}),
]


@st.composite
def infer_exchanges(draw: st.DrawFn) -> Exchange:
    """A model is asked, in a way that is well framed: each must be answered."""
    sample: HttpSample = draw(st.sampled_from(HTTP_SAMPLES))
    document = draw(edited(sample.document, _NAMES))
    tail = draw(_tails(sample.tail)) if sample.tail is not None else b""
    headers = {b"Inference-Header-Content-Length": b"%d" % len(document)} if sample.tail is not None else {}
    body = document + tail
    if draw(st.integers(0, 3)) == 0:
        headers[b"Inference-Header-Content-Length"] = draw(_LENGTHS)
    if draw(st.integers(0, 4)) == 0:
        body, headers[b"Content-Encoding"] = draw(_encoded(body))
    for name in draw(
        st.lists(st.sampled_from([b"Accept-Encoding", b"Request-Timeout-Ms", b"traceparent"]), max_size=2)
    ):
        headers[name] = draw(
            st.one_of(_HEADER_TEXT, _LENGTHS, st.sampled_from([b"gzip;q=nan", b"gzip", b"deflate;q=1e999"]))
        )
    action = draw(st.sampled_from([sample.action] * 8 + ["infer", "generate", "generate_stream"]))
    version = draw(st.sampled_from([b""] * 8 + [b"/versions/1", b"/versions/2", b"/versions/" + b"9" * 4000]))
    path = b"/v2/models/%s%s/%s" % (sample.model.encode(), version, action.encode())
    return draw(_sent(path, body, headers))


@st.composite
def _tails(draw: st.DrawFn, tail: bytes) -> bytes:
    """Tensor bytes, cut, with too many of them, or others."""
    match draw(st.integers(0, 5)):
        case 0:
            return tail[: draw(st.integers(0, len(tail)))]
        case 1:
            return tail + draw(st.binary(min_size=1, max_size=8))
        case 2:
            return draw(st.binary(min_size=4, max_size=4)) + tail[4:]
    return tail


@st.composite
def _encoded(draw: st.DrawFn, body: bytes) -> tuple[bytes, bytes]:
    """A body and its `Content-Encoding`, which may be another one."""
    packed = draw(
        st.sampled_from(
            [gzip.compress(body, 1), zlib.compress(body, 1), body, b"", zlib.compress(body, 1)[2:], gzip.compress(b"")]
        )
    )
    match draw(st.integers(0, 5)):
        case 0:
            packed = packed[: draw(st.integers(0, len(packed)))]
        case 1:
            packed += draw(st.binary(min_size=1, max_size=40))
    if draw(st.integers(0, 40)) == 0:
        bomb, headers = draw(st.sampled_from(BOMBS))
        return bomb, headers[b"Content-Encoding"]
    return packed, draw(st.sampled_from(_ENCODINGS))


@st.composite
def _sent(draw: st.DrawFn, path: bytes, body: bytes, headers: dict[bytes, bytes]) -> Exchange:
    """The request whole or in pieces, with its length or in chunks."""
    is_chunked = draw(st.integers(0, 4)) == 0
    if is_chunked:
        size = draw(st.integers(1, max(1, len(body))))
        chunks = [body[start : start + size] for start in range(0, len(body), size)][:200]
        if sum(map(len, chunks)) < len(body):
            chunks.append(body[sum(map(len, chunks)) :])
        encoded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        fields = b"".join(b"%s: %s\r\n" % field for field in headers.items())
        request = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n%s\r\n" % (path, fields) + encoded
    else:
        request = http_request(path, body, headers)
    return Exchange(draw(cut(request)), due=(False,))


_SEGMENTS = st.one_of(
    st.sampled_from(
        [
            *(name.encode() for name in (*_MODELS, REGION)),
            *(
                b"stats",
                b"..",
                b".",
                b"%2e%2e",
                b"%00",
                b"%",
                b"%ff",
                b"a%2Fb",
                b"\xff\xfe",
                b"\xc3\xbc",
                b"versions",
                b"1",
            ),
            *(b"x" * 300, b"x" * 5000, b"'", b'"', b"<b>", b"${a}", b"{name}", b"a?b", b"a#b", b"-1", b"1e3"),
        ]
    ),
    st.binary(min_size=1, max_size=12).map(
        lambda text: bytes(byte for byte in text if byte > 32 and byte != 127) or b"x"
    ),
)
_ROUTES = [
    *(
        b"/v2",
        b"/v2/",
        b"/",
        b"*",
        b"",
        b"//",
        b"/v2/health/live",
        b"/v2/health/ready",
        b"/v2/models",
        b"/v2/models/stats",
    ),
    *(
        b"/v2/models/%s",
        b"/v2/models/%s/ready",
        b"/v2/models/%s/config",
        b"/v2/models/%s/stats",
        b"/v2/models/%s/infer",
    ),
    *(
        b"/v2/models/%s/generate",
        b"/v2/models/%s/generate_stream",
        b"/v2/models/%s/trace/setting",
        b"/v2/trace/setting",
    ),
    *(b"/v2/models/%s/versions/%s", b"/v2/models/%s/versions/%s/ready", b"/v2/models/%s/versions/%s/infer"),
    *(b"/v2/logging", b"/v2/repository/index", b"/v2/repository/%s/index", b"/v2/repository/models/%s/load"),
    *(b"/v2/repository/models/%s/unload", b"/v2/repository/%s/models/%s/load", b"/v2/%ssharedmemory/status"),
    *(
        b"/v2/systemsharedmemory/status",
        b"/v2/systemsharedmemory/region/%s/register",
        b"/v2/systemsharedmemory/unregister",
    ),
    *(b"/v2/systemsharedmemory/region/%s/unregister", b"/v2/systemsharedmemory/region/%s/status"),
    *(b"/v2/cudasharedmemory/status", b"/v2/cudasharedmemory/region/%s/register", b"/v2/cudasharedmemory/unregister"),
    *(b"/metrics", b"/%s", b"/%s/%s"),
]
#: Documents of the routes beside inference; `log_error` is left alone, since the log is looked at in the end.
_SETTINGS: list[dict[str, object]] = [
    {"log_verbose_level": 0, "log_info": True, "log_warning": True, "log_format": "default", "log_file": ""},
    {"trace_level": ["TIMESTAMPS"], "trace_rate": "1000", "trace_count": "-1", "log_frequency": "0", "trace_file": "x"},
    {"ready": True},
    {"parameters": {"config": '{"name":"x"}', "file:1/model.py": "YWJj", "unload_dependents": True}},
    {"key": "/nothing", "offset": 0, "byte_size": 64},
    {"key": "/../etc/passwd", "offset": 2**63, "byte_size": 2**64 - 1},
    {"raw_handle": {"b64": "YWJj"}, "device_id": 0, "byte_size": 64},
]
_SETTING_NAMES = st.one_of(
    st.sampled_from(["log_info", "trace_level", "key", "ready", "parameters"]), st.text(max_size=8)
)


@st.composite
def route_exchanges(draw: st.DrawFn) -> Exchange:
    """Any route by any method with any name in it, with a body or none."""
    route: bytes = draw(st.sampled_from(_ROUTES))
    for _ in range(route.count(b"%s")):
        route = route.replace(b"%s", draw(_SEGMENTS), 1)
    if draw(st.integers(0, 5)) == 0:
        route += draw(st.sampled_from([b"?a=b", b"?", b"#x", b"?%ff", b"/", b"?a=" + b"b" * 70_000]))
    method: bytes = draw(st.sampled_from(_METHODS))
    body = draw(
        st.one_of(
            st.just(b""),
            st.sampled_from(_SETTINGS).flatmap(lambda document: edited(document, _SETTING_NAMES)),
            st.sampled_from(HOSTILE_TEXTS),
            VALUES.map(render),
        )
    )
    headers = draw(
        st.dictionaries(
            st.sampled_from(
                [b"Accept", b"Content-Type", b"X-a", b"Authorization", b"Cookie", b"Range", b"If-None-Match"]
            ),
            _HEADER_TEXT,
            max_size=3,
        )
    )
    return Exchange((http_request(route, body, headers, method),), due=(method == b"HEAD",))


HTTP_EXCHANGES = st.one_of(
    infer_exchanges(),
    infer_exchanges(),
    route_exchanges(),
    framing_exchanges(),
    torn_exchanges(),
    pipelined_exchanges(),
)
