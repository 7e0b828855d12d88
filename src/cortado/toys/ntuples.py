"""The three-class toy as ROOT ntuples."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from numpy.typing import NDArray

from cortado.errors import ConfigError, OutputError
from cortado.toys.family import SCORES, THREE_CLASS
from cortado.toys.toy import ToyEvents

_BASKET = 100_000  # events written at a time


def write_ntuples(
    folder: str | os.PathLike[str],
    seed: int,
    n_signal: int = 100_000,
    n_background: int = 1_000_000,
    events_per_file: int = 250_000,
) -> list[Path]:
    """Write the three-class toy as ROOT ntuples and return their paths, sorted by process and number.

    Files are called `<process>_<i>.root` from i = 0, with at most `events_per_file` events in each. The TTree
    `Events` has the branches `SCORES` (float32), `weight` (float64, so that totals are exact; complete),
    `genWeight` (float32, always 1) and `event` (uint64); the TTree `Runs`, as in NanoAOD, has one entry with
    `genEventSumw` and `genEventCount` of that file, so that cross section × luminosity / Σ(genEventSumw) ×
    genWeight is the same weight again.

    The files appear in `folder`, which is made if need be, only once all are written; those of the same name
    are replaced. Raises `OutputError` where other files of a toy are there already (a pattern such as
    `bkg1_*.root` would pick them up) or where the folder cannot be written.
    """
    if events_per_file < 1:
        raise ConfigError(f"events_per_file must be at least 1, not {events_per_file}")
    counts = THREE_CLASS.event_counts(n_signal, n_background)
    names = {process: _file_names(process, n, events_per_file) for process, n in counts.items()}
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_leftovers(folder, names)
        scratch = Path(tempfile.mkdtemp(prefix=".toy-", dir=folder))
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write toy ntuples to {folder}: {error.strerror}") from error
    try:
        for process, files in names.items():
            events = THREE_CLASS.events_of(process, seed, counts[process])
            for i, name in enumerate(files):
                _write_file(scratch / name, events, slice(i * events_per_file, (i + 1) * events_per_file))
        paths = [folder / name for files in names.values() for name in files]
        for path in paths:
            (scratch / path.name).replace(path)
    except OSError as error:
        raise OutputError(f"cannot write toy ntuples to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return paths


def _file_names(process: str, n: int, events_per_file: int) -> list[str]:
    return [f"{process}_{i}.root" for i in range(-(-n // events_per_file))]


def _refuse_leftovers(folder: Path, names: Mapping[str, list[str]]) -> None:
    for process, files in names.items():
        leftovers = sorted({path.name for path in folder.glob(f"{process}_*.root")} - set(files))
        if leftovers:
            raise OutputError(
                f"{folder / leftovers[0]} would not be replaced by the new toy, and '{process}_*.root' would "
                "match both: remove it or choose another folder"
            )


def _write_file(path: Path, events: ToyEvents, rows: slice) -> None:
    columns: dict[str, NDArray[Any]] = {name: events.scores[rows, i] for i, name in enumerate(SCORES)}
    columns["weight"] = events.weight[rows]
    columns["genWeight"] = np.ones_like(events.weight[rows], dtype=np.float32)
    columns["event"] = events.event[rows]
    n = len(columns["event"])
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        tree = file.mktree("Events", {name: column.dtype for name, column in columns.items()})
        for start in range(0, n, _BASKET):
            tree.extend({name: column[start : start + _BASKET] for name, column in columns.items()})
        runs = file.mktree("Runs", {"genEventSumw": np.dtype("f8"), "genEventCount": np.dtype("i8")})
        runs.extend({"genEventSumw": np.array([float(n)]), "genEventCount": np.array([n], dtype=np.int64)})
