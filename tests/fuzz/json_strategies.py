"""JSON documents that were right until something was changed in them.

A node is what `json` has, with two more kinds: `Members` is an object whose names may come twice, `Text` is a piece of
the document as it stands there.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st


class Members(list[tuple[str, Any]]):
    """An object: pairs of name and value."""


class Text(bytes):
    """Bytes of the document."""


#: What breaks parsers, each as it stands in a document.
HOSTILE_TEXTS = [
    *(b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"Inf", b"-Inf", b"nan", b"1e999", b"-1e999", b"1e-999", b"-0", b"-"),
    *(b"01", b"1.", b".5", b"+1", b"0x10", b"1e", b"1e+", b"9" * 5000, b"1" * 400 + b".5", b"18446744073709551616"),
    *(b"9223372036854775808", b"-9223372036854775809", b"2147483648", b"4294967296", b"1.0", b"1e3", b"tru", b"nul"),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\\u0000"', b'"a\\u0000b"', b'"\xff\xfe"', b'"\xc3"'),
    *(b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\x00"', b'"\n"', b'"\\x41"', b'"\\u12"', b'"unfinished', b"''"),
    *(b"[" * 50 + b"]" * 50, b"[" * 101 + b"]" * 101, b"[" * 5000 + b"]" * 5000, b"[" * 100_000),
    *(b'{"a":' * 200 + b"1" + b"}" * 200, b'{"a":' * 5000, b"[1,]", b"[,]", b'{"a":1,}', b'{"a"}', b"{1:2}"),
    *(b"/**/1", b"1//", b"[1 2]", b"\xef\xbb\xbf1", b"", b" ", b"]", b"}", b",", b"1,1", b"\x00", b"\xff"),
]
NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 2, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63)]),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
)
_SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20), st.sampled_from(HOSTILE_TEXTS).map(Text))
#: Any value, mostly of the wrong kind where it is put.
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(st.tuples(st.text(max_size=8), inner), max_size=4).map(Members),
    ),
    max_leaves=8,
)


def node_of(document: Any) -> Any:
    """A document of `json` as a node that can be edited."""
    if isinstance(document, dict):
        return Members((name, node_of(value)) for name, value in document.items())
    return [node_of(value) for value in document] if isinstance(document, list) else document


def render(node: Any) -> bytes:
    """The bytes of a document."""
    match node:
        case Text():
            return bytes(node)
        case Members():
            return b"{" + b",".join(_string(name) + b":" + render(value) for name, value in node) + b"}"
        case list():
            return b"[" + b",".join(map(render, node)) + b"]"
        case str():
            return _string(node)
    return json.dumps(node).encode()


def _string(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")


@st.composite
def edited(draw: st.DrawFn, document: Any, names: st.SearchStrategy[str], most: int = 4) -> bytes:
    """A document with up to `most` changes: a value replaced, removed, doubled, or added under one of the names."""
    root = [node_of(document)]
    for _ in range(draw(st.integers(0, most))):
        places = list(_places(root))
        container, index = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["replace", "remove", "double", "add"])):
            case "replace":
                _put(container, index, draw(VALUES))
            case "remove" if len(root) == 1 and container is not root:
                del container[index]
            case "double":
                container.insert(index, container[index])
            case "add" if isinstance(container, Members):
                container.insert(index, (draw(names), draw(VALUES)))
    return render(root[0])


def _places(container: list[Any]) -> Any:
    """Every (container, index) of the document, depth first."""
    for index, item in enumerate(container):
        yield container, index
        value = item[1] if isinstance(container, Members) else item
        if isinstance(value, list):
            yield from _places(value)


def _put(container: list[Any], index: int, value: Any) -> None:
    container[index] = (container[index][0], value) if isinstance(container, Members) else value
