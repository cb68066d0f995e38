from __future__ import annotations

from typing import Any, cast

from requests_to_execute import infer_request, items_of, tensor
from shoal.core.encoding import SCHEMA, decode
from shoal.core.errors import Code, InvalidArgument, ShoalError
from shoal.core.messages import InferResponse, Timings
from shoal.core.tensors import Tensor
from shoal.workers.backend import Response
from shoal.workers.executor.answers import Answer, KeptAnswers, answer, lost
from shoal.workers.executor.execution import Result

TIMES = Timings(1, 2, 3, 4)


def result(response: Response, executed: bool = True, **fields: Any) -> Result:
    (item,) = items_of(infer_request(tensor("A", [[1.0]]), counter=9, **fields))
    return Result(item, response, executed, TIMES)


def decoded(given: Answer) -> InferResponse:
    return cast(InferResponse, decode(SCHEMA[InferResponse][0], given.header))


def failure(given: Answer) -> tuple[int, str]:
    error = decoded(given).error
    assert error is not None
    return error


def outputs(*names: str) -> tuple[Tensor, ...]:
    return tuple(tensor(name, [[float(index)]]) for index, name in enumerate(names))


def test_outputs_follow_the_header_untouched() -> None:
    x, y = outputs("X", "Y")
    given = answer(result(Response((x, y), {"p": 1}, None)))
    message = decoded(given)
    assert [(o.name, o.ref.offset) for o in message.outputs] == [("X", 0), ("Y", 4)]
    assert given.buffers == (x.data, y.data)
    assert (message.counter, message.final, message.executed, message.error) == (9, True, True, None)
    assert (message.parameters, message.timings) == ({"p": 1}, TIMES)


def test_only_what_was_asked_for_leaves() -> None:
    given = answer(result(Response(outputs("X", "Y"), {}, None), outputs=("Y",)))
    assert [output.name for output in decoded(given).outputs] == ["Y"]


def test_an_error_carries_no_outputs() -> None:
    given = answer(result(Response(outputs("X"), {}, InvalidArgument("no")), executed=False))
    message = decoded(given)
    assert (message.error, message.outputs, message.executed) == ((Code.INVALID_ARG, "no"), (), False)
    assert given.buffers == ()


def test_parameters_that_cannot_travel_become_an_error() -> None:
    parameters: Any = {"p": object()}
    assert failure(answer(result(Response((), parameters, None))))[0] == Code.INTERNAL


def test_an_answer_that_is_gone_is_unavailable() -> None:
    code, message = failure(lost(9))
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


def test_a_second_answer_replaces_the_first() -> None:
    answers = KeptAnswers(limit_bytes=25)
    answers.keep(("g", 1), kept(20), 0.0)
    answers.keep(("g", 1), kept(10), 1.0)
    answers.keep(("g", 2), kept(10), 2.0)
    assert answers.find(("g", 1), 2.0) == kept(10)


def test_errors_of_every_kind_can_be_sent() -> None:
    for kind in ShoalError.__subclasses__():
        assert failure(answer(result(Response((), {}, kind("text"))))) == (int(kind.code), "text")


def test_an_error_whose_text_is_no_text_can_be_sent() -> None:
    assert failure(answer(result(Response((), {}, InvalidArgument("file \udcff"))))) == (3, "file \\udcff")
