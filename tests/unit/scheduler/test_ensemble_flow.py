"""The tensors of one request on their way from step to step. Rules: scheduling.md 5."""

from __future__ import annotations

from shoal.core.model_config import EnsembleStep
from shoal.scheduler.claims import Block, Claims
from shoal.scheduler.ensemble_flow import EnsembleFlow, Progress
from shoal.scheduler.ensemble_plan import EnsemblePlan
from shoal.scheduler.ensemble_tensors import EnsembleTensor

#: IN -> 0 -> mid -> 1 -> left, mid -> 2 -> right, both -> 3 -> OUT; `mid` is an output, too.
STEPS = (
    EnsembleStep("a", -1, {"X": "IN"}, {"Y": "mid"}),
    EnsembleStep("b", -1, {"X": "mid"}, {"Y": "left"}),
    EnsembleStep("c", -1, {"X": "mid"}, {"Y": "right"}),
    EnsembleStep("d", -1, {"P": "left", "Q": "right"}, {"Y": "OUT"}),
)


class Scene:
    """A flow, and claims on a block per tensor; the generation says which tensor it is."""

    def __init__(self, *outputs: str, is_decoupled: bool = False) -> None:
        self.claims = Claims()
        self.flow = EnsembleFlow(EnsemblePlan(STEPS, outputs, [is_decoupled, False, False, False]), self.claims)

    def put(self, iteration: int | None = None, **generations: int | None) -> Progress:
        tensors: dict[str, EnsembleTensor | None] = {}
        claims = []
        for name, generation in generations.items():
            tensors[name] = None
            if generation is not None:
                claim = self.claims.begin(Block("e", generation))
                claims.append(claim)
                tensors[name] = EnsembleTensor("FP32", (generation,), 0, b"", None, (claim,))
        progress = self.flow.put(tensors, iteration)
        self.claims.drop(claims)
        return progress

    def given(self, progress: Progress) -> tuple[list[tuple[int, int, dict[str, int]]], list[dict[str, int]]]:
        """Steps and responses with the generations in them; whoever got them is done with them."""
        steps = [(s.number, s.iteration, {n: t.shape[0] for n, t in s.inputs.items()}) for s in progress.steps]
        responses = [{name: tensor.shape[0] for name, tensor in found.items()} for found in progress.responses]
        for named in (*(found.inputs for found in progress.steps), *progress.responses):
            for tensor in named.values():
                self.claims.drop(tensor.claims)
        return steps, responses

    @property
    def released(self) -> list[int]:
        return [thing.generation for thing in self.claims.take_over() if isinstance(thing, Block)]


def test_a_step_runs_when_all_its_inputs_are_there() -> None:
    scene = Scene("OUT")
    assert scene.given(scene.put(IN=1)) == ([(0, 0, {"X": 1})], [])
    assert scene.given(scene.put(mid=2)) == ([(1, 0, {"X": 2}), (2, 0, {"X": 2})], [])
    assert scene.given(scene.put(right=3)) == ([], [])
    assert scene.given(scene.put(left=4)) == ([(3, 0, {"P": 4, "Q": 3})], [])
    assert scene.given(scene.put(OUT=5)) == ([], [{"OUT": 5}])
    assert sorted(scene.released) == [1, 2, 3, 4, 5]


def test_what_is_stored_is_not_released_before_the_last_reader_is_done() -> None:
    scene = Scene("OUT", "mid")
    scene.given(scene.put(IN=1))
    scene.given(scene.put(mid=2))
    assert scene.released == [1]
    scene.given(scene.put(left=3))
    scene.given(scene.put(right=4))
    assert scene.released == [3, 4]
    assert scene.given(scene.put(OUT=5)) == ([], [{"OUT": 5, "mid": 2}])
    assert scene.released == [5, 2]


def test_an_absent_tensor_is_as_good_as_there() -> None:
    scene = Scene("OUT")
    assert scene.given(scene.put(IN=None)) == ([(0, 0, {})], [])
    assert scene.given(scene.put(left=None, right=1)) == ([(3, 0, {"Q": 1})], [])
    assert scene.given(scene.put(OUT=None)) == ([], [{}])


def test_what_nobody_reads_is_released_at_once() -> None:
    scene = Scene("OUT")
    scene.put(other=1)
    assert scene.released == [1]


def test_closing_releases_what_is_stored() -> None:
    scene = Scene("OUT")
    scene.given(scene.put(left=1))
    scene.flow.close()
    assert scene.released == [1]
    scene.flow.close()
    assert scene.released == []


def test_iterations_of_a_decoupled_step_are_counted_as_they_come() -> None:
    scene = Scene("OUT", is_decoupled=True)
    scene.given(scene.put(IN=1))
    assert scene.given(scene.put(mid=2))[0][0] == (1, 0, {"X": 2})
    assert scene.given(scene.put(mid=3))[0][0] == (1, 1, {"X": 3})


def test_what_is_made_of_one_iteration_on_two_ways_fits_together_whichever_is_faster() -> None:
    scene = Scene("OUT", is_decoupled=True)
    for generation in (2, 3):
        scene.given(scene.put(mid=generation))
    assert scene.given(scene.put(1, left=13)) == ([], [])
    assert scene.given(scene.put(0, right=22)) == ([], [])
    assert scene.given(scene.put(1, right=23)) == ([(3, 1, {"P": 13, "Q": 23})], [])
    assert scene.given(scene.put(0, left=12)) == ([(3, 0, {"P": 12, "Q": 22})], [])
    assert scene.given(scene.put(1, OUT=5)) == ([], [{"OUT": 5}])


def test_an_iteration_that_an_output_lacks_makes_no_response() -> None:
    scene = Scene("OUT", "IN", is_decoupled=True)
    scene.given(scene.put(IN=1))
    assert scene.given(scene.put(0, OUT=2)) == ([], [{"OUT": 2, "IN": 1}])
    assert scene.given(scene.put(1, OUT=3)) == ([], [])
    assert 3 in scene.released
