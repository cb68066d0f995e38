import json
from pathlib import Path

import pytest

from identity_model import MAX_BATCH_SIZE, MODEL, binary_body, size_text, write_repository
from shoal.repository.config.text import parse_text


def test_the_body_is_a_header_and_the_tensor() -> None:
    body = binary_body(16)

    header_nbytes = int(body.headers[0].split(": ")[1])
    (tensor,) = json.loads(body.data[:header_nbytes])["inputs"]
    assert tensor["shape"] == [1, 16]
    assert tensor["parameters"]["binary_data_size"] == len(body.data) - header_nbytes == 64


@pytest.mark.parametrize(("floats", "text"), [(16, "16 floats"), (16_384, "64 KiB"), (150_000, "600 KB")])
def test_sizes_are_named_as_people_do(floats: int, text: str) -> None:
    assert size_text(floats) == text


def test_the_repository_holds_one_batching_model(tmp_path: Path) -> None:
    write_repository(tmp_path)

    config = parse_text((tmp_path / MODEL / "config.pbtxt").read_text(), "config.pbtxt")
    assert (config["name"], config["backend"], config["max_batch_size"]) == (MODEL, "python", MAX_BATCH_SIZE)
    compile((tmp_path / MODEL / "1" / "model.py").read_text(), "model.py", "exec")
