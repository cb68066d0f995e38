from __future__ import annotations

from shoal.core.messages import V3, InferRequest


def test_the_key_of_a_request_is_its_submitter_and_counter() -> None:
    request = InferRequest(V3, 7, "gateway-1", "ocr", 3, "g", "", 0, 0, 0, 0, None, 0, (), (), {}, "", (), "")
    assert request.key == ("gateway-1", 7)
