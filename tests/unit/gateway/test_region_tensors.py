from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from client_files import ClientFile
from gateway_models import call
from shoal.core.datatypes import encode_bytes
from shoal.core.errors import InternalError
from shoal.core.tensors import Tensor
from shoal.gateway.region_part import RegionPart
from shoal.gateway.region_tensors import ASIDE_FROM_NBYTES, is_read_aside, read_texts, region_input, write_outputs
from shoal.gateway.request import InferAnswer
from shoal.gateway.scattered import RegionTensor
from shoal.memory.client_region import ClientRegion


def part_of(content: bytes, folder: Path, name: str = "client") -> tuple[ClientFile, RegionPart]:
    file = ClientFile(name, content, folder)
    region = ClientRegion.open("r", file.key, 0, len(content), folder)
    return file, RegionPart(region, 0, len(content))


def answer(*outputs: Tensor) -> InferAnswer:
    return InferAnswer("m", 1, "", outputs, {})


def test_what_travels_in_the_message_is_read_at_once(tmp_path: Path) -> None:
    file, part = part_of(bytes(4096), tmp_path)
    tensor = region_input("X", "UINT8", (4096,), part)
    file.path.write_bytes(b"\1" * 4096)
    assert isinstance(tensor, Tensor)
    assert bytes(tensor.data) == bytes(4096)
    assert isinstance(region_input("X", "UINT8", (4097,), part_of(bytes(4097), tmp_path)[1]), RegionTensor)


def test_texts_are_read_before_they_are_checked_and_stay_what_they_were(tmp_path: Path) -> None:
    content = encode_bytes([b"a" * 5000])
    file, part = part_of(content, tmp_path)
    _, other = part_of(bytes(5000), tmp_path, "other")
    texts, numbers = region_input("T", "BYTES", (1,), part), region_input("X", "UINT8", (5000,), other)
    read = read_texts(call()._replace(inputs=(texts, numbers), region_nbytes=len(part) + len(other)))
    file.path.write_bytes(bytes(len(content)))
    assert bytes(read.inputs[0].data) == content  # type: ignore[arg-type]  # no longer a part
    assert read.inputs[1] is numbers
    assert read.region_nbytes == 5000


@pytest.mark.parametrize(
    ("nbytes", "correlation_id", "is_aside"),
    [(ASIDE_FROM_NBYTES - 1, 0, False), (ASIDE_FROM_NBYTES, 0, True), (ASIDE_FROM_NBYTES, 7, False)],
)
def test_large_inputs_are_read_aside_except_those_of_a_sequence(
    nbytes: int, correlation_id: int, is_aside: bool
) -> None:
    assert is_read_aside(call(region_nbytes=nbytes, correlation_id=correlation_id)) is is_aside


@pytest.mark.parametrize("nbytes", [10, ASIDE_FROM_NBYTES])
async def test_outputs_are_written_to_their_parts_and_leave_the_answer(nbytes: int, tmp_path: Path) -> None:
    content = np.random.default_rng(7).bytes(nbytes)
    file, part = part_of(bytes(nbytes + 3), tmp_path)
    kept = Tensor("Y", "UINT8", (1,), b"y")
    shown = await write_outputs(answer(Tensor("X", "UINT8", (nbytes,), content), kept), {"X": part})
    assert file.read() == content + bytes(3)
    assert shown.outputs == (Tensor("X", "UINT8", (nbytes,), b""), kept)


async def test_an_output_that_does_not_fit_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    file, part = part_of(bytes(8), tmp_path)
    outputs = Tensor("A", "UINT8", (1,), b"a"), Tensor("B", "UINT8", (9,), b"123456789")
    with pytest.raises(InternalError) as caught:
        await write_outputs(answer(*outputs), {"A": part, "B": part})
    # The text is Triton's.
    assert caught.value.message == (
        "shared memory size specified with the request for output 'B' (8 bytes) should be at least 9 bytes to hold "
        "the results"
    )
    assert file.read() == bytes(8)
