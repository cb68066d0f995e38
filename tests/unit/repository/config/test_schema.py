from __future__ import annotations

import subprocess
import sys

import pytest

ALONE = """
import sys
from shoal.repository.config.schema import new_config
assert type(new_config()).__name__ == "ModelConfig"
dragged = {"grpc", "tritonclient", "numpy"} & {name.partition(".")[0] for name in sys.modules}
assert not dragged, dragged
"""
BESIDE_THE_CLIENT = """
{first}
{second}
from tritonclient.grpc import model_config_pb2
from shoal.repository.config.schema import new_config
config = new_config()
config.name = "m"
assert type(config) is model_config_pb2.ModelConfig
assert model_config_pb2.ModelConfig.FromString(config.SerializeToString()) == config
"""
OURS = "from shoal.repository.config.schema import new_config; new_config()"
CLIENT = "import tritonclient.grpc"


def run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_schema_is_loaded_without_grpc() -> None:
    run(ALONE)


@pytest.mark.parametrize(("first", "second"), [(OURS, CLIENT), (CLIENT, OURS)])
def test_schema_and_client_share_one_registration(first: str, second: str) -> None:
    run(BESIDE_THE_CLIENT.format(first=first, second=second))
