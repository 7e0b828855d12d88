"""A processor class by its name, from an installed module or from a file of the user's."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import cloudpickle

from cortado.errors import ConfigError


def load_processor(name: str, config_folder: Path) -> tuple[type, str]:
    """The class ``module:Class`` or ``file.py:Class``, and a hash of the code that comes with it.

    A class from a file, and modules in the same folder that it imports, are sent to the workers by value,
    since they cannot import them. Raises ``ConfigError`` if it cannot be had.
    """
    where, _, class_name = name.rpartition(":")
    try:
        module = (
            _module_from_file(config_folder / where)
            if where.endswith(".py")
            else importlib.import_module(where)
        )
    except Exception as error:  # importing a user's file runs their code
        raise ConfigError(
            f"processor.class: cannot import {where}: {type(error).__name__}: {error}"
        ) from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise ConfigError(f"processor.class: {where} has no class {class_name!r}")
    if not callable(getattr(found, "process", None)):
        raise ConfigError(
            f"processor.class: {class_name} in {where} has no method 'process', so it is no processor"
        )
    return found, _digest(_beside(module) if where.endswith(".py") else [module])


def _module_from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"cortado_user_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    for helper in set(cloudpickle.list_registry_pickle_by_value()) - {name}:
        sys.modules.pop(helper, None)  # another job's helper may have the same name
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    for theirs in _beside(module):
        cloudpickle.register_pickle_by_value(theirs)
    return module


def _beside(module: ModuleType) -> list[ModuleType]:
    """The module and those that were imported from its folder."""
    folder = Path(str(module.__file__)).resolve().parent
    files = [(m, getattr(m, "__file__", None)) for m in list(sys.modules.values())]
    return [m for m, file in files if file and Path(file).resolve().parent == folder]


def _digest(modules: list[ModuleType]) -> str:
    paths = sorted({str(m.__file__) for m in modules if m.__file__})
    return hashlib.sha256(b"".join(Path(path).read_bytes() for path in paths)).hexdigest()
