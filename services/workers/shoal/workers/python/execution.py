"""The contract of `execute`: what it must return."""

from __future__ import annotations

from shoal.workers.python.error import TritonModelException
from shoal.workers.python.response import InferenceResponse


class ContractViolation(TritonModelException):
    """`execute` returned something that cannot be an answer to its requests."""


def checked_responses(returned: object, request_count: int) -> list[InferenceResponse]:
    """What `execute` returned, known to be one InferenceResponse per request. Raises ContractViolation."""
    if not isinstance(returned, list):
        raise ContractViolation(f"Expected a list in the execute return, found type '{type(returned)}'.")
    if len(returned) != request_count:
        raise ContractViolation(
            "Number of InferenceResponse objects do not match the number of InferenceRequest objects. "
            f"InferenceRequest(s) size is:{request_count}, and InferenceResponse(s) size is:{len(returned)}"
        )
    for response in returned:
        if not isinstance(response, InferenceResponse):
            raise ContractViolation(
                "Expected an 'InferenceResponse' object in the execute function return list, found type "
                f"'{type(response)}'."
            )
    return returned
