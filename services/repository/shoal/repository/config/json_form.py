"""The JSON form of a configuration, as Triton's `/v2/models/M/config` answers it, to and from the protobuf message.

Original field names, every scalar, list and map present with its default, sub-messages and members of a oneof only
when they are set, enums by name, 64-bit integers as numbers. One exception is Triton's: the dims of a sequence state's
initial state are strings.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, MutableMapping, MutableSequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from shoal.core.errors import InvalidArgument
from shoal.repository.config.schema import new_config

#: A configuration in its JSON form. The values are JSON's: the schema is protobuf's, checked when it was parsed.
JsonForm = dict[str, Any]

#: A field's descriptor. protobuf's two implementations, in C and in Python, share no type.
Field = Any

#: 64-bit fields that Triton leaves in protobuf's own JSON spelling (strings).
_INTEGERS_AS_TEXT = frozenset({"inference.ModelSequenceBatching.InitialState.dims"})


def render(message: Message) -> JsonForm:
    """The JSON form of a configuration (or of one of its parts)."""
    form: JsonForm = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        form[field.name] = _field(field, getattr(message, field.name))
    return form


def parse(form: Mapping[str, Any] | str) -> JsonForm:
    """A configuration in any protobuf JSON spelling, as its complete JSON form.

    Accepts snake_case and camelCase names and absent defaults. Raises InvalidArgument for unknown fields and for
    values that do not fit; the text names the field.
    """
    message = new_config()
    try:
        fields = json.loads(form) if isinstance(form, str) else form
        if not isinstance(fields, Mapping):
            raise InvalidArgument("model configuration is not valid: expected a JSON object")
        json_format.ParseDict(dict(fields), message)
    except (json.JSONDecodeError, json_format.ParseError) as error:
        raise InvalidArgument(f"model configuration is not valid: {error}") from error
    return render(message)


def dumps(form: JsonForm) -> str:
    """The JSON form as text."""
    return json.dumps(form, ensure_ascii=False, separators=(",", ":"))


def _field(field: Field, value: Any) -> Any:
    if isinstance(value, MutableMapping):
        kind = field.message_type.fields_by_name["value"]
        return {str(key): _scalar(kind, value[key]) for key in sorted(value)}
    if isinstance(value, MutableSequence):
        return [_scalar(field, item) for item in value]
    return _scalar(field, value)


def _scalar(field: Field, value: Any) -> Any:
    if field.message_type is not None:
        return render(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return _shortest(value)
    if field.full_name in _INTEGERS_AS_TEXT:
        return str(value)
    return value


def _shortest(value: float) -> float:
    """The number with the fewest digits that is the same 32-bit float: 0.1, not 0.10000000149011612."""
    bits = struct.pack("<f", value)
    for digits in range(6, 10):  # 9 digits always suffice
        number = float(f"{value:.{digits}g}")
        if math.isfinite(value) and struct.pack("<f", number) == bits:
            return number
    return value
