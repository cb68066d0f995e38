"""The contract of `execute`: what it must return."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.workers.python.error import TritonModelException
from shoal.workers.python.response import TRITONSERVER_RESPONSE_COMPLETE_FINAL, InferenceResponse
from shoal.workers.python.response_sender import InferenceResponseSender


class ContractViolation(TritonModelException):
    """`execute` returned something that cannot be an answer to its requests."""


Senders = Sequence[InferenceResponseSender | None]


def checked_responses(returned: object, senders: Senders) -> list[InferenceResponse | None]:
    """What `execute` returned, known to be one InferenceResponse per request, or None for one whose sender (of
    `senders`, one per request) the model has asked for. Raises ContractViolation."""
    if returned is None and senders and None not in senders:
        return [None] * len(senders)
    if not isinstance(returned, list):
        raise ContractViolation(f"Expected a list in the execute return, found type '{type(returned)}'.")
    if len(returned) != len(senders):
        raise ContractViolation(
            "Number of InferenceResponse objects do not match the number of InferenceRequest objects. "
            f"InferenceRequest(s) size is:{len(senders)}, and InferenceResponse(s) size is:{len(returned)}"
        )
    for response, sender in zip(returned, senders, strict=True):
        if not isinstance(response, InferenceResponse) and (response is not None or sender is None):
            raise ContractViolation(
                "Expected an 'InferenceResponse' object in the execute function return list, found type "
                f"'{type(response)}'."
            )
    return returned


def check_nothing_returned(returned: object, instance: str) -> None:
    """A decoupled model answers by senders alone. Raises ContractViolation."""
    if returned is not None:
        raise ContractViolation(
            f"Python model '{instance}' is using the decoupled mode and the execute function must return None."
        )


def pass_on(response: InferenceResponse, sender: InferenceResponseSender) -> None:
    """A response that was returned for a request with a sender goes the same way, as its only one. Raises
    ContractViolation when the sender was given one already."""
    try:
        sender.send(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except TritonModelException as error:
        raise ContractViolation(str(error)) from None
