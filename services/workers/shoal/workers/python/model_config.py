"""`ModelConfig`: what `auto_complete_config` is given, to say what the configuration leaves open."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

#: What a model may complete; everything else stays as the configuration has it.
COMPLETED_FIELDS = ("max_batch_size", "input", "output", "dynamic_batching", "model_transaction_policy")

_OTHER_SCHEDULERS = ("sequence_batching", "ensemble_scheduling")
_INPUT_PROPERTIES = ("name", "data_type", "dims", "optional")
_OUTPUT_PROPERTIES = ("name", "data_type", "dims")


class ModelConfig:
    """A configuration in JSON form, to be completed. What contradicts the configuration raises ValueError."""

    def __init__(self, model_config: Mapping[str, Any]) -> None:
        """`model_config` is copied."""
        self._model_config = copy.deepcopy(dict(model_config))
        for field, empty in (("max_batch_size", 0), ("input", []), ("output", [])):
            self._model_config.setdefault(field, empty)

    def as_dict(self) -> dict[str, Any]:
        """The configuration as completed so far; to be read only."""
        return self._model_config

    def set_max_batch_size(self, max_batch_size: int) -> None:
        configured = self._model_config["max_batch_size"]
        if configured > max_batch_size:
            raise ValueError(
                f"configuration specified max_batch_size {configured}, but in auto-complete-config function for "
                f"{self._model()} specified max_batch_size {max_batch_size}"
            )
        self._model_config["max_batch_size"] = max_batch_size

    def set_dynamic_batching(self) -> None:
        """Choose the dynamic batcher where the configuration names no scheduler."""
        for scheduler in _OTHER_SCHEDULERS:
            if scheduler in self._model_config:
                raise ValueError(
                    f"Configuration specified scheduling_choice as '{scheduler}', but auto-complete-config function "
                    f"for {self._model()} tries to set scheduling_choice as 'dynamic_batching'"
                )
        self._model_config.setdefault("dynamic_batching", {})

    def add_input(self, input: dict[str, Any]) -> None:
        """`input`: `name`, `data_type` and `dims` (without batch dimension), perhaps `optional`."""
        self._check_properties("input", input, _INPUT_PROPERTIES)
        self._merge("input", input)

    def add_output(self, output: dict[str, Any]) -> None:
        """`output`: `name`, `data_type` and `dims` (without batch dimension)."""
        self._check_properties("output", output, _OUTPUT_PROPERTIES)
        self._merge("output", output)

    def set_model_transaction_policy(self, transaction_policy_dict: dict[str, bool]) -> None:
        """`transaction_policy_dict`: `{"decoupled": bool}`."""
        unknown = sorted(set(transaction_policy_dict) - {"decoupled"})
        if unknown:
            raise ValueError(
                f"model transaction policy in auto-complete-config function for {self._model()} contains property "
                f"'{unknown[0]}' other than 'decoupled'."
            )
        configured = self._model_config.get("model_transaction_policy")
        if configured and configured.get("decoupled", False) != transaction_policy_dict.get("decoupled", False):
            raise ValueError(
                f"trying to change decoupled property in auto-complete-config for {self._model()}, which is already "
                f"set to '{configured.get('decoupled', False)}'."
            )
        self._model_config["model_transaction_policy"] = dict(transaction_policy_dict)

    def _model(self) -> str:
        return f"model '{self._model_config.get('name', '')}'"

    def _check_properties(
        self, kind: Literal["input", "output"], given: dict[str, Any], valid: tuple[str, ...]
    ) -> None:
        where = f"in auto-complete-config function for {self._model()}"
        if "name" not in given:
            raise ValueError(f"{kind} {where} is missing 'name' property.")
        for required in ("data_type", "dims"):
            if required not in given:
                raise ValueError(f"{kind} '{given['name']}' {where} is missing '{required}' property.")
        unknown = [key for key in given if key not in valid]
        if unknown:
            listed = ", ".join(f"'{key}'" for key in valid)
            raise ValueError(f"{kind} '{given['name']}' {where} contains property '{unknown[0]}' other than {listed}.")

    def _merge(self, kind: Literal["input", "output"], given: dict[str, Any]) -> None:
        name = given["name"]
        current = next((tensor for tensor in self._model_config[kind] if tensor["name"] == name), None)
        if current is None:
            self._model_config[kind].append(dict(given))
            return
        configured = current.get("data_type", "TYPE_INVALID")
        if configured not in ("TYPE_INVALID", given["data_type"]):
            raise ValueError(
                f"unable to load {self._model()}, configuration expects datatype {configured} for {kind} '{name}', "
                f"model provides {given['data_type']}"
            )
        dims = current.get("dims")
        if dims and list(dims) != list(given["dims"]):
            raise ValueError(
                f"{self._model()}, tensor '{name}': the model expects dims {list(given['dims'])} but the model "
                f"configuration specifies dims {list(dims)}"
            )
        current.update(given)
