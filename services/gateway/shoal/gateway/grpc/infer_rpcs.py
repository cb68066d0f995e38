"""`ModelInfer`: one request, one response."""

from __future__ import annotations

from shoal.core.errors import Unsupported
from shoal.gateway.grpc.convert import InferMessage, decode_infer, encode_answer
from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.infer_call import read_call
from shoal.gateway.grpc.model_version import parse_version
from shoal.gateway.grpc.rpc import INFERENCE, CallContext, Rpc, Rpcs
from shoal.gateway.request import InferAnswer


def infer_rpcs(gateway: GatewayApi) -> Rpcs:
    """A decoupled model is refused: only a stream can serve it."""

    async def infer(message: InferMessage, context: CallContext) -> InferAnswer:
        request = message.request
        served = await gateway.look_up(request.model_name, parse_version(request.model_version))
        if served.config.decoupled:
            raise Unsupported("ModelInfer RPC doesn't support models with decoupled transaction policy")
        call, form = await read_call(message, served, context, gateway)
        execution = gateway.infer(call)
        del call, message, request  # a copy of the tensors is made, for which the message need not be kept
        return await form.shown(await execution)

    return {INFERENCE + "ModelInfer": Rpc(decode_infer, infer, encode_answer, is_compressible=True)}
