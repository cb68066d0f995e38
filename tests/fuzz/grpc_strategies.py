"""gRPC calls for hypothesis: hostile values in right messages, wrong frames, wrong headers, and raw HTTP/2 bytes."""

from __future__ import annotations

import gzip
import zlib
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from fuzz_models import BATCHED, DATATYPES, PAIR, STREAM, TEXT, TYPES
from grpc_wire import Call, frame
from samples import GRPC_SAMPLES

_SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
_INFER = b"/inference.GRPCInferenceService/ModelInfer"
_STREAM_INFER = b"/inference.GRPCInferenceService/ModelStreamInfer"
_TEXTS = st.one_of(
    st.sampled_from(
        [
            *(
                BATCHED,
                PAIR,
                TEXT,
                TYPES,
                STREAM,
                "",
                "IN",
                "OUT",
                "IN_A",
                "OUT_A",
                "nobody",
                "1",
                "2",
                "-1",
                "0",
                "٣",
                "1x",
            ),
            *("9" * 30, "9" * 5000, "\u2003" + "1", "../..", "\0", "ü", "\U0001f600", "x" * 10_000, "%s", "triton_x"),
            *("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "classification", "note"),
            *("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "binary_data", "/key"),
            *("triton_enable_empty_final_response", "triton_final_response", *DATATYPES, "FP8", "trace_level", "OFF"),
            *("trace_rate", "trace_count", "log_info", "log_verbose_level", "log_format", "config", "file:1/model.py"),
        ]
    ),
    st.text(max_size=12),
)
_INT64 = st.one_of(st.sampled_from([0, 1, -1, 2, 3, 4, 2**31, 2**63 - 1, -(2**63)]), st.integers(-(2**63), 2**63 - 1))
_UINT64 = st.one_of(st.sampled_from([0, 1, 2**32, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))
_KINDS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: _TEXTS,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=40),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
}
#: The only setting that is left alone: the log is looked at in the end.
_SPARED = "log_error"


@cache
def _scalars(kind: int) -> st.SearchStrategy[Any]:
    return _KINDS[kind]


@st.composite
def messages(draw: st.DrawFn, message: Any) -> Any:
    """A message with some of its fields set, on top of what it has."""
    for field in message.DESCRIPTOR.fields:
        if draw(st.booleans()):
            _fill(draw, message, field)
    return message


def _fill(draw: st.DrawFn, message: Any, field: FieldDescriptor) -> None:
    values = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for _ in range(draw(st.integers(0, 2))):
            key = draw(_scalars(field.message_type.fields_by_name["key"].type))
            draw(messages(values[key]))
            if key == _SPARED:
                del values[key]
    elif field.message_type is not None and field.is_repeated:
        for _ in range(draw(st.integers(0, 2))):
            draw(messages(values.add()))
    elif field.message_type is not None:
        values.SetInParent()
        draw(messages(values))
    elif field.is_repeated:
        values.extend(draw(st.lists(_scalars(field.type), max_size=4)))
    else:
        setattr(message, field.name, draw(_scalars(field.type)))


@st.composite
def infer_messages(draw: st.DrawFn) -> bytes:
    """A good request with some fields of the request, of an input or of an output changed."""
    message = type(GRPC_SAMPLES[0])()
    message.CopyFrom(draw(st.sampled_from(GRPC_SAMPLES)))
    for _ in range(draw(st.integers(0, 3))):
        owner = draw(st.sampled_from([message, *message.inputs, *message.outputs]))
        field = draw(st.sampled_from(list(owner.DESCRIPTOR.fields)))
        match draw(st.sampled_from(["fill", "clear", "drop"])):
            case "fill":
                _fill(draw, owner, field)
            case "clear":
                owner.ClearField(field.name)
            case "drop" if field.is_repeated and field.message_type is None and (values := getattr(owner, field.name)):
                del values[draw(st.integers(0, len(values) - 1))]
    data: bytes = message.SerializeToString(deterministic=True)
    return data


@st.composite
def infer_calls(draw: st.DrawFn) -> Call:
    """`ModelInfer`, or a stream of several requests."""
    if draw(st.booleans()):
        return Call(_INFER, frame(draw(infer_messages())), metadata=draw(_METADATA))
    requests = draw(st.lists(infer_messages(), max_size=4))
    return Call(_STREAM_INFER, b"".join(map(frame, requests)), ends=draw(st.booleans()), metadata=draw(_METADATA))


def _request_class(method: Descriptor) -> Any:
    return getattr(service_pb2, method.name)


@st.composite
def any_calls(draw: st.DrawFn) -> Call:
    """Any RPC with any message of its own."""
    method = draw(st.sampled_from(list(_SERVICE.methods)))
    message = draw(messages(_request_class(method.input_type)()))
    path = f"/{_SERVICE.full_name}/{method.name}".encode()
    return Call(path, frame(message.SerializeToString(deterministic=True)), metadata=draw(_METADATA))


_VALUES = st.binary(max_size=30).map(lambda text: bytes(32 + byte % 95 for byte in text).strip())
#: Metadata that a server must cope with, whatever it makes of it.
_METADATA = st.one_of(
    st.just(()),
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    b"grpc-accept-encoding",
                    b"user-agent",
                    b"x-a",
                    b"traceparent",
                    b"tracestate",
                    b"triton_grpc_error",
                    b"x-api-key",
                ]
            ),
            st.one_of(_VALUES, st.sampled_from([b"true", b"gzip", b"identity,deflate,gzip"])),
        ),
        max_size=3,
    ).map(tuple),
    st.tuples(st.tuples(st.just(b"grpc-timeout"), st.sampled_from([b"1n", b"1u", b"1m", b"5S", b"99999999H", b"0S"]))),
)
_HOSTILE_HEADERS: list[tuple[tuple[bytes, bytes], ...]] = [
    *(
        ((b"grpc-timeout", value),)
        for value in (b"", b"S", b"-1S", b"1", b"x", b"9" * 5000 + b"H", b"1.5S", b"1 S", b"\xb2S")
    ),
    *(((b"grpc-timeout", b"9" * 400 + b"H"),), ((b"grpc-timeout", b"123456789012345678S"),), ((b"te", b"gzip"),)),
    *(
        ((b"content-type", value),)
        for value in (b"", b"application/json", b"application/grpc+json", b"application/grpcx")
    ),
    *(((b":method", value),) for value in (b"GET", b"PUT", b"BREW", b"")),
    *(
        ((b":path", value),)
        for value in (b"", b"/", b"//", b"/a/b", b"*", b"/inference.GRPCInferenceService/", b"/%ff")
    ),
    *(((b":path", b"/" + b"a" * 9000),), ((b":authority", b""),), ((b":scheme", b"x"),), ((b":unknown", b"x"),)),
    *(((b"x-bin", value),) for value in (b"!", b"YQ", b"YQ==", b"YQ==,YQ==", b"")),
    tuple((b"x-%d" % number, b"v" * 40) for number in range(80)),
    tuple((b"x-a", b"%d" % number) for number in range(200)),
    *(((b"x-a", b"v" * 9000),), ((b"x-a", b"v" * 60_000),)),
    *(
        ((b"X-Upper", b"v"),),
        ((b"x a", b"v"),),
        ((b"", b"v"),),
        ((b"x-a", b"\0"),),
        ((b"x-a", b"\r\n"),),
        ((b"x-a", b"\xff"),),
    ),
    *(
        ((b"connection", b"close"),),
        ((b"transfer-encoding", b"chunked"),),
        ((b"content-length", b"3"),),
        ((b"host", b"b"),),
    ),
    ((b"traceparent", b"00-" + b"z" * 40),),
]


@st.composite
def header_calls(draw: st.DrawFn) -> Call:
    """A good message under headers that are not."""
    sample = draw(st.sampled_from(GRPC_SAMPLES))
    metadata = draw(st.sampled_from(_HOSTILE_HEADERS))
    return Call(
        draw(st.sampled_from([_INFER, _STREAM_INFER])),
        frame(sample.SerializeToString(deterministic=True)),
        True,
        False,
        metadata,
    )


_GZIP = ((b"grpc-encoding", b"gzip"),)
#: Small messages that become large: larger than a server takes, and not quite.
GRPC_BOMBS = [Call(_INFER, frame(gzip.compress(bytes(nbytes * 2**20)), 1), metadata=_GZIP) for nbytes in (300, 1)]


@st.composite
def frame_calls(draw: st.DrawFn) -> Call:
    """Bodies that are not the one frame that they should be."""
    message = draw(st.sampled_from(GRPC_SAMPLES)).SerializeToString(deterministic=True)
    cut = draw(st.integers(0, len(message) + 5))
    packed = draw(st.sampled_from([gzip.compress(message, 1), zlib.compress(message, 1), message, b""]))
    if draw(st.integers(0, 60)) == 0:
        return draw(st.sampled_from(GRPC_BOMBS))
    encoding = draw(st.sampled_from([b"gzip", b"deflate", b"identity", b"br", b"", b"GZIP", b"gzip,deflate"]))
    data, metadata = draw(
        st.sampled_from(
            [
                (frame(message, draw(st.integers(1, 255))), ()),
                (frame(message)[:cut], ()),
                (frame(message) * 2, ()),
                (frame(message) + draw(st.binary(min_size=1, max_size=6)), ()),
                (b"\0" + draw(st.binary(min_size=4, max_size=4)) + message, ()),
                (frame(packed, 1), ((b"grpc-encoding", encoding),)),
                (frame(message, 0), ((b"grpc-encoding", encoding),)),
                (frame(packed[: max(0, len(packed) - 5)], 1), ((b"grpc-encoding", encoding),)),
                (draw(st.binary(max_size=60)), ()),
            ]
        )
    )
    path = draw(st.sampled_from([_INFER, _INFER, _STREAM_INFER, b"/inference.GRPCInferenceService/ServerReady"]))
    return Call(path, data, draw(st.integers(0, 4)) > 0, False, metadata)


GRPC_CALLS = st.one_of(infer_calls(), infer_calls(), any_calls(), frame_calls(), header_calls())

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@st.composite
def _h2_frames(draw: st.DrawFn) -> bytes:
    payload = draw(
        st.one_of(st.binary(max_size=40), st.sampled_from([bytes(8), bytes(5), b"\x82\x86\x84\x41\x01a", b"\xff" * 20]))
    )
    length = draw(st.one_of(st.just(len(payload)), st.integers(0, 2**24 - 1)))
    kind, flags = draw(st.integers(0, 12)), draw(st.integers(0, 255))
    stream = draw(st.sampled_from([0, 1, 2, 3, 2**31 - 1, 2**32 - 1]))
    frame_bytes = length.to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload
    return frame_bytes * draw(st.sampled_from([1, 1, 1, 2, 500]))


@st.composite
def h2_bytes(draw: st.DrawFn) -> tuple[bytes, ...]:
    """What is no HTTP/2, or HTTP/2 that breaks its rules."""
    start = draw(
        st.sampled_from([_PREFACE + _SETTINGS] * 4 + [_PREFACE, b"", _PREFACE[:10], b"GET / HTTP/1.1\r\n\r\n"])
    )
    return (start + b"".join(draw(st.lists(_h2_frames(), max_size=5))), draw(st.binary(max_size=40)))
