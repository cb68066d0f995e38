"""The way of a call through the table of RPCs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shoal.core.api_keys import ApiKey, ApiKeys, Scope, digest_of
from shoal.core.errors import Cancelled, Unavailable
from shoal.core.restricted_api import parse_restrictions
from shoal.gateway.access.access import Access
from shoal.gateway.access.caller import work_for
from shoal.gateway.access.keyring import Keyring
from shoal.gateway.access.operations import rpc_operation
from shoal.gateway.grpc.rpc import CallContext
from shoal.gateway.grpc.schema import service_pb2
from shoal.gateway.grpc.service import Service
from shoal.gateway.grpc.status import RpcError

if TYPE_CHECKING:
    from tests.unit.gateway.grpc.conftest import GatewayDouble

INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture
def service(gateway: GatewayDouble) -> Service:
    return Service(gateway)


async def failure(service: Service, message: bytes) -> tuple[int, str]:
    with pytest.raises(RpcError) as caught:
        await service.call(INFER, message, CallContext())
    return caught.value.status, caught.value.message


async def test_a_call_goes_from_bytes_to_bytes(service: Service) -> None:
    request = service_pb2.ModelInferRequest(model_name="m", raw_input_contents=[b"abcd"])
    request.inputs.add(name="I", datatype="FP32", shape=[1])
    pieces = await service.call(INFER, memoryview(request.SerializeToString()), CallContext())
    response = service_pb2.ModelInferResponse.FromString(b"".join(pieces))
    assert (response.model_version, list(response.raw_output_contents)) == ("1", [b"abcd"])


async def test_messages_without_a_schema_pass_as_they_are(service: Service) -> None:
    assert list(await service.call("/grpc.health.v1.Health/Check", b"", CallContext())) == [b"\x08\x01"]


async def test_errors_become_statuses(service: Service, gateway: GatewayDouble) -> None:
    message = service_pb2.ModelInferRequest(model_name="m").SerializeToString()
    gateway.failure = Unavailable("no broker")
    assert await failure(service, message) == (14, "no broker")
    gateway.failure = Cancelled("gone")
    assert await failure(service, message) == (1, "gone")


async def test_a_message_that_cannot_be_parsed_is_an_internal_error(service: Service) -> None:
    status, text = await failure(service, b"\xff\xff")
    assert status == 13
    assert text.startswith(f"cannot parse the message of {INFER}")


async def test_an_unexpected_failure_tells_the_client_no_details(service: Service, gateway: GatewayDouble) -> None:
    gateway.failure = KeyError("/secret/path")
    text = "unexpected KeyError in the server; its log has the details"
    assert await failure(service, service_pb2.ModelInferRequest(model_name="m").SerializeToString()) == (13, text)


def test_whatever_is_served_has_a_category(service: Service) -> None:
    assert [path for path in service.paths if rpc_operation(path) is None] == []


def test_everybody_may_call_where_nothing_is_restricted(service: Service) -> None:
    assert [service.let_in(path, {}) for path in service.paths] == [None] * len(service.paths)


def test_a_restricted_protocol_is_refused_unread(gateway: GatewayDouble) -> None:
    gateway.access = Access(parse_restrictions(["inference:key=value"], "protocol"), "protocol")
    service = Service(gateway)
    assert service.let_in(INFER, {b"triton-grpc-protocol-key": b"value"}) is None
    with pytest.raises(RpcError) as caught:
        service.let_in(INFER, {b"key": b"value"})
    text = "This protocol is restricted, expecting header 'triton-grpc-protocol-key'"
    assert (caught.value.status, caught.value.message) == (14, text)


async def test_calls_without_inference_count_for_their_key(gateway: GatewayDouble) -> None:
    secret = b"s"
    key = ApiKey("k", digest_of(secret), frozenset(Scope), requests_per_second=0.001)
    gateway.access = Access({}, "protocol", Keyring(ApiKeys((key,)), now=0.0))
    service = Service(gateway)
    path = "/inference.GRPCInferenceService/ServerMetadata"
    work_for(service.let_in(path, {b"x-api-key": secret}))
    await service.call(path, b"", CallContext())
    with pytest.raises(RpcError) as caught:
        await service.call(path, b"", CallContext())
    assert caught.value.status == 8
    assert [name for name, _ in caught.value.trailers] == [b"retry-after", b"grpc-retry-pushback-ms"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/inference.GRPCInferenceService/Nothing", "unknown method '/inference.GRPCInferenceService/Nothing'"),
        ("/grpc.health.v1.Health/Watch", "unknown method '/grpc.health.v1.Health/Watch'"),
        ("", "unknown method ''"),
    ],
)
def test_other_methods_are_refused_unread(service: Service, path: str, text: str) -> None:
    with pytest.raises(RpcError) as caught:
        service.let_in(path, {})
    assert caught.value.status == 12 and caught.value.message.startswith(text)
