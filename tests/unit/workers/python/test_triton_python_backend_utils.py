from __future__ import annotations

from shoal.workers.python import triton_python_backend_utils as pb_utils


def test_every_listed_name_is_there() -> None:
    assert all(hasattr(pb_utils, name) for name in pb_utils.__all__)


def test_constants_have_tritons_values() -> None:
    assert (
        pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START,
        pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END,
        pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL,
        pb_utils.TRITONSERVER_REQUEST_RELEASE_ALL,
        pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE,
    ) == (1, 2, 1, 1, 2)
