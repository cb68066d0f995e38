"""Log settings and trace settings; a request without settings only reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shoal.core.errors import InvalidArgument, Unsupported
from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.rpc import INFERENCE, CallContext, Rpcs, message_rpc
from shoal.gateway.grpc.schema import service_pb2
from shoal.telemetry.trace_settings import levels_from, number_from

#: The field that a log setting must come in, how Triton calls its type in an error.
_LOG_FIELDS = {
    "log_info": ("bool_param", "boolean"),
    "log_warning": ("bool_param", "boolean"),
    "log_error": ("bool_param", "boolean"),
    "log_verbose_level": ("uint32_param", "int32"),
    "log_format": ("string_param", "string"),
}
_VERBOSE_LIMIT = 2**31 - 1
_NUMBERS = ("trace_rate", "trace_count", "log_frequency")


def settings_rpcs(gateway: GatewayApi) -> Rpcs:
    async def log_settings(request: Any, context: CallContext) -> Any:
        return _log_response(await gateway.change_log_settings(_log_changes(request.settings)))

    async def trace_setting(request: Any, context: CallContext) -> Any:
        shown = await gateway.change_trace_settings(request.model_name or None, _trace_changes(request.settings))
        return _trace_response(shown)

    return {
        INFERENCE + "LogSettings": message_rpc(service_pb2.LogSettingsRequest, log_settings),
        INFERENCE + "TraceSetting": message_rpc(service_pb2.TraceSettingRequest, trace_setting),
    }


# The values of the maps are generated protobuf messages, for which there are no types.
def _log_changes(settings: Mapping[str, Any]) -> dict[str, Any]:
    if "log_file" in settings:
        raise Unsupported("log file location can not be updated through network protocol")
    changes: dict[str, Any] = {}
    for name, (field, kind) in _LOG_FIELDS.items():
        if name in settings:
            if settings[name].WhichOneof("parameter_choice") != field:
                raise InvalidArgument(f"expect {kind} for '{name}'")
            changes[name] = getattr(settings[name], field)
    if changes.get("log_verbose_level", 0) > _VERBOSE_LIMIT:
        raise InvalidArgument(f"expect int32 for 'log_verbose_level', got: {changes['log_verbose_level']}")
    if changes.get("log_format", "default") not in ("default", "ISO8601"):
        raise InvalidArgument(
            f"invalid argument for log_format, got: {changes['log_format']}; expected default or ISO8601"
        )
    return changes


def _log_response(shown: Mapping[str, Any]) -> Any:
    response = service_pb2.LogSettingsResponse()
    response.settings["log_file"].string_param = shown["log_file"]
    for name, (field, _) in _LOG_FIELDS.items():
        setattr(response.settings[name], field, shown[name])
    return response


def _trace_changes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """An empty list of values takes a change back; other keys are ignored."""
    if "trace_file" in settings:
        raise Unsupported("trace file location can not be updated through network protocol")
    changes: dict[str, Any] = {}
    if "trace_level" in settings:
        names = settings["trace_level"].value
        levels = levels_from(names) if names else None
        if levels is not None or not names:
            changes["trace_level"] = levels
    for name in _NUMBERS:
        if name in settings:
            changes[name] = _number(name, settings[name].value)
    return changes


def _number(name: str, values: Sequence[str]) -> int | None:
    if not values:
        return None
    if len(values) > 1:
        raise InvalidArgument(f"expect only 1 value for '{name}'")
    return number_from(name, values[0])


def _trace_response(shown: Mapping[str, str | list[str]]) -> Any:
    response = service_pb2.TraceSettingResponse()
    for name, value in shown.items():
        response.settings[name].value.extend([value] if isinstance(value, str) else value)
    return response
