"""What an ensemble does for requests that want certain of its outputs: which steps are needed, and who reads what."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.core.model_config import EnsembleStep


class EnsemblePlan:
    """`steps` are those of the configuration, `needed` the numbers of those that contribute to one of `outputs`.

    Tensors count the responses of the steps that they come from in *iterations*. A tensor that no decoupled step has a
    part in has one, iteration 0; whoever reads it together with repeated ones runs for iteration 0 alone
    (scheduling.md 5).
    """

    def __init__(self, steps: Sequence[EnsembleStep], outputs: Sequence[str], is_decoupled: Sequence[bool]) -> None:
        """`is_decoupled` tells of each step's model."""
        self.steps = tuple(steps)
        self.outputs = tuple(outputs)
        self.needed = _needed(self.steps, self.outputs)
        repeated = _repeated(self.steps, is_decoupled)
        self._readers: dict[str, list[int]] = {}
        self._repeated_readers: dict[str, list[int]] = {}
        for number in self.needed:
            tensors = set(self.steps[number].inputs.values())
            for tensor in tensors:
                self._readers.setdefault(tensor, []).append(number)
                if repeated.issuperset(tensors):
                    self._repeated_readers.setdefault(tensor, []).append(number)
        self._has_repeated_outputs = repeated.issuperset(outputs)

    def readers(self, tensor: str, iteration: int) -> Sequence[int]:
        """The needed steps that will read this iteration of a tensor, once each."""
        return (self._repeated_readers if iteration else self._readers).get(tensor, ())

    def is_answered_with(self, tensor: str, iteration: int) -> bool:
        """Whether a response of the ensemble will have this iteration of a tensor."""
        return tensor in self.outputs and (not iteration or self._has_repeated_outputs)


def _needed(steps: Sequence[EnsembleStep], outputs: Sequence[str]) -> tuple[int, ...]:
    tensors = set(outputs)
    needed: set[int] = set()
    while more := {
        number
        for number, step in enumerate(steps)
        if number not in needed and not tensors.isdisjoint(step.outputs.values())
    }:
        needed |= more
        tensors.update(tensor for number in more for tensor in steps[number].inputs.values())
    return tuple(sorted(needed))


def _repeated(steps: Sequence[EnsembleStep], is_decoupled: Sequence[bool]) -> set[str]:
    """The tensors that have as many iterations as some decoupled step gives responses."""
    repeated: set[str] = set()
    while (
        more := {
            tensor
            for step, decoupled in zip(steps, is_decoupled, strict=True)
            if decoupled or repeated.issuperset(step.inputs.values())
            for tensor in step.outputs.values()
        }
        - repeated
    ):
        repeated |= more
    return repeated
