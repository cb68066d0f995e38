from __future__ import annotations

import pytest

from shoal.core.errors import InvalidArgument
from shoal.repository.config.text import line_of, parse_text

TEXT = """\
# input in a comment
name: "m"
input [
  { name: "LEFT" dims: [ 1 ] },
  { name: 'RIGHT' dims: [ 2 ] }
]
output { name: "LEFT" }
"""


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('name: "m"\nname: 3', "m/config.pbtxt:2:7: Expected string but found: '3'"),
        (
            'name: "m"\n\n  no_such_field: 3',
            'm/config.pbtxt:3:3: Message type "inference.ModelConfig" has no field named "no_such_field".',
        ),
        (
            "input { data_type: TYPE_NOTHING }",
            'm/config.pbtxt:1:20: Enum type "inference.DataType" has no value named TYPE_NOTHING.',
        ),
        (
            "dynamic_batching { }\nsequence_batching { }",
            'm/config.pbtxt:2:1: Field "sequence_batching" is specified along with field "dynamic_batching"',
        ),
        ('name: "a" name: "b"', 'm/config.pbtxt:1:17: Message type "inference.ModelConfig" should not have multiple'),
        ("max_batch_size: 99999999999", "m/config.pbtxt:1:17: Value out of range: 99999999999"),
        ("input {", 'm/config.pbtxt:1:7: Expected "}".'),
    ],
)
def test_mistakes_are_reported_with_file_line_and_column(text: str, error: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_text(text, "m/config.pbtxt")
    assert caught.value.message.startswith(error)


def test_comments_commas_and_lists_are_accepted() -> None:
    config = parse_text('# a comment\nname: "m",\nmax_batch_size: 4;\ninput [ { dims: [ 1, -1 ] }, { dims: 2 } ]', "m")
    assert (config["name"], config["max_batch_size"]) == ("m", 4)
    assert [tensor["dims"] for tensor in config["input"]] == [[1, -1], [2]]


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (("name",), 2),
        (("input",), 3),
        (("input", "RIGHT"), 5),
        (("output", "LEFT"), 7),
        (("output", "RIGHT"), None),
        (("max_batch_size",), None),
        ((), None),
    ],
)
def test_fields_and_tensors_are_found_in_the_text(where: tuple[str, ...], line: int | None) -> None:
    assert line_of(TEXT, where) == line
