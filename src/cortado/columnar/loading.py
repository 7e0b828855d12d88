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
    """The class ``module:Class`` or ``file.py:Class``, and a hash of its file.

    A class from a file is sent to the workers by value, since they cannot import it.
    Raises ``ConfigError`` if it cannot be had.
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
    source = Path(str(module.__file__)).read_bytes() if module.__file__ else b""
    return found, hashlib.sha256(source).hexdigest()


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
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module
