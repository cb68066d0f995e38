"""JSON documents of clients, read as leniently as Triton reads them.

Almost every document is plain JSON and goes through orjson. What orjson refuses or reads differently takes a slower
way: bare NaN, Inf and Infinity, a byte order mark, strings that are not UTF-8 (kept as surrogate escapes), and a member
that occurs twice (the first one counts).
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from shoal.core.errors import InternalError, InvalidArgument
from shoal.gateway.http.json_grammar import JsonFault, find_fault

_BOM = b"\xef\xbb\xbf"
#: The one member whose second occurrence anybody has been seen to rely on; counting it is cheap.
_INPUTS = b'"inputs"'
#: A text without an end counts up to the end of the document: tried anew at each later quote, it would take quadratic
#: time.
_STRING_OR_INF = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|\Z)|Inf(?:inity)?', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
#: Above this size a refused document is not read once more for the exact wording, which takes 2 us per byte.
_EXPLAIN_LIMIT_NBYTES = 64 * 1024


def parse(text: bytes) -> Any:
    """The document's value: dicts, lists, str, int (64 bits), float, bool, None.

    Raises InternalError with RapidJSON's reason and offset for what is no JSON, InvalidArgument for nesting beyond a
    few hundred levels.
    """
    if text.count(_INPUTS) <= 1:
        try:
            return orjson.loads(text)
        except ValueError:
            pass
    return _parse_leniently(text)


def _parse_leniently(text: bytes) -> Any:
    if text.startswith(_BOM):
        text = text[len(_BOM) :]
    decoded = text.decode("utf-8", "surrogateescape")
    if "Inf" in decoded:
        decoded = _STRING_OR_INF.sub(lambda match: match[0] if match[0][0] == '"' else "Infinity", decoded)
    try:
        value = json.loads(decoded, object_pairs_hook=_first_wins, parse_int=_integer, parse_float=_double)
    except RecursionError as error:
        raise InvalidArgument("JSON nesting depth exceeds what this server follows") from error
    except json.JSONDecodeError as error:
        raise _refusal(text, error.pos) from error
    except OverflowError as error:
        raise _refusal(text, 0) from error
    if _SURROGATE.search(text):
        _refuse_lone_surrogates(text, value)
    return value


def _refuse_lone_surrogates(text: bytes, value: Any) -> None:
    if len(text) <= _EXPLAIN_LIMIT_NBYTES:
        fault = find_fault(text)
        if fault is not None:
            raise _error(fault)
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise _error(JsonFault("The surrogate pair in string is invalid.", error.start)) from error


def _refusal(text: bytes, position: int) -> InternalError:
    fault = find_fault(text) if len(text) <= _EXPLAIN_LIMIT_NBYTES else None
    return _error(fault or JsonFault("Invalid value.", position))


def _error(fault: JsonFault) -> InternalError:
    return InternalError(f"failed to parse the request JSON buffer: {fault.reason} at {fault.offset}")


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        members.setdefault(name, value)
    return members


def _integer(digits: str) -> int | float:
    if len(digits) < 19:
        return int(digits)
    value = _double(digits)  # first, since Python refuses to read thousands of digits as an integer
    return exact if -(2**63) <= (exact := int(digits)) < 2**64 else value


def _double(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise OverflowError(digits)
    return value
