"""All rules for a configuration, in the two steps in which Triton applies them.

A model that breaks a rule of the first step never gets versions: the index shows its name alone. What breaks a rule of
the second step is known once the configuration is complete; the chosen versions are UNAVAILABLE with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from shoal.repository import (
    ensemble_graph,
    validate_dynamic,
    validate_ensemble,
    validate_instances,
    validate_model,
    validate_parameters,
    validate_sequence,
    validate_tensors,
    validate_warmup,
)
from shoal.repository.config.json_form import JsonForm
from shoal.repository.problems import Problem

_STRUCTURE = (
    validate_model.backend,
    validate_model.max_batch_size,
    validate_dynamic.preferred_sizes,
    validate_dynamic.priorities,
    validate_dynamic.preserved_order,
    validate_sequence.controls,
    validate_sequence.strategy,
    validate_sequence.states,
    validate_ensemble.scheduling,
    validate_ensemble.forbidden_fields,
    validate_ensemble.steps,
    validate_model.response_cache,
    validate_model.model_metrics,
    validate_parameters.values,
    validate_parameters.recycled_sequences,
)
_SIGNATURE = (
    validate_tensors.inputs,
    validate_tensors.outputs,
    validate_tensors.unique_names,
    validate_tensors.batch_inputs,
    validate_tensors.batch_outputs,
    validate_warmup.samples,
)
_ENSEMBLE_FLOW = (validate_ensemble.flow, validate_ensemble.circular)
_INSTANCES = (validate_instances.counts, validate_instances.profiles, validate_instances.unique_names)


def structure(config: JsonForm, directory: str) -> Iterator[Problem]:
    """The first step, for a normalised configuration that may still lack inputs and outputs."""
    yield from validate_model.name(config, directory)
    yield from chain.from_iterable(rule(config) for rule in _STRUCTURE)


def signature(config: JsonForm) -> Iterator[Problem]:
    """Inputs, outputs and what refers to them; part of the first step when nothing completes the configuration."""
    yield from chain.from_iterable(rule(config) for rule in _SIGNATURE)


def instances(config: JsonForm, gpus: Sequence[int]) -> Iterator[Problem]:
    """The instance groups against the GPUs that models can use."""
    yield from validate_instances.devices(config, gpus)
    yield from chain.from_iterable(rule(config) for rule in _INSTANCES)


def ensemble(config: JsonForm, models: Mapping[str, JsonForm]) -> Iterator[Problem]:
    """An ensemble's signature and flow, and every connection to the valid configurations of other `models`."""
    yield from signature(config)
    yield from chain.from_iterable(rule(config) for rule in _ENSEMBLE_FLOW)
    yield from ensemble_graph.composing_models(config, models)
    yield from ensemble_graph.circular_dependency(config, models)
    yield from ensemble_graph.connections(config, models)
    yield from ensemble_graph.decoupled_joins(config, models)
