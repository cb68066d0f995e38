from __future__ import annotations

import pytest

from shoal.workers.python.execution import ContractViolation, checked_responses
from shoal.workers.python.response import InferenceResponse

RESPONSE = InferenceResponse([])


def test_one_response_per_request_is_accepted() -> None:
    assert checked_responses([RESPONSE, RESPONSE], 2) == [RESPONSE, RESPONSE]


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
        checked_responses(returned, 1)
    assert str(refused.value) == text
