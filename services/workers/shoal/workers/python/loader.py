"""Loading a user's model file, and preparing the process for what it imports."""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

from shoal.core.errors import InternalError
from shoal.workers.backend import ModelSource
from shoal.workers.python import triton_python_backend_utils
from shoal.workers.python.failure import exception_text

CLASS_NAME = "TritonPythonModel"
_DEFAULT_FILENAME = "model.py"

#: The names under which models find our module: Triton's, and that of Triton's compiled part.
_MODULE_NAMES = ("triton_python_backend_utils", "c_python_backend_utils")


def model_file(source: ModelSource) -> str:
    """The path of the model's file."""
    filename = source.config.default_model_filename or _DEFAULT_FILENAME
    return os.path.join(_version_directory(source), filename)


def load_class(source: ModelSource) -> type:
    """The model file's `TritonPythonModel`, with the process made ready for it; for a process that has one model.

    Raises InternalError: the file is missing or does not end in `.py`, importing it failed (with the exception's text
    and the user's frames), or it has no such class.
    """
    path = model_file(source)
    if not path.endswith(".py"):
        raise InternalError(
            f"model '{source.name}': the model file's name must end with '.py', got '{os.path.basename(path)}'; "
            "mend default_model_filename"
        )
    if not os.path.isfile(path):
        raise InternalError(f"unable to find '{path}' for model '{source.name}'")
    _prepare_process(source)
    try:
        found = getattr(_execute_file(source, path), CLASS_NAME)
    except BaseException as error:
        raise InternalError(exception_text(error)) from error
    if not isinstance(found, type):
        raise InternalError(f"model '{source.name}': {CLASS_NAME} in '{path}' is {type(found)}, expected a class")
    return found


def _prepare_process(source: ModelSource) -> None:
    for name in _MODULE_NAMES:
        sys.modules[name] = triton_python_backend_utils
    # Compiled files written into the model's directory would look like a changed model to the repository.
    sys.dont_write_bytecode = True
    sys.path[:] = sorted(sys.path, key=_holds_only_us)
    for directory in (source.directory, _version_directory(source)):
        if directory not in sys.path:
            sys.path.insert(0, directory)


def _holds_only_us(directory: str) -> bool:
    """Such a folder goes to the end of the path, behind everything of the user's own."""
    try:
        return set(os.listdir(directory)) - {"__pycache__"} == {"shoal"}
    except OSError:
        return False


def _execute_file(source: ModelSource, path: str) -> ModuleType:
    """Execute the file as module `<version>.<stem>`, inside a package made of the version's directory.

    No import statement can name such a module by accident, while `from .sibling import x` works, as in Triton.
    """
    package = ModuleType(str(source.version))
    package.__path__ = [_version_directory(source)]
    sys.modules[package.__name__] = package
    stem = os.path.splitext(os.path.basename(path))[0]
    spec = spec_from_file_location(f"{package.__name__}.{stem}", path)
    if spec is None or spec.loader is None:
        raise InternalError(f"model '{source.name}': '{path}' cannot be loaded as Python source")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _version_directory(source: ModelSource) -> str:
    return os.path.join(source.directory, str(source.version))
