"""What holds of ensembles whatever happens in whatever order: every request is answered once, every block of shared
memory is released, and none while somebody may read it."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ensemble_stage import LARGE_NBYTES, EnsembleStage, Step, ensemble, model, step
from scheduler_stage import MS, OWN, SUBMITTER, S
from shoal.core.errors import Code
from shoal.core.messages import InferResponse, ReconcileReply, Resend
from shoal.core.tensors import ArenaRef
from shoal.scheduler.actions import Action, Refuse, Tell
from shoal.scheduler.events import BatchFinished, ExecutorGone, HoldsAsked, LinkChanged, ReconcileAsked

ONE = b"\0\0\x80\x3f"
STEPS = {
    "line": [step("a", "X=IN", "Y=mid"), step("b", "X=mid", "Y=OUT")],
    "fan": [step("a", "X=IN", "Y=l"), step("b", "X=IN", "Y=r"), step("c", "X=l Z=r", "Y=OUT")],
    "nested": [step("inner", "IN=IN", "OUT=m"), step("a", "X=m", "Y=OUT")],
    "stream": [step("d", "X=IN", "Y=m"), step("b", "X=m", "Y=OUT")],
    "deep stream": [step("streams", "IN=IN", "OUT=m"), step("c", "X=m Z=IN", "Y=OUT")],
}
INNER = ensemble(*STEPS["fan"], name="inner")
STREAMS = ensemble(*STEPS["stream"], name="streams", decoupled=True)
MODELS = (model("a"), model("b"), model("c", optional="Z"), model("d", decoupled=True), INNER, STREAMS)


class Ensembles(RuleBasedStateMachine):
    """Executors that are done, answer, answer again, lose answers and die; clients that take, lose and leave."""

    def __init__(self) -> None:
        super().__init__()
        self._stage: EnsembleStage | None = None
        self._is_decoupled = False
        self._last = 0
        #: Requests by counter: those that were cancelled, and the answers that have arrived of each.
        self._cancelled: set[int] = set()
        self._arrived: dict[int, dict[int, InferResponse]] = {}
        self._seen_answers = 0
        #: Steps whose batch is done: what is still to be answered, and what executors keep to send again.
        self._owing: dict[int, Step] = {}
        self._kept: dict[int, dict[int, tuple[Step, InferResponse, bytes]]] = {}
        self._given_twice: set[tuple[str, int]] = set()

    @property
    def stage(self) -> EnsembleStage:
        assert self._stage is not None
        return self._stage

    @precondition(lambda self: self._stage is None)
    @rule(name=st.sampled_from(sorted(STEPS)), limit=st.sampled_from([0, 0, 1, 2]), instances=st.integers(1, 3))
    def begin(self, name: str, limit: int, instances: int) -> None:
        self._is_decoupled = name in ("stream", "deep stream")
        config = ensemble(*STEPS[name], limit=limit, decoupled=self._is_decoupled)
        self._stage = EnsembleStage(config, *MODELS, instances=instances)

    @precondition(lambda self: self._stage is not None)
    @rule(count=st.integers(1, 3), is_large=st.booleans(), deadline_us=st.sampled_from([None, None, 3_000]))
    def arrive(self, count: int, is_large: bool, deadline_us: int | None) -> None:
        for _ in range(count):
            self._last += 1
            self._arrived[self._last] = {}
            self._perform(self.stage.ask(self._last, IN=LARGE_NBYTES if is_large else ONE, deadline_us=deadline_us))

    @precondition(lambda self: self._stage is not None and self.stage.steps)
    @rule(data=st.data(), how=st.sampled_from(["large", "large", "small", "absent", "error", "later"]))
    def finish(self, data: st.DataObject, how: str) -> None:
        found = self.stage.steps[data.draw(st.integers(0, len(self.stage.steps) - 1))]
        self._done(found)
        if how != "later":
            self._answer(found, how, is_final=found.request.model != "d" or data.draw(st.booleans()))

    @precondition(lambda self: self._owing)
    @rule(data=st.data(), how=st.sampled_from(["large", "small", "error", "empty", "lost"]), is_final=st.booleans())
    def respond(self, data: st.DataObject, how: str, is_final: bool) -> None:
        found = self._owing[data.draw(st.sampled_from(sorted(self._owing)))]
        self._answer(found, how, is_final=is_final or found.request.model != "d")

    @precondition(lambda self: any(self._kept.values()))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """A response comes once more."""
        counter = data.draw(st.sampled_from(sorted(key for key, kept in self._kept.items() if kept)))
        index = data.draw(st.sampled_from(sorted(self._kept[counter])))
        found, message, payload = self._kept[counter][index]
        self._note_twice(found, message)
        self._perform(self.stage.give(found, message, payload))

    @precondition(lambda self: self._stage is not None)
    @rule(name=st.sampled_from("abcd"), is_executing=st.booleans())
    def die(self, name: str, is_executing: bool) -> None:
        """An executor ends with all that it has and keeps, and is started anew."""
        executor = f"x-{name}"
        held = [found for found in self.stage.steps if found.executor == executor]
        self.stage.steps = [found for found in self.stage.steps if found.executor != executor]
        self.stage.held = {block for block in self.stage.held if block[0] != executor}
        self._owing = {key: found for key, found in self._owing.items() if found.executor != executor}
        for counter, kept in self._kept.items():
            self._kept[counter] = {i: entry for i, entry in kept.items() if entry[0].executor != executor}
        batches = [(1, found.batch_id) for found in held]
        self._perform(self.stage.handle(ExecutorGone(executor, "signal 9", batches if is_executing else [])))
        self.stage.add_instance(name)
        self._perform([])

    @precondition(lambda self: self._arrived)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        counter = data.draw(st.sampled_from(sorted(self._arrived)))
        if not self._is_answered(counter):
            self._cancelled.add(counter)
            self._perform(self.stage.cancel(counter))

    @precondition(lambda self: self._arrived)
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        counter = data.draw(st.sampled_from(sorted(self._arrived)))
        if self._arrived[counter]:
            self._perform(self.stage.take(counter, max(self._arrived[counter])))

    @precondition(lambda self: self._stage is not None)
    @rule(duration_ms=st.sampled_from([1, 5, 2_000, 7_000]))
    def wait(self, duration_ms: int) -> None:
        self._perform(self.stage.wait(duration_ms * MS))

    @precondition(lambda self: self._stage is not None)
    @rule()
    def mend_link(self) -> None:
        self._perform(self.stage.handle(LinkChanged(None)))

    @precondition(lambda self: self._arrived)
    @rule()
    def ask(self) -> None:
        self._ask()

    @invariant()
    def answers_are_in_order_and_end_once(self) -> None:
        for arrived in self._arrived.values():
            finals = [index for index, message in arrived.items() if message.final]
            assert sorted(arrived) == list(range(len(arrived)))
            assert finals in ([], [len(arrived) - 1])

    @invariant()
    def what_is_being_read_is_held(self) -> None:
        if self._stage is None:
            return
        for found in self.stage.steps:
            for ref in found.inputs.values():
                if isinstance(ref, ArenaRef) and ref.segment != "gateway" and self._lives(ref):
                    assert (ref.segment, ref.generation) in self.stage.held | self._given_twice

    @invariant()
    def a_block_is_released_once(self) -> None:
        if self._stage is not None:
            twice = {block for block, count in self.stage.releases.items() if count > 1}
            assert twice <= self._given_twice

    def teardown(self) -> None:
        """Whatever happened, every request is answered in the end and every block is released."""
        if self._stage is None:
            return
        for _ in range(20 * self._last + 40):
            while self.stage.steps:
                self._done(self.stage.steps[0])
            for found in list(self._owing.values()):
                self._answer(found, "large", is_final=True)
            self._take_all()
            self._perform(self.stage.wait(1 * S))
            self._ask()
            self._take_all()
            if self.stage.core.open_count == 0 and not self.stage.steps:
                break
        assert self.stage.core.open_count == 0
        for counter in self._arrived:
            assert self._is_answered(counter) or counter in self._cancelled
        for executor, generation in sorted(self.stage.held):
            # What got lost and nobody waits for is released when its executor asks.
            self._perform(self.stage.handle(HoldsAsked(executor, (generation,))))
        assert self.stage.held == set()

    def _done(self, found: Step) -> None:
        """An executor is done with a batch; what it has been given twice it answers once."""
        self.stage.steps.remove(found)
        counter = found.request.counter
        if counter not in self._owing and not self._kept.get(counter):
            self._owing[counter] = found
        self._perform(self.stage.handle(BatchFinished(found.executor, 1, found.batch_id)))

    def _answer(self, found: Step, how: str, *, is_final: bool) -> None:
        counter = found.request.counter
        if self._owing.get(counter) is not found:
            return
        kept = self._kept.setdefault(counter, {})
        index = max(kept, default=-1) + 1
        error = (int(Code.INTERNAL), "no") if how == "error" else None
        is_empty = how == "empty" and is_final and found.request.model == "d"
        outputs = {"large": LARGE_NBYTES, "lost": LARGE_NBYTES, "absent": None}
        wanted = None if error or is_empty else {"Y": outputs.get(how, ONE)}
        message, payload = self.stage.response(
            found, wanted, index=index, final=is_final, error=error, is_empty=is_empty
        )
        kept[index] = (found, message, payload)
        if is_final:
            del self._owing[counter]
        if how != "lost":
            self._perform(self.stage.give(found, message, payload))

    def _ask(self) -> None:
        """The client's gateway asks after all that is open; what is unknown it sends again."""
        open_ = tuple(c for c in self._arrived if not self._is_answered(c) and c not in self._cancelled)
        self._perform(self.stage.handle(ReconcileAsked(SUBMITTER, open_)))

    def _take_all(self) -> None:
        for counter, arrived in self._arrived.items():
            if arrived:
                self._perform(self.stage.take(counter, max(arrived)))

    def _is_answered(self, counter: int) -> bool:
        return any(message.final for message in self._arrived[counter].values())

    def _note_twice(self, found: Step, message: InferResponse) -> None:
        refs = [out.ref for out in message.outputs if isinstance(out.ref, ArenaRef)]
        self._given_twice |= {(found.executor, ref.generation) for ref in refs}

    def _lives(self, ref: ArenaRef) -> bool:
        kept = [entry for entries in self._kept.values() for entry in entries.values()]
        return any(ref in [out.ref for out in message.outputs] for _, message, _ in kept)

    def _perform(self, actions: list[Action]) -> None:
        for answer in self.stage.answers[self._seen_answers :]:
            assert answer.to == SUBMITTER
            arrived = self._arrived[answer.message.counter]
            before = arrived.setdefault(answer.message.response_index, answer.message)
            assert before == answer.message, "an answer that is given again is the same"
        self._seen_answers = len(self.stage.answers)
        for action in actions:
            self._take_action(action)

    def _take_action(self, action: Action) -> None:
        assert not isinstance(action, Refuse), "an ensemble is answered, however it ends"
        assert isinstance(action, Tell)
        match action.message:
            case Resend(_, submitter, counter):
                assert submitter == OWN
                for found, message, payload in list(self._kept.get(counter, {}).values()):
                    if found.executor == action.to:
                        self._note_twice(found, message)
                        self._perform(self.stage.give(found, message, payload))
            case ReconcileReply(_, _, unknown, lost):
                assert not unknown, "nothing is lost on the way here"
                assert not Counter(lost) or all(self._is_answered(counter) for counter in lost)


TestEnsembles = Ensembles.TestCase
TestEnsembles.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
