"""The tensors of one ensemble request on their way from step to step. Pure: who gets what, and nothing of how.

Data driven: a step runs when all its inputs have a tensor of the same iteration (scheduling.md 5). A tensor that was
not given (an optional input, an output that a model did not make) is absent, which is as good as there: steps that read
it run without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shoal.scheduler.claims import Claims
from shoal.scheduler.ensemble_plan import EnsemblePlan
from shoal.scheduler.ensemble_tensors import EnsembleTensor


class ReadyStep(NamedTuple):
    """A step that can run for an iteration: its inputs by the model's names, without the absent ones. Their claims have
    one more user, who receives this."""

    number: int
    iteration: int
    inputs: dict[str, EnsembleTensor]


class Progress(NamedTuple):
    """What new tensors make possible: steps to be run, and responses of the ensemble (its wanted outputs by name,
    without the absent ones), whose receiver uses the claims in there."""

    steps: list[ReadyStep]
    responses: list[dict[str, EnsembleTensor]]


class _Stored:
    __slots__ = ("tensor", "uses")

    def __init__(self, tensor: EnsembleTensor | None, uses: int) -> None:
        self.tensor = tensor
        self.uses = uses


class EnsembleFlow:
    """`put` and `close` are the doors of change."""

    def __init__(self, plan: EnsemblePlan, claims: Claims) -> None:
        self._plan = plan
        self._claims = claims
        #: By name and iteration, as long as somebody is to come for it.
        self._stored: dict[tuple[str, int], _Stored] = {}
        self._counts: dict[str, int] = {}

    def put(self, tensors: Mapping[str, EnsembleTensor | None], iteration: int | None = None) -> Progress:
        """Tensors were given, all at once; None: absent. Without an iteration each is the next one of its name: a
        decoupled step gives as many as it likes. Others give that for which they ran, so that what is made of one
        tensor on two ways fits together again, whichever way is faster."""
        updated = [(name, self._store(name, tensor, iteration)) for name, tensor in tensors.items()]
        ready = {
            (number, at)
            for name, at in updated
            for number in self._plan.readers(name, at)
            if all((tensor, at) in self._stored for tensor in self._plan.steps[number].inputs.values())
        }
        complete = {
            at
            for name, at in updated
            if self._plan.is_answered_with(name, at)
            and all((output, at) in self._stored for output in self._plan.outputs)
        }
        steps = [self._take_inputs(number, at) for number, at in sorted(ready)]
        return Progress(steps, [self._take_outputs(at) for at in sorted(complete)])

    def close(self) -> None:
        """Nobody comes for the rest."""
        for stored in self._stored.values():
            self._drop(stored)
        self._stored.clear()

    def _store(self, name: str, tensor: EnsembleTensor | None, iteration: int | None) -> int:
        if iteration is None:
            iteration = self._counts.get(name, 0)
            self._counts[name] = iteration + 1
        uses = len(self._plan.readers(name, iteration)) + self._plan.is_answered_with(name, iteration)
        if uses:
            self._stored[name, iteration] = _Stored(tensor, uses)
            if tensor is not None:
                self._claims.hold(tensor.claims)
        return iteration

    def _take_inputs(self, number: int, iteration: int) -> ReadyStep:
        names = self._plan.steps[number].inputs
        taken = {tensor: self._look(tensor, iteration) for tensor in names.values()}
        inputs = {name: found for name, tensor in names.items() if (found := taken[tensor]) is not None}
        for found in inputs.values():
            self._claims.hold(found.claims)
        for tensor in taken:
            self._leave(tensor, iteration)
        return ReadyStep(number, iteration, inputs)

    def _take_outputs(self, iteration: int) -> dict[str, EnsembleTensor]:
        outputs = {name: found for name in self._plan.outputs if (found := self._look(name, iteration)) is not None}
        for found in outputs.values():
            self._claims.hold(found.claims)
        for name in self._plan.outputs:
            self._leave(name, iteration)
        return outputs

    def _look(self, name: str, iteration: int) -> EnsembleTensor | None:
        return self._stored[name, iteration].tensor

    def _leave(self, name: str, iteration: int) -> None:
        """One of those that come for this tensor has been there."""
        stored = self._stored[name, iteration]
        stored.uses -= 1
        if not stored.uses:
            del self._stored[name, iteration]
            self._drop(stored)

    def _drop(self, stored: _Stored) -> None:
        if stored.tensor is not None:
            self._claims.drop(stored.tensor.claims)
