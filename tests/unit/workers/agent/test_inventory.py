from __future__ import annotations

from importlib.metadata import EntryPoint

from idle_backend import IdleBackend
from shoal.workers.agent.inventory import ENTRY_POINT_GROUP, available_backends
from shoal.workers.backend import Backend


class NeedsTheMoon(IdleBackend):
    requires = ("json", "a_framework_that_nobody_has")


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, ENTRY_POINT_GROUP)


def test_backends_are_found_by_entry_point() -> None:
    found = available_backends([point("onnxruntime", "shoal.workers.backends.onnxruntime:OnnxRuntimeBackend")])
    assert found["onnxruntime"].entry_point == "shoal.workers.backends.onnxruntime:OnnxRuntimeBackend"


def test_a_backend_without_its_framework_is_not_offered() -> None:
    class Point:
        """An entry point of a class that cannot be imported by name."""

        name, value = "moon", "x:NeedsTheMoon"

        def load(self) -> type[Backend]:
            return NeedsTheMoon

    assert available_backends([Point()]) == {}  # type: ignore[list-item]


def test_a_backend_that_cannot_be_imported_does_not_hide_the_others() -> None:
    broken = point("broken", "shoal.no_such_module:Backend")
    good = point("onnxruntime", "shoal.workers.backends.onnxruntime:OnnxRuntimeBackend")
    assert list(available_backends([broken, good])) == ["onnxruntime"]
