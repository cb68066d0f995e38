"""The boundaries between packages: who may import what. Read from the sources, so nothing needs to be installed."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
SERVICES = {"gateway", "scheduler", "workers", "repository"}
SOURCE_ROOTS = [ROOT / "shared", *(ROOT / "services" / name for name in sorted(SERVICES))]

#: Library -> the only packages or modules that may import it.
HAZARDOUS = {
    "nats": ("shoal.bus",),
    "mmap": ("shoal.memory",),
    "cuda": ("shoal.memory",),
    "ctypes": ("shoal.memory", "shoal.runtime.parent_death"),
    "google.protobuf": ("shoal.gateway.grpc", "shoal.repository.config"),
    "tritonclient": ("shoal.gateway.grpc", "shoal.repository.config"),
    "grpc": ("shoal.gateway.grpc",),
    "pyvoy": ("shoal.gateway.grpc",),
    "multiprocessing.shared_memory": (),
    "pickle": (),
}

#: Framework -> the one module that may import it, inside functions only.
FRAMEWORKS = {
    "onnxruntime": "shoal.workers.backends.onnxruntime",
    "torch": "shoal.workers.backends.pytorch",
    "tensorflow": "shoal.workers.backends.tensorflow",
    "tensorrt": "shoal.workers.backends.tensorrt",
    "openvino": "shoal.workers.backends.openvino",
    "paddle": "shoal.workers.backends.paddle",
    "nvidia.dali": "shoal.workers.backends.dali",
}

#: What an executor needs to run under a user's own interpreter.
EXECUTOR_LIBRARIES = {"nats", "msgpack", "numpy"}
EXECUTOR_PYTHON = (3, 10)
#: Standard library names that came after that version.
TOO_NEW_FOR_EXECUTORS = {
    ("asyncio", "Runner"),
    ("asyncio", "TaskGroup"),
    ("asyncio", "timeout"),
    ("asyncio", "timeout_at"),
    ("datetime", "UTC"),
    ("enum", "StrEnum"),
    ("typing", "Never"),
    ("typing", "NotRequired"),
    ("typing", "Self"),
    ("typing", "assert_never"),
    ("typing", "override"),
}


class Import(NamedTuple):
    """One imported module. `deferred`: inside a function, or for type checking only."""

    importer: str
    line: int
    module: str
    deferred: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.module}"


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES: dict[str, Path] = {
    module_name(path, root): path for root in SOURCE_ROOTS for path in sorted(root.glob("shoal/**/*.py"))
}
TREES: dict[str, ast.Module] = {name: ast.parse(path.read_text("utf-8")) for name, path in SOURCES.items()}


def imported_by(module: str) -> Iterator[Import]:
    yield from _imports_in(TREES[module], module, deferred=False)


def _imports_in(node: ast.AST, module: str, deferred: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(module, child.lineno, alias.name, deferred) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module}:{child.lineno}: relative import"
            assert child.module is not None
            for alias in child.names:
                # `from package import name` may import a module: the longer name decides where it is one.
                longer = f"{child.module}.{alias.name}"
                yield Import(module, child.lineno, longer if longer in SOURCES else child.module, deferred)
        else:
            yield from _imports_in(child, module, deferred or _defers(child))


def _defers(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


ALL_IMPORTS = [found for module in TREES for found in imported_by(module)]


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def is_configuration_reader(module: str) -> bool:
    return module.startswith("shoal.repository.config")


def service_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "shoal" and len(parts) > 1 and parts[1] in SERVICES else None


def test_sources_are_found() -> None:
    assert {"shoal.core.messages", "shoal.runtime.service", "shoal.gateway.request"} <= set(SOURCES)


def test_the_namespace_has_no_init_module() -> None:
    assert [root for root in SOURCE_ROOTS if (root / "shoal" / "__init__.py").exists()] == []


def test_services_never_import_each_other() -> None:
    crossing = [
        str(found)
        for found in ALL_IMPORTS
        if service_of(found.importer)
        and service_of(found.module)
        and service_of(found.importer) != service_of(found.module)
    ]
    assert crossing == []


def test_shared_code_never_imports_a_service() -> None:
    reaching = [str(f) for f in ALL_IMPORTS if service_of(f.importer) is None and service_of(f.module)]
    assert reaching == []


@pytest.mark.parametrize("library", HAZARDOUS)
def test_a_hazardous_library_is_imported_in_its_one_place(library: str) -> None:
    elsewhere = [
        str(found)
        for found in ALL_IMPORTS
        if is_within(found.module, library)
        and not any(
            is_within(found.importer, allowed)
            or (allowed == "shoal.repository.config" and is_configuration_reader(found.importer))
            for allowed in HAZARDOUS[library]
        )
    ]
    assert elsewhere == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_is_imported_lazily_by_its_backend_alone(framework: str) -> None:
    elsewhere = [
        str(found)
        for found in ALL_IMPORTS
        if is_within(found.module, framework)
        and not (found.deferred and is_within(found.importer, FRAMEWORKS[framework]))
    ]
    assert elsewhere == []


def executor_modules() -> set[str]:
    """The modules that an executor process imports at start, and all that they import."""
    reached: set[str] = set()
    pending = [m for m in SOURCES if m.startswith("shoal.workers.executor") or is_within(m, "shoal.workers.python")]
    while pending:
        module = pending.pop()
        if module in reached:
            continue
        reached.add(module)
        pending += [found.module for found in imported_by(module) if found.module in SOURCES and not found.deferred]
    return reached


def test_executors_need_three_libraries_only() -> None:
    allowed = EXECUTOR_LIBRARIES | {"shoal"} | sys.stdlib_module_names
    others = [
        str(found)
        for module in executor_modules()
        for found in imported_by(module)
        if not found.deferred and found.module.split(".")[0] not in allowed
    ]
    assert others == []


def test_executors_run_on_their_oldest_python() -> None:
    for module in executor_modules():
        ast.parse(SOURCES[module].read_text("utf-8"), filename=module, feature_version=EXECUTOR_PYTHON)
    too_new = [
        f"{module}:{line} uses {library}.{name}"
        for module in executor_modules()
        for library, name, line in _names_used(TREES[module])
        if (library, name) in TOO_NEW_FOR_EXECUTORS
    ]
    assert too_new == []


def _names_used(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    """Attributes of modules and names imported from them: (module, name, line)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name, node.lineno) for alias in node.names)


def test_no_module_is_named_for_nothing_in_particular() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [name for name in SOURCES if name.rsplit(".", 1)[-1] in vague] == []
