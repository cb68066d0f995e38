"""The python backend: a model is a class `TritonPythonModel` in the user's `model.py`."""

from __future__ import annotations

import copy
import json
from collections.abc import Container, Coroutine, Sequence
from functools import partial
from time import monotonic_ns
from typing import Any

from shoal.core.errors import InternalError, ShoalError, from_wire
from shoal.core.model_config import ModelConfig
from shoal.core.tensors import Tensor as WireTensor
from shoal.telemetry.logs import get_logger
from shoal.workers.backend import Backend, Execution, InstanceSpec, ModelSource, Request, Response
from shoal.workers.pipes import restore_standard_streams
from shoal.workers.python import loader, logger
from shoal.workers.python.coroutines import BackgroundRunner, CoroutineRunner
from shoal.workers.python.execution import ContractViolation, check_nothing_returned, checked_responses, pass_on
from shoal.workers.python.failure import exception_text
from shoal.workers.python.loan import Loans
from shoal.workers.python.model_config import COMPLETED_FIELDS
from shoal.workers.python.model_config import ModelConfig as CompletedConfig
from shoal.workers.python.request import InferenceRequest, from_backend, sender_of
from shoal.workers.python.response import InferenceResponse, parameters_of
from shoal.workers.python.response_sender import InferenceResponseSender, end_with
from shoal.workers.python.tensor import Tensor, to_wire
from shoal.workers.python.tensor import from_wire as tensor_from_wire
from shoal.workers.reshape import reshaped

_log = get_logger("python")

#: A tensor's `dims` and `reshape`, without batch dimension.
_Reshape = tuple[tuple[int, ...], tuple[int, ...]]


class PythonBackend(Backend):
    """One instance of a python model. Executes on the calling thread, which should be the process's main thread."""

    process_per_instance = True

    _model: Any = None  # the user's object, which has no type of ours

    @classmethod
    def signature(cls, source: ModelSource) -> dict[str, Any]:
        raw = copy.deepcopy(dict(source.config.raw))
        model_class = loader.load_class(source)
        complete = getattr(model_class, "auto_complete_config", None)
        if complete is None:
            return raw
        try:
            completed = complete(CompletedConfig(raw))
        except BaseException as error:
            raise InternalError(exception_text(error)) from error
        if not isinstance(completed, CompletedConfig):
            raise InternalError(
                f"auto_complete_config function in model '{loader.model_file(source)}' must return a valid "
                "pb.ModelConfig object."
            )
        result = completed.as_dict()
        return raw | {field: result[field] for field in COMPLETED_FIELDS if field in result}

    def load(self, source: ModelSource, instance: InstanceSpec) -> None:
        config = source.config
        self._name = source.name
        self._instance = instance.name
        self._path = loader.model_file(source)
        self._max_batch_size = config.max_batch_size
        self._is_decoupled = config.decoupled
        self._output_names = [output.name for output in config.outputs]
        self._input_reshapes, self._output_reshapes = _reshapes(config)
        self._coroutines = CoroutineRunner()
        self._background = BackgroundRunner()
        self._loans = Loans()
        logger.bind_instance(source.name, source.version, instance.name)
        model_class = loader.load_class(source)
        try:
            self._model = model_class()
            if hasattr(self._model, "initialize"):
                self._model.initialize(_initialize_args(source, instance))
        except BaseException as error:
            raise InternalError(exception_text(error)) from error
        finally:
            restore_standard_streams()

    def execute(self, requests: Sequence[Request]) -> Execution:
        self._check_executable(requests)
        given = [self._given(request) for request in requests]
        input_end_ns = monotonic_ns()
        returned = self._call(given)
        output_start_ns = monotonic_ns()
        responses = [
            None if one is None else self._answer(r.outputs or self._output_names, one)
            for r, one in zip(requests, returned, strict=True)
        ]
        return Execution(responses, input_end_ns, output_start_ns)

    def let_go(self) -> None:
        self._loans.end()

    def unload(self) -> None:
        try:
            if hasattr(self._model, "finalize"):
                self._model.finalize()
        except BaseException:
            _log.exception("finalize failed", model=self._name, instance=self._instance)
        finally:
            self._model = None
            self._coroutines.close()
            self._background.close()

    def _check_executable(self, requests: Sequence[Request]) -> None:
        if self._max_batch_size:
            total = sum([request.batch_size for request in requests])
            if total > self._max_batch_size:
                raise InternalError(f"batch size {total} for '{self._instance}', max allowed is {self._max_batch_size}")

    def _given(self, request: Request) -> InferenceRequest:
        given = from_backend(
            request, self._inputs(request), request.outputs or self._output_names, partial(self._make_sender, request)
        )
        if self._is_decoupled:
            # Whoever holds the request can answer it: with the last of them this goes, and ends it.
            given.get_response_sender()
        return given

    def _make_sender(self, request: Request) -> InferenceResponseSender:
        return InferenceResponseSender(
            request.open_sender(),
            partial(self._answer, request.outputs or self._output_names, loans_may_end=True),
            request.is_cancelled,
            is_decoupled=self._is_decoupled,
            name=self._instance,
        )

    def _inputs(self, request: Request) -> list[Tensor]:
        if request.is_borrowed:
            return [self._lent(tensor) for tensor in request.inputs]
        if not self._input_reshapes:
            return [tensor_from_wire(tensor, tensor.shape) for tensor in request.inputs]
        return [
            tensor_from_wire(tensor, self._reshaped("input", tensor, self._input_reshapes)) for tensor in request.inputs
        ]

    def _lent(self, tensor: WireTensor) -> Tensor:
        shape = self._reshaped("input", tensor, self._input_reshapes)
        return tensor_from_wire(tensor, shape, self._loans.lend(tensor.data))

    def _call(self, given: list[InferenceRequest]) -> list[InferenceResponse | None]:
        try:
            if not hasattr(self._model, "execute"):
                raise ContractViolation(f"Python model {self._path} does not implement `execute` method.")
            returned = self._model.execute(given)
            if isinstance(returned, Coroutine):
                returned = self._run(returned, given)
            return self._checked(returned, given)
        except BaseException as error:
            failure = self._failure(error)
            _end_all(given, failure)
            raise failure from error
        finally:
            restore_standard_streams()

    def _run(self, coroutine: Coroutine[Any, Any, object], given: list[InferenceRequest]) -> object:
        """What a coroutine returns; that of a decoupled model is left to itself."""
        if not self._is_decoupled:
            return self._coroutines.run(coroutine)
        self._background.start(coroutine, partial(self._end_coroutine, given))
        return None

    def _end_coroutine(self, given: list[InferenceRequest], result: object) -> None:
        try:
            if isinstance(result, BaseException):
                raise result
            check_nothing_returned(result, self._instance)
        except BaseException as error:  # the model's code: whatever it raises is the answer of its requests
            _end_all(given, self._failure(error))

    def _checked(self, returned: object, given: list[InferenceRequest]) -> list[InferenceResponse | None]:
        """What is to be answered when `execute` returns; None where a sender does."""
        if self._is_decoupled:
            check_nothing_returned(returned, self._instance)
            return [None] * len(given)
        senders = [sender_of(request) for request in given]
        responses = checked_responses(returned, senders)
        for response, sender in zip(responses, senders, strict=True):
            if response is not None and sender is not None:
                pass_on(response, sender)
        return [one if sender is None else None for one, sender in zip(responses, senders, strict=True)]

    def _failure(self, error: BaseException) -> InternalError:
        text = str(error) if isinstance(error, ContractViolation) else exception_text(error)
        return InternalError(f"Failed to process the request(s) for model '{self._instance}', message: {text}")

    def _answer(self, wanted: Container[str], response: InferenceResponse, loans_may_end: bool = False) -> Response:
        error = response.error()
        if error is not None:
            return Response((), {}, from_wire((error.code(), error.message())))
        try:
            outputs = [to_wire(t, loans_may_end) for t in response.output_tensors() if t.name() in wanted]
            if self._output_reshapes:
                outputs = [
                    tensor._replace(shape=self._reshaped("output", tensor, self._output_reshapes)) for tensor in outputs
                ]
        except ShoalError as error_of_shape:
            return Response((), {}, error_of_shape)
        except (
            Exception
        ) as failed:  # encoding calls the `__str__` of objects that the model made: one request's trouble
            return Response((), {}, self._failure(failed))
        return Response(tuple(outputs), parameters_of(response), None)

    def _reshaped(self, kind: str, tensor: WireTensor, reshapes: dict[str, _Reshape]) -> tuple[int, ...]:
        reshape = reshapes.get(tensor.name)
        if reshape is None:
            return tensor.shape
        source, target = reshape
        has_batch = self._max_batch_size > 0
        shape = reshaped(tensor.shape, source, target, has_batch=has_batch)
        if shape is None:
            expected = [-1, *source] if has_batch else list(source)
            raise InternalError(
                f"model '{self._name}', {kind} '{tensor.name}': got shape {list(tensor.shape)}, expected {expected}, "
                f"which the configuration reshapes to {list(target)}"
            )
        return shape


def _end_all(given: list[InferenceRequest], failure: InternalError) -> None:
    """The execution failed: what its requests' senders have not ended ends so, and they send no more."""
    for request in given:
        sender = sender_of(request)
        if sender is not None:
            end_with(sender, failure)


def _reshapes(config: ModelConfig) -> tuple[dict[str, _Reshape], dict[str, _Reshape]]:
    """Of inputs, from the client's shape to the model's; of outputs, from the model's to the client's."""
    inputs = {i.name: (i.dims, i.reshape) for i in config.inputs if i.reshape is not None}
    outputs = {o.name: (o.reshape, o.dims) for o in config.outputs if o.reshape is not None}
    return inputs, outputs


def _initialize_args(source: ModelSource, instance: InstanceSpec) -> dict[str, str]:
    return {
        "model_config": json.dumps(dict(source.config.raw)),
        "model_instance_kind": instance.kind,
        "model_instance_device_id": str(instance.device_id),
        "model_instance_name": instance.name,
        "model_repository": source.directory,
        "model_version": str(source.version),
        "model_name": source.name,
    }
