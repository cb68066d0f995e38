from __future__ import annotations

from typing import Any

import pytest

from shoal.core.errors import InvalidArgument, Unsupported
from shoal.core.model_config import ModelConfig, from_json
from shoal.workers.backends.onnxruntime_options import GlobalThreads, global_threads, session_settings


def config(parameters: dict[str, str] | None = None, **fields: Any) -> ModelConfig:
    values = {key: {"string_value": value} for key, value in (parameters or {}).items()}
    return from_json({"name": "m", "parameters": values} | fields)


def test_defaults_are_tritons_except_that_threads_do_not_spin() -> None:
    settings = session_settings(config())
    assert (settings.intra_op_threads, settings.inter_op_threads) == (0, 0)
    assert (settings.execution_mode, settings.graph_level) == ("ORT_SEQUENTIAL", "ORT_ENABLE_ALL")
    assert (settings.enable_mem_arena, settings.enable_mem_pattern, settings.arena_shrinkage) == (True, True, "")
    assert settings.entries == {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}


def test_parameters_are_read() -> None:
    settings = session_settings(
        config(
            {
                "intra_op_thread_count": "3",
                "inter_op_thread_count": "2",
                "execution_mode": "1",
                "enable_mem_arena": "0",
                "enable_mem_pattern": "0",
                "memory.enable_memory_arena_shrinkage": "cpu:0",
                "session.intra_op.allow_spinning": "1",
                "session.use_device_allocator_for_initializers": "1",
            }
        )
    )
    assert settings == (
        3,
        2,
        "ORT_PARALLEL",
        "ORT_ENABLE_ALL",
        False,
        False,
        {
            "session.intra_op.allow_spinning": "1",
            "session.inter_op.allow_spinning": "0",
            "session.use_device_allocator_for_initializers": "1",
        },
        "cpu:0",
    )


@pytest.mark.parametrize(
    ("level", "name"),
    [(-1, "ORT_ENABLE_BASIC"), (0, "ORT_ENABLE_ALL"), (1, "ORT_ENABLE_EXTENDED"), (2, "ORT_DISABLE_ALL")],
)
def test_graph_levels(level: int, name: str) -> None:
    assert session_settings(config(optimization={"graph": {"level": level}})).graph_level == name


def test_an_unknown_graph_level_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"optimization\.graph\.level is 7, expected -1, 0, 1 or 2"):
        session_settings(config(optimization={"graph": {"level": 7}}))


def test_a_parameter_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidArgument) as refused:
        session_settings(config({"intra_op_thread_count": "all"}))
    expected = "model 'm': parameter 'intra_op_thread_count' is 'all', expected a whole number"
    assert refused.value.message == expected


def cpu_accelerator(name: str) -> ModelConfig:
    return config(optimization={"execution_accelerators": {"cpu_execution_accelerator": [{"name": name}]}})


def test_an_unknown_accelerator_is_refused_in_tritons_words() -> None:
    with pytest.raises(InvalidArgument) as refused:
        session_settings(cpu_accelerator("warp"))
    assert refused.value.message == "unknown Execution Accelerator 'warp' is requested"


def test_openvino_is_known_and_not_here() -> None:
    with pytest.raises(Unsupported, match="OpenVINO Execution Accelerator is not enabled"):
        session_settings(cpu_accelerator("openvino"))


def test_accelerators_of_gpus_do_not_concern_the_cpu() -> None:
    session_settings(config(optimization={"execution_accelerators": {"gpu_execution_accelerator": [{"name": "?"}]}}))


def test_the_shared_thread_pool_is_off_unless_asked_for() -> None:
    assert global_threads({}) is None
    assert global_threads({"enable-global-threadpool": "0", "intra_op_thread_count": "3"}) is None


def test_the_shared_thread_pool_has_its_own_sizes() -> None:
    found = global_threads({"enable-global-threadpool": "1", "intra_op_thread_count": "3"})
    assert found == GlobalThreads(3, 0)


def test_a_pool_size_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="backend setting 'intra_op_thread_count' is 'x'"):
        global_threads({"enable-global-threadpool": "1", "intra_op_thread_count": "x"})
