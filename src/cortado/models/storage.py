"""Models in JSON files: the class, its configuration and its variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from cortado.errors import InputError, sentences
from cortado.files import write_text

Floats = npt.NDArray[np.float64]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["cortado-model"] = "cortado-model"
    version: Literal[1] = 1
    model: str
    configuration: dict[str, Any]
    variables: dict[str, Any]


def write_model(
    path: str | Path, name: str, configuration: Mapping[str, Any], state: Mapping[str, Floats]
) -> None:
    """Write a model of the class ``name``, whole or not at all."""
    variables = {key: value.tolist() for key, value in state.items()}
    file = _File(model=name, configuration=dict(configuration), variables=variables)
    write_text(path, json.dumps(file.model_dump(), indent=1) + "\n")


def read_model(path: str | Path, name: str) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Configuration and variables of a model of the class ``name``.

    Raises ``InputError`` if the file holds no model, or one of another class.
    """
    try:
        file = _File.model_validate_json(Path(path).read_text(encoding="utf-8"))
        state = {key: np.asarray(value, np.float64) for key, value in file.variables.items()}
    except OSError as error:
        raise InputError(f"cannot read the model {path}: {error.strerror}") from error
    except ValidationError as error:
        raise InputError(f"{path} is not a valid model: {'; '.join(sentences(error))}") from error
    except (UnicodeDecodeError, ValueError, TypeError) as error:
        raise InputError(f"{path} is not a valid model: {error}") from error
    if file.model != name:
        raise InputError(f"{path} holds a {file.model}, not a {name}")
    return file.configuration, state
