"""The messages come from tritonclient, without its client."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from shoal.gateway.grpc.schema import service_pb2
assert "grpc" not in sys.modules and "tritonclient.grpc" not in sys.modules
import tritonclient.grpc
assert tritonclient.grpc.service_pb2 is service_pb2
tritonclient.grpc.InferInput("x", [1], "FP32")
"""


def test_the_schema_needs_no_grpc_and_the_real_package_finds_it_later() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
