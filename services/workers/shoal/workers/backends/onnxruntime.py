"""The onnxruntime backend: ONNX models on the CPU. The only module that imports onnxruntime."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from shoal.core.errors import Unsupported
from shoal.core.model_config import ModelConfig
from shoal.workers.backend import Backend, Execution, InstanceSpec, ModelSource, Request
from shoal.workers.backends.onnxruntime_model import model_path, model_signature, runtime_error
from shoal.workers.backends.onnxruntime_options import (
    DESCRIBING,
    SessionSettings,
    global_threads,
    session_settings,
)
from shoal.workers.gather import Array, Gatherer
from shoal.workers.scatter import Scatterer, with_errors
from shoal.workers.signature import ModelSignature, check, complete

#: That of the elements; the runtime asks for no more.
_ALIGNMENT_BYTES = 1

#: `onnx.TensorProto.BFLOAT16`. numpy has no such dtype: these tensors are arrays of their bits.
_ONNX_BFLOAT16 = 16


class OnnxRuntimeBackend(Backend):
    """One session for one instance."""

    default_cpu_count: ClassVar[int] = 2
    requires: ClassVar[tuple[str, ...]] = ("onnxruntime",)

    @classmethod
    def is_complete(cls, source: ModelSource) -> bool:
        return bool(source.config.inputs and source.config.outputs)

    @classmethod
    def signature(cls, source: ModelSource) -> dict[str, Any]:
        if cls.is_complete(source):
            return dict(source.config.raw)
        session = _open_session(source, DESCRIBING)
        return complete(source.config, model_signature(source.name, session), source.backend_config)

    def load(self, source: ModelSource, instance: InstanceSpec) -> None:
        if instance.kind == "GPU":
            raise Unsupported(f"instance_group kind KIND_GPU not supported by this build, instance '{instance.name}'")
        _refuse_ragged(source.config)
        settings = session_settings(source.config)
        self._session = _open_session(source, settings)
        model = model_signature(source.name, self._session)
        check(source.config, model)
        self._run_options = _run_options(settings)
        self._bfloat16_inputs = {t.name for t in model.inputs if t.datatype == "BF16"}
        self._binds = _needs_binding(source.name, model)
        self._gatherer = Gatherer(source.config, _ALIGNMENT_BYTES, as_text=True)
        self._scatterer = Scatterer(source.config)

    def execute(self, requests: Sequence[Request]) -> Execution:
        feeds, live, errors = self._gatherer.gather(requests)
        input_end_ns = time.monotonic_ns()
        if not live:
            return Execution(with_errors((), errors), input_end_ns, input_end_ns)
        wanted = self._scatterer.wanted(live)
        names = [output.name for output in wanted]
        try:
            arrays = self._run_bound(names, feeds) if self._binds else self._run(names, feeds)
        except Exception as error:  # the runtime's exceptions have no common base
            raise runtime_error(error) from error
        output_start_ns = time.monotonic_ns()
        responses = self._scatterer.scatter(wanted, arrays, live)
        return Execution(with_errors(responses, errors) if errors else responses, input_end_ns, output_start_ns)

    def unload(self) -> None:
        del self._session

    def _run(self, names: list[str], feeds: Mapping[str, Array]) -> list[Array]:
        outputs: list[Array] = self._session.run(names, feeds, self._run_options)
        return outputs

    def _run_bound(self, names: list[str], feeds: Mapping[str, Array]) -> list[Array]:
        """The way for bfloat16, which `run` does not take; bindings in turn do not take strings."""
        from onnxruntime import OrtValue

        binding = self._session.io_binding()
        for name, array in feeds.items():
            if name in self._bfloat16_inputs:
                value = OrtValue.ortvalue_from_numpy_with_onnx_type(array, _ONNX_BFLOAT16)
            else:
                value = OrtValue.ortvalue_from_numpy(array)
            binding.bind_ortvalue_input(name, value)
        for name in names:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding, self._run_options)
        return [_as_numpy(value) for value in binding.get_outputs()]


def _open_session(source: ModelSource, settings: SessionSettings) -> Any:
    """An onnxruntime.InferenceSession; the package has no types. Raises Unavailable when the model's file is missing
    and InternalError with the runtime's text when it is refused."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.intra_op_threads
    options.inter_op_num_threads = settings.inter_op_threads
    options.execution_mode = getattr(ort.ExecutionMode, settings.execution_mode)
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, settings.graph_level)
    options.enable_cpu_mem_arena = settings.enable_mem_arena
    options.enable_mem_pattern = settings.enable_mem_pattern
    shared = global_threads(source.backend_config)
    if shared is not None:
        options.use_per_session_threads = False
        ort.set_global_thread_pool_sizes(*shared)
    for key, value in settings.entries.items():
        options.add_session_config_entry(key, value)
    path = model_path(source)
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions have no common base
        raise runtime_error(error) from error


def _run_options(settings: SessionSettings) -> Any:
    """An onnxruntime.RunOptions, or None when there is nothing to say."""
    if not settings.arena_shrinkage:
        return None
    from onnxruntime import RunOptions

    options = RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", settings.arena_shrinkage)
    return options


def _refuse_ragged(config: ModelConfig) -> None:
    ragged = [field.name for field in config.inputs if field.allow_ragged_batch]
    if ragged or config.raw.get("batch_input"):
        names = ", ".join(f"'{name}'" for name in ragged) or "batch_input"
        raise Unsupported(f"model '{config.name}': ragged batches ({names}) are not supported by backend onnxruntime")


def _needs_binding(model_name: str, model: ModelSignature) -> bool:
    datatypes = {tensor.datatype for tensor in (*model.inputs, *model.outputs)}
    if "BF16" not in datatypes:
        return False
    if "BYTES" in datatypes:
        raise Unsupported(f"model '{model_name}' has BF16 and BYTES tensors; onnxruntime cannot be given both at once")
    return True


class _Bits:
    """The memory of a bfloat16 value as numpy reads it: an array of uint16."""

    def __init__(self, value: Any) -> None:
        self._value = value  # owns the memory
        shape = tuple(value.shape())
        self.__array_interface__ = {"version": 3, "typestr": "<u2", "shape": shape, "data": (value.data_ptr(), True)}


def _as_numpy(value: Any) -> Array:
    if value.element_type() == _ONNX_BFLOAT16:
        return np.array(_Bits(value))
    array: Array = value.numpy()
    return array
