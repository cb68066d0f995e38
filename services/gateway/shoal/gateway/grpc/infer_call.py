"""From a `ModelInferRequest` to the call for the gateway and the form that its answers take, for `ModelInfer` and for
streams alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shoal.gateway.grpc.convert import InferMessage, classified, to_call, wanted_outputs
from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.rpc import CallContext
from shoal.gateway.models import ServedVersion
from shoal.gateway.region_part import RegionPart
from shoal.gateway.region_tensors import write_outputs
from shoal.gateway.regions import UnknownRegion
from shoal.gateway.request import InferAnswer, InferCall


class AnswerForm(NamedTuple):
    """How the answers to one request are shown: `classes` by name of an output that is to be classified, `regions` by
    name of one that is to be written there."""

    classes: Mapping[str, int]
    regions: Mapping[str, RegionPart]
    served: ServedVersion

    async def shown(self, answer: InferAnswer) -> InferAnswer:
        """The answer in this form; outputs in regions are written there, and empty. Raises InvalidArgument where an
        output has no classes, and what `write_outputs` raises."""
        if self.regions:
            answer = await write_outputs(answer, self.regions)
        return classified(answer, self.classes, self.served) if self.classes else answer


async def read_call(
    message: InferMessage, served: ServedVersion, context: CallContext, gateway: GatewayApi
) -> tuple[InferCall, AnswerForm]:
    """What a request to this version asks for. The call alone keeps the message.

    Raises InvalidArgument and NotFound in Triton's words when the request contradicts itself, and what `Regions.part`
    raises.
    """
    try:
        return _read(message, served, context, gateway)
    except UnknownRegion:
        await gateway.regions.refresh()
        return _read(message, served, context, gateway)


def _read(
    message: InferMessage, served: ServedVersion, context: CallContext, gateway: GatewayApi
) -> tuple[InferCall, AnswerForm]:
    find_part = gateway.regions.part
    call = to_call(message, context.deadline_s, context.traceparent, find_part)
    if gateway.header_forwarding is not None:
        call = gateway.header_forwarding.forward(call, context.metadata.items())
    return call, AnswerForm(*wanted_outputs(message, find_part), served)
