"""Clients' shared memory: the status of regions, registering and unregistering, for system and CUDA memory."""

from __future__ import annotations

from typing import Any

from shoal.core.errors import InvalidArgument
from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.rpc import INFERENCE, CallContext, Rpcs, message_rpc
from shoal.gateway.grpc.schema import service_pb2
from shoal.gateway.region_entry import Kind
from shoal.memory.cuda_region import HANDLE_NBYTES


def region_rpcs(gateway: GatewayApi) -> Rpcs:
    return {**_system_rpcs(gateway), **_cuda_rpcs(gateway)}


def _system_rpcs(gateway: GatewayApi) -> Rpcs:
    regions = gateway.regions

    async def status(request: Any, context: CallContext) -> Any:
        response = service_pb2.SystemSharedMemoryStatusResponse()
        for entry in await regions.status(Kind.SYSTEM, request.name):
            row = response.regions[entry.name]
            row.name, row.key, row.offset, row.byte_size = entry.name, entry.key, entry.offset, entry.nbytes
        return response

    async def register(request: Any, context: CallContext) -> Any:
        await regions.register_system(request.name, request.key, request.offset, request.byte_size)
        return service_pb2.SystemSharedMemoryRegisterResponse()

    async def unregister(request: Any, context: CallContext) -> Any:
        await regions.unregister(Kind.SYSTEM, request.name)
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    prefix = INFERENCE + "SystemSharedMemory"
    return {
        prefix + "Status": message_rpc(service_pb2.SystemSharedMemoryStatusRequest, status),
        prefix + "Register": message_rpc(service_pb2.SystemSharedMemoryRegisterRequest, register),
        prefix + "Unregister": message_rpc(service_pb2.SystemSharedMemoryUnregisterRequest, unregister),
    }


def _cuda_rpcs(gateway: GatewayApi) -> Rpcs:
    regions = gateway.regions

    async def status(request: Any, context: CallContext) -> Any:
        response = service_pb2.CudaSharedMemoryStatusResponse()
        for entry in await regions.status(Kind.CUDA, request.name):
            row = response.regions[entry.name]
            row.name, row.device_id, row.byte_size = entry.name, entry.device_id, entry.nbytes
        return response

    async def register(request: Any, context: CallContext) -> Any:
        regions.check_name(Kind.CUDA, request.name)
        if len(request.raw_handle) != HANDLE_NBYTES:
            raise InvalidArgument("failed to register shared memory region: invalid args")
        await regions.register_cuda(request.name, request.raw_handle, request.device_id, request.byte_size)
        return service_pb2.CudaSharedMemoryRegisterResponse()

    async def unregister(request: Any, context: CallContext) -> Any:
        await regions.unregister(Kind.CUDA, request.name)
        return service_pb2.CudaSharedMemoryUnregisterResponse()

    prefix = INFERENCE + "CudaSharedMemory"
    return {
        prefix + "Status": message_rpc(service_pb2.CudaSharedMemoryStatusRequest, status),
        prefix + "Register": message_rpc(service_pb2.CudaSharedMemoryRegisterRequest, register),
        prefix + "Unregister": message_rpc(service_pb2.CudaSharedMemoryUnregisterRequest, unregister),
    }
