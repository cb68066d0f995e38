"""Tensors of every datatype, shape and form through the official clients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from client_models import DATATYPES, LABELS
from client_stage import FLAVORS, HTTP, HTTP_AIO, NUMPY, Client, Flavor, connected
from shoal_server import Server

#: aiohttp, below one of the clients, says so of every body over a MiB.
BODY_WARNING = "ignore:Sending a large body directly with raw bytes:ResourceWarning"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(BODY_WARNING)]

#: Values at the edges of each datatype; texts of bytes that are not UTF-8 can only travel in binary form.
VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False, True],
    "FP16": [0.5, -65504.0, float("inf"), 6e-8],
    "BF16": [1.0, -2.5, float("-inf"), 1e-38],
    "FP32": [0.1, -3.4e38, float("inf"), 1e-45],
    "FP64": [0.1, -1.7e308, float("-inf"), 5e-324],
    "BYTES": [b"", b"plain", "h\u00e9llo \u4e2d".encode(), b"\xff\x00\xfe"],
}
for _name in DATATYPES:
    if "INT" in _name:
        _limits = np.iinfo(NUMPY[_name])
        VALUES[_name] = [_limits.min, 0, _limits.max]

#: What has no form in JSON.
BINARY_ONLY = ("FP16", "BF16")


@pytest.fixture(params=FLAVORS, ids=lambda flavor: flavor.name)
def flavor(request: pytest.FixtureRequest) -> Flavor:
    flavor: Flavor = request.param
    return flavor


@pytest.mark.parametrize("datatype", DATATYPES)
async def test_values_come_back_exactly(client: Client, datatype: str) -> None:
    given = np.array(VALUES[datatype], NUMPY[datatype])
    got = await client.identity(datatype, given)
    assert got.dtype == given.dtype
    assert got.tobytes() == given.tobytes() if datatype != "BYTES" else got.tolist() == given.tolist()


@pytest.mark.parametrize("datatype", DATATYPES)
async def test_a_tensor_may_have_no_elements(client: Client, datatype: str) -> None:
    got = await client.identity(datatype, np.zeros([0], NUMPY[datatype]))
    assert (got.shape, got.size) == ((0,), 0)


@pytest.mark.parametrize("flavor", [HTTP, HTTP_AIO], ids=lambda flavor: flavor.name, indirect=True)
@pytest.mark.parametrize("is_output_binary", [True, False])
@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name not in BINARY_ONLY])
async def test_values_may_be_sent_and_asked_for_in_json(
    server: Server, flavor: Flavor, datatype: str, is_output_binary: bool
) -> None:
    values = [value for value in VALUES[datatype] if value not in (float("inf"), float("-inf"), b"\xff\x00\xfe")]
    given = np.array(values, NUMPY[datatype])
    async with connected(flavor, server) as client:
        for array in (given, given[:0]):
            inputs = [client.tensor(f"IN_{datatype}", datatype, array, binary_data=False)]
            outputs = [client.output(f"OUT_{datatype}", binary_data=is_output_binary)]
            result = await client.call("infer", "identity", inputs, outputs=outputs)
            expected = [value.decode() for value in values] if datatype == "BYTES" and not is_output_binary else values
            got = result.as_numpy(f"OUT_{datatype}")
            assert got.dtype == given.dtype
            assert got.tolist() == np.array(expected, NUMPY[datatype])[: array.size].tolist()


@pytest.mark.parametrize("flavor", [HTTP, HTTP_AIO], ids=lambda flavor: flavor.name, indirect=True)
@pytest.mark.parametrize("datatype", BINARY_ONLY)
async def test_half_floats_have_no_json_form(server: Server, flavor: Flavor, datatype: str) -> None:
    async with connected(flavor, server) as client:
        inputs = [client.tensor(f"IN_{datatype}", datatype, [1.0])]
        outputs = [client.output(f"OUT_{datatype}", binary_data=False)]
        with pytest.raises(InferenceServerException, match=f"sending {datatype} data via JSON is not supported"):
            await client.call("infer", "identity", inputs, outputs=outputs)


async def test_several_inputs_travel_together(client: Client) -> None:
    inputs = [client.tensor(f"IN_{name}", name, VALUES[name]) for name in DATATYPES]
    outputs = [client.output(f"OUT_{name}") for name in reversed(DATATYPES)]
    result = await client.call("infer", "identity", inputs, outputs=outputs)
    for name in DATATYPES:
        assert result.as_numpy(f"OUT_{name}").tolist() == np.array(VALUES[name], NUMPY[name]).tolist()


@pytest.mark.parametrize("shape", [(1, 1), (8, 3), (2, 0)])
async def test_batches_keep_their_shape(client: Client, shape: tuple[int, ...]) -> None:
    given = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    result = await client.call("infer", "identity_batch", [client.tensor("IN_FP32", "FP32", given)])
    np.testing.assert_array_equal(result.as_numpy("OUT_FP32"), given)


async def test_a_batch_that_is_too_large_is_refused(client: Client) -> None:
    inputs = [client.tensor("IN_FP32", "FP32", np.zeros([9, 1], np.float32))]
    with pytest.raises(
        InferenceServerException, match="inference request batch-size must be <= 8 for 'identity_batch'"
    ):
        await client.call("infer", "identity_batch", inputs)


async def test_outputs_may_be_asked_for_as_classes(client: Client) -> None:
    inputs = [client.tensor("IN_FP32", "FP32", [0.5, 3.0, 2.0, 1.0, 4.0])]
    result = await client.call("infer", "scores", inputs, outputs=[client.output("OUT_FP32", class_count=3)])
    expected = [b"4.000000:4", b"3.000000:1:" + LABELS[1].encode(), b"2.000000:2:" + LABELS[2].encode()]
    assert result.as_numpy("OUT_FP32").tolist() == expected


@pytest.mark.parametrize("size", [1_000, 10_000, 300_000, 3_000_000])
async def test_tensors_of_all_sizes_come_back(client: Client, size: int) -> None:
    given = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    np.testing.assert_array_equal(await client.identity("UINT8", given), given)
