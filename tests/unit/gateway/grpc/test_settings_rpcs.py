"""The RPCs about log and trace settings, on top of a gateway in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shoal.core.errors import InvalidArgument, ShoalError, Unsupported
from shoal.gateway.grpc.rpc import INFERENCE, CallContext
from shoal.gateway.grpc.schema import json_format, service_pb2
from shoal.gateway.grpc.settings_rpcs import settings_rpcs

if TYPE_CHECKING:
    from tests.unit.gateway.grpc.conftest import GatewayDouble


async def change_log(gateway: GatewayDouble, **settings: tuple[str, Any]) -> dict[str, Any]:
    """Settings are (field, value)."""
    request = service_pb2.LogSettingsRequest()
    for name, (field, value) in settings.items():
        setattr(request.settings[name], field, value)
    response = await settings_rpcs(gateway)[INFERENCE + "LogSettings"].handle(request, CallContext())
    shown: dict[str, Any] = json_format.MessageToDict(response, preserving_proto_field_name=True)["settings"]
    return shown


async def change_trace(gateway: GatewayDouble, model: str, **settings: list[str]) -> dict[str, list[str]]:
    request = service_pb2.TraceSettingRequest(model_name=model)
    for name, values in settings.items():
        request.settings[name].value.extend(values)
    response = await settings_rpcs(gateway)[INFERENCE + "TraceSetting"].handle(request, CallContext())
    return {name: list(shown.value) for name, shown in response.settings.items()}


async def test_log_settings_are_shown_with_their_types_after_the_change(gateway: GatewayDouble) -> None:
    changes = {"log_info": ("bool_param", False), "log_format": ("string_param", "ISO8601")}
    assert await change_log(gateway, log_colour=("string_param", "red"), **changes) == {
        "log_file": {"string_param": "server.log"},
        "log_info": {"bool_param": False},
        "log_warning": {"bool_param": True},
        "log_error": {"bool_param": True},
        "log_verbose_level": {"uint32_param": 0},
        "log_format": {"string_param": "ISO8601"},
    }
    assert (await change_log(gateway))["log_info"] == {"bool_param": False}


@pytest.mark.parametrize(
    ("name", "setting", "error", "text"),
    [
        (
            "log_file",
            ("string_param", "f"),
            Unsupported,
            "log file location can not be updated through network protocol",
        ),
        ("log_info", ("string_param", "true"), InvalidArgument, "expect boolean for 'log_info'"),
        ("log_verbose_level", ("bool_param", True), InvalidArgument, "expect int32 for 'log_verbose_level'"),
        ("log_verbose_level", ("uint32_param", 2**31), InvalidArgument, "expect int32 for 'log_verbose_level'"),
        ("log_format", ("bool_param", True), InvalidArgument, "expect string for 'log_format'"),
        ("log_format", ("string_param", "poem"), InvalidArgument, "invalid argument for log_format, got: poem"),
    ],
)
async def test_log_settings_that_cannot_be_are_refused(
    gateway: GatewayDouble, name: str, setting: tuple[str, Any], error: type[ShoalError], text: str
) -> None:
    with pytest.raises(error, match=text):
        await change_log(gateway, **{name: setting})


async def test_trace_settings_are_lists_of_texts_and_an_empty_one_takes_a_change_back(gateway: GatewayDouble) -> None:
    shown = await change_trace(gateway, "m", trace_level=["TENSORS"], trace_rate=["9"], trace_colour=["red"])
    assert shown == {
        "trace_level": ["TENSORS"],
        "trace_rate": ["9"],
        "trace_count": ["-1"],
        "log_frequency": ["0"],
        "trace_file": ["trace.json"],
        "trace_mode": ["triton"],
    }
    assert (await change_trace(gateway, ""))["trace_rate"] == ["1000"]
    shown = await change_trace(gateway, "m", trace_rate=[])
    assert (shown["trace_rate"], shown["trace_level"]) == (["1000"], ["TENSORS"])
    assert (await change_trace(gateway, "m", trace_level=["NONSENSE"]))["trace_level"] == ["TENSORS"]
    assert (await change_trace(gateway, "m", trace_level=[]))["trace_level"] == ["OFF"]


@pytest.mark.parametrize(
    ("name", "values", "error", "text"),
    [
        ("trace_file", [], Unsupported, "trace file location can not be updated through network protocol"),
        ("trace_rate", ["1", "2"], InvalidArgument, "expect only 1 value for 'trace_rate'"),
        ("trace_count", ["x"], InvalidArgument, "Unable to parse 'trace_count', got: x"),
        ("trace_level", ["OFF", "TENSORS"], InvalidArgument, "Expect only one trace level 'OFF' is specified"),
    ],
)
async def test_trace_settings_that_cannot_be_are_refused(
    gateway: GatewayDouble, name: str, values: list[str], error: type[ShoalError], text: str
) -> None:
    with pytest.raises(error, match=text):
        await change_trace(gateway, "", **{name: values})
