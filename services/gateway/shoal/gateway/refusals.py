"""Why a request is not taken on, or given up, in words for its client."""

from __future__ import annotations

from shoal.core.errors import Unavailable
from shoal.gateway.errors import Overloaded
from shoal.gateway.open_request import OpenRequest


def too_late(model: str) -> Unavailable:
    return Unavailable(f"deadline passed before the request for model '{model}' was sent")


def no_broker(model: str) -> Unavailable:
    return Unavailable(
        f"request for model '{model}' was not accepted: the message broker cannot be reached; try again later"
    )


def too_many_kept(count: int) -> Overloaded:
    return Overloaded(
        f"gateway is overloaded: the inputs of {count} requests are kept until the scheduler says that nobody reads "
        "them; try again later"
    )


def expired(request: OpenRequest, now: float) -> Unavailable:
    deadline_s = request.checked.call.deadline_s or now
    return Unavailable(
        f"deadline of {(deadline_s - request.opened_at) * 1e3:.0f} ms passed after "
        f"{(now - request.opened_at) * 1e3:.0f} ms without an answer for model '{_model(request)}'"
    )


def held_too_long(request: OpenRequest, for_s: float, missing: str) -> Unavailable:
    return Unavailable(
        f"request for model '{_model(request)}' waited {for_s:.0f} s in vain: {missing}; try again later"
    )


def stale_too_long(request: OpenRequest, for_s: float) -> Unavailable:
    return Unavailable(f"model '{_model(request)}' was being replaced for more than {for_s:.0f} s; try again later")


def answer_lost(request: OpenRequest) -> Unavailable:
    return Unavailable(
        f"request for model '{_model(request)}' was executed, but its answer was lost with the process that held it; "
        "it may be sent again"
    )


def never_arrives(request: OpenRequest) -> Unavailable:
    return Unavailable(
        f"request for model '{_model(request)}' was sent {request.losses} times and did not arrive at the scheduler; "
        "are all processes of one release?"
    )


def interrupted(request: OpenRequest, cause: str) -> Unavailable:
    count = 0 if request.progress is None else request.progress.expected
    return Unavailable(
        f"request for model '{_model(request)}' was interrupted after {count} responses: {cause}; it is not executed a "
        "second time"
    )


def _model(request: OpenRequest) -> str:
    return request.checked.call.model
