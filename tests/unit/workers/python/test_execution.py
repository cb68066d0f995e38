from __future__ import annotations

from typing import cast

import pytest

from shoal.workers.python.execution import ContractViolation, check_nothing_returned, checked_responses
from shoal.workers.python.response import InferenceResponse
from shoal.workers.python.response_sender import InferenceResponseSender

RESPONSE = InferenceResponse([])


SENDER = cast(InferenceResponseSender, object())


def test_one_response_per_request_is_accepted() -> None:
    assert checked_responses([RESPONSE, RESPONSE], [None, None]) == [RESPONSE, RESPONSE]


def test_nothing_is_expected_where_a_sender_answers() -> None:
    assert checked_responses([None, RESPONSE], [SENDER, None]) == [None, RESPONSE]
    assert checked_responses(None, [SENDER, SENDER]) == [None, None]


def test_nothing_for_a_request_that_no_sender_answers_is_refused() -> None:
    with pytest.raises(ContractViolation, match="Expected a list in the execute return, found type"):
        checked_responses(None, [SENDER, None])


def test_a_decoupled_model_returns_nothing() -> None:
    check_nothing_returned(None, "m_0")
    with pytest.raises(ContractViolation) as refused:
        check_nothing_returned([], "m_0")
    assert str(refused.value) == (
        "Python model 'm_0' is using the decoupled mode and the execute function must return None."
    )


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (None, "Expected a list in the execute return, found type '<class 'NoneType'>'."),
        ((RESPONSE,), "Expected a list in the execute return, found type '<class 'tuple'>'."),
        (
            [],
            "Number of InferenceResponse objects do not match the number of InferenceRequest objects. "
            "InferenceRequest(s) size is:1, and InferenceResponse(s) size is:0",
        ),
        (
            [None],
            "Expected an 'InferenceResponse' object in the execute function return list, found type "
            "'<class 'NoneType'>'.",
        ),
    ],
)
def test_anything_else_is_refused_in_tritons_words(returned: object, text: str) -> None:
    with pytest.raises(ContractViolation) as refused:
        checked_responses(returned, [None])
    assert str(refused.value) == text
