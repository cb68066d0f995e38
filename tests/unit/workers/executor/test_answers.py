from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from requests_to_execute import large_tensor, tensor
from shoal.core.encoding import SCHEMA, decode
from shoal.core.errors import Code, InvalidArgument, ShoalError
from shoal.core.messages import OUT_OF_ORDER, InferResponse, Timings
from shoal.core.tensors import ArenaRef
from shoal.memory import Arena, Packed, pack
from shoal.workers.executor.answered import NO_RESPONSE, Answered, failed
from shoal.workers.executor.answers import ONLY, Answer, KeptAnswers, Place, answer, lost

TIMES = Timings(1, 2, 3, 4)


def made(answered: Answered, executed: bool = True, place: Place = ONLY) -> Answer:
    return answer(9, answered, executed, TIMES, place)


def decoded(given: Answer) -> InferResponse:
    return cast(InferResponse, decode(SCHEMA[InferResponse][0], given.header))


def failure(given: Answer) -> tuple[int, str]:
    error = decoded(given).error
    assert error is not None
    return error


def test_outputs_follow_the_header_untouched() -> None:
    x, y = tensor("X", [[1.0]]), tensor("Y", [[2.0]])
    given = made(Answered(pack((x, y), None, "g"), {"p": 1}, None))
    message = decoded(given)
    assert [(o.name, o.ref.offset) for o in message.outputs] == [("X", 0), ("Y", 4)]
    assert (given.buffers, given.generation) == ((x.data, y.data), None)
    assert (message.counter, message.final, message.executed, message.error) == (9, True, True, None)
    assert (message.parameters, message.timings) == ({"p": 1}, TIMES)


def test_outputs_in_a_block_are_referred_to_and_do_not_count_as_kept_bytes(tmp_path: Path) -> None:
    arena = Arena.open("executor-1", 2**24, tmp_path)
    given = made(Answered(pack([large_tensor("X")], arena, "g"), {}, None))
    (output,) = decoded(given).outputs
    assert isinstance(output.ref, ArenaRef)
    assert (given.buffers, given.generation) == ((), output.ref.generation)
    assert given.nbytes < 1024
    arena.close()


def test_an_error_carries_no_outputs() -> None:
    given = made(failed(InvalidArgument("no")), executed=False)
    message = decoded(given)
    assert (message.error, message.outputs, message.executed) == ((Code.INVALID_ARG, "no"), (), False)
    assert (given.buffers, given.generation) == ((), None)


def test_parameters_that_cannot_travel_become_an_error() -> None:
    parameters: Any = {"p": object()}
    assert failure(made(Answered(Packed((), [], None), parameters, None)))[0] == Code.INTERNAL


def test_a_response_that_only_ends_its_request_says_so() -> None:
    message = decoded(made(NO_RESPONSE, place=Place(7, True, True)))
    assert (message.response_index, message.final, message.is_empty) == (7, True, True)


def test_an_error_is_a_response_whatever_it_takes_the_place_of() -> None:
    message = decoded(made(failed(InvalidArgument("no")), place=Place(7, True, True)))
    assert (message.response_index, message.final, message.is_empty) == (7, True, False)


def test_an_answer_that_is_gone_is_unavailable_and_ends_a_request_whatever_came_before() -> None:
    code, message = failure(lost(9))
    assert (decoded(lost(9)).response_index, decoded(lost(9)).final) == (OUT_OF_ORDER, True)
    assert code == Code.UNAVAILABLE
    assert "no longer kept" in message


def kept(nbytes: int = 10) -> Answer:
    return Answer(b"h" * nbytes, ())


def test_an_answer_is_kept_for_its_time() -> None:
    answers = KeptAnswers(keep_s=30.0)
    answers.keep(("g", 1), kept(), 100.0)
    assert answers.find(("g", 1), 129.9) == kept()
    assert answers.find(("g", 1), 130.0) is None


def test_what_is_too_old_is_forgotten() -> None:
    answers = KeptAnswers(keep_s=30.0)
    answers.keep(("g", 1), kept(), 100.0)
    answers.keep(("g", 2), kept(), 120.0)
    answers.expire(131.0)
    assert answers.keys(131.0) == (("g", 2),)


def test_the_oldest_goes_when_there_are_too_many() -> None:
    answers = KeptAnswers(limit_count=2)
    for counter in (1, 2, 3):
        answers.keep(("g", counter), kept(), 0.0)
    assert answers.keys(0.0) == (("g", 2), ("g", 3))


def test_the_oldest_goes_when_they_are_too_big() -> None:
    answers = KeptAnswers(limit_bytes=25)
    for counter in (1, 2, 3):
        answers.keep(("g", counter), kept(10), 0.0)
    assert answers.keys(0.0) == (("g", 2), ("g", 3))


def test_an_answer_above_the_limit_alone_is_not_kept() -> None:
    answers = KeptAnswers(limit_bytes=25)
    answers.keep(("g", 1), kept(26), 0.0)
    assert answers.keys(0.0) == ()


def test_an_answer_goes_with_its_block_and_with_no_other() -> None:
    answers = KeptAnswers()
    answers.keep(("g", 1), kept()._replace(generation=7), 0.0)
    answers.forget(("g", 1), 6)
    assert answers.keys(0.0) == (("g", 1),)
    answers.forget(("g", 1), 7)
    assert answers.keys(0.0) == ()


def test_a_second_answer_replaces_the_first() -> None:
    answers = KeptAnswers(limit_bytes=25)
    answers.keep(("g", 1), kept(20), 0.0)
    answers.keep(("g", 1), kept(10), 1.0)
    answers.keep(("g", 2), kept(10), 2.0)
    assert answers.find(("g", 1), 2.0) == kept(10)


def test_errors_of_every_kind_can_be_sent() -> None:
    for kind in ShoalError.__subclasses__():
        assert failure(made(failed(kind("text")))) == (int(kind.code), "text")


def test_an_error_whose_text_is_no_text_can_be_sent() -> None:
    assert failure(made(failed(InvalidArgument("file \udcff")))) == (3, "file \\udcff")
