"""The embedded broker: what it takes, and what it keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shoal.bus import Bus
from shoal.core.errors import Unavailable

if TYPE_CHECKING:
    from tests.integration.bus.conftest import Buses

    from broker_process import Broker


async def test_token_is_required(broker: Broker) -> None:
    with pytest.raises(Unavailable, match="refused us"):
        await Bus.connect(replace(broker.settings(), token=None), "gateway")


async def test_messages_of_a_mebibyte_are_taken(buses: Buses) -> None:
    bus = await buses.connect("gateway")
    assert bus.link.max_payload == 1024 * 1024


async def test_store_is_kept_in_files_and_has_file_buckets(broker: Broker, buses: Buses) -> None:
    bus = await buses.connect("gateway")
    await buses.view(bus, "desired")
    (reply,) = await bus.link.request("$JS.API.STREAM.INFO.KV_test-desired")
    config = json.loads(reply.data)["config"]
    assert (config["storage"], config["max_msgs_per_subject"]) == ("file", 1)
