"""Checkpoints: a training in a file, from which it goes on to the same result."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from cortado._version import __version__
from cortado.categorizer.rules import Rule
from cortado.errors import ConfigError, InputError
from cortado.files import write_whole
from cortado.points import Points
from cortado.training.hard import HardState
from cortado.training.history import Step

Floats = npt.NDArray[np.float64]

_FORMAT = "cortado-checkpoint-1"
_RULE: TypeAdapter[Any] = TypeAdapter(Rule)


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a training stood: the last step taken from which start, and what had been found."""

    start: int
    step: int
    ended: bool
    variables: dict[str, Floats]
    best: HardState | None
    history: tuple[Step, ...]
    diverged: tuple[str, ...]


class Checkpoint:
    """The file of one training, which ``description`` tells from all others."""

    def __init__(self, path: str | Path, description: dict[str, str]) -> None:
        self._path = Path(path)
        self._description = description | {"cortado": __version__}

    def save(self, progress: Progress) -> None:
        """Write the state, whole or not at all."""
        best = progress.best
        header = {
            "format": _FORMAT,
            "description": self._description,
            "start": progress.start,
            "step": progress.step,
            "ended": progress.ended,
            "best": None
            if best is None
            else {"rule": best.rule.model_dump(), "value": best.value, "shortfall": best.shortfall},
            "history": [asdict(s) for s in progress.history],
            "diverged": progress.diverged,
        }
        arrays = {f"now_{name}": value for name, value in progress.variables.items()}
        arrays |= {f"best_{name}": value for name, value in (best.variables if best else {}).items()}
        with write_whole(self._path) as partial, Path(partial).open("wb") as file:
            np.savez(file, allow_pickle=False, header=np.array(json.dumps(header)), **arrays)

    def load(self) -> Progress | None:
        """The state that was saved, None if there is none.

        Raises ``InputError`` if the file is no checkpoint, ``ConfigError`` if it is that of another training.
        """
        if not self._path.exists():
            return None
        try:
            # Where it finds no archive, numpy leaves a file that it opened itself open.
            with self._path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(str(arrays.pop("header")))
            if header["format"] != _FORMAT:
                raise ValueError(header["format"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{self._path} is not a checkpoint of a training: {error}") from error
        for what, value in self._description.items():
            if header["description"].get(what) != value:
                raise ConfigError(
                    f"checkpoint {self._path} is that of another training: its {what} is "
                    f"{header['description'].get(what)}, here it is {value}"
                )
        found = header["best"]
        now, then = (
            {n.removeprefix(p): a for n, a in arrays.items() if n.startswith(p)} for p in ("now_", "best_")
        )
        best = found and HardState(
            _RULE.validate_python(found["rule"]), found["value"], found["shortfall"], then
        )
        history = tuple(Step(**{**s, "bias": tuple(s["bias"])}) for s in header["history"])
        return Progress(
            header["start"],
            header["step"],
            header["ended"],
            now,
            best,
            history,
            tuple(header["diverged"]),
        )


def digest(points: Points) -> str:
    """A hash of the points."""
    sha = hashlib.sha256(repr(points.processes).encode())
    for array in (points.place, points.as_yields.rows):
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
