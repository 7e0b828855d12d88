"""Toy events with a known answer: two rare signals over five backgrounds, in memory or as ROOT ntuples.

The three-class toy of arXiv:2601.07756. Every process is a three-dimensional Gaussian with unit variances
and a covariance of 0.2 between every pair of coordinates. Each coordinate of an event is smeared by a factor
drawn from Normal(1, 0.3); the scores are then the densities of the three classes *without* the smearing,
taken at the smeared point, normalised to sum 1:

    pᵢ ∝ N(x; μᵢ),  p_B ∝ Σ_b σ_b N(x; μ_b) / Σ_b σ_b

so they play the part of the softmax output of a classifier that does not know the detector. Weights carry
the full luminosity: cross section × luminosity / events of the process.

Every process has a random stream of its own, made from (seed, process): it does not change with the other
processes, and its first n events do not change with the number that is asked for.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import uproot
from numpy.typing import NDArray

from cortado.errors import ConfigError, OutputError

MEANS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "signal1": (1.5, -1.0, -1.0),
        "signal2": (-1.0, 1.5, -1.0),
        "bkg1": (-0.5, -0.5, 1.0),
        "bkg2": (0.5, -0.5, 0.8),
        "bkg3": (0.5, 0.5, -0.6),
        "bkg4": (-0.5, 1.0, -0.4),
        "bkg5": (-0.5, 0.5, -0.2),
    }
)
"""Mean of the latent Gaussian of each process."""

CROSS_SECTIONS: Mapping[str, float] = MappingProxyType(
    {"signal1": 0.5, "signal2": 0.1, "bkg1": 100.0, "bkg2": 80.0, "bkg3": 50.0, "bkg4": 20.0, "bkg5": 10.0}
)
"""Cross section of each process, pb."""

LUMINOSITY = 100.0
"""Integrated luminosity, 1/pb: total yields of 50, 10 and 26 000 events."""

COVARIANCE = 0.2
"""Covariance between any two latent coordinates; every variance is 1."""

NOISE = 0.3
"""Standard deviation of the factor, of mean 1, that smears each latent coordinate."""

PROCESSES = tuple(MEANS)
SIGNALS = ("signal1", "signal2")
BACKGROUNDS = tuple(name for name in PROCESSES if name not in SIGNALS)
SCORES = ("p_signal1", "p_signal2", "p_background")
"""Names of the three scores, in the order of the columns and as branches of the ntuples."""

_BLOCK = 100_000  # events made, or written as one basket, at a time
_EVENT_BITS = 40  # an event number is (process, number within the process)


@dataclass(frozen=True)
class ToyEvents:
    """Events of one process."""

    scores: NDArray[np.float32]
    """(n, 3) columns `SCORES`, or (n, 1) in one dimension; float32, as a network would write them."""
    weight: NDArray[np.float64]
    """(n,) complete weights; they add up to cross section × luminosity."""
    event: NDArray[np.uint64]
    """(n,) event numbers, unique over all processes of a toy."""

    def __len__(self) -> int:
        return len(self.weight)


def three_class(seed: int, n_signal: int = 100_000, n_background: int = 1_000_000) -> dict[str, ToyEvents]:
    """Events of each of the `PROCESSES` with the three scores `SCORES`, each in [0, 1], of sum 1.

    There are `n_signal` events of *each* signal; the `n_background` events are shared by the backgrounds in
    proportion to cross section. Raises `ConfigError` where a process would be left without events.
    """
    return {
        process: _events(process, n, _softmax(_log_densities(seed, process, n)))
        for process, n in event_counts(n_signal, n_background).items()
    }


def one_dimensional(seed: int, n_signal: int = 100_000, n_background: int = 300_000) -> dict[str, ToyEvents]:
    """Events of signal1 and the backgrounds with one score (n, 1): r / (1 + r) in [0, 1].

    r is the likelihood ratio of signal1 to the cross-section-weighted mean of the backgrounds, so the score
    is p_signal1 / (p_signal1 + p_background) of the very events that `three_class` makes from the same seed.
    """
    counts = event_counts(n_signal, n_background)
    del counts["signal2"]
    return {
        process: _events(process, n, _softmax(_log_densities(seed, process, n)[:, (0, 2)])[:, :1])
        for process, n in counts.items()
    }


def event_counts(n_signal: int = 100_000, n_background: int = 1_000_000) -> dict[str, int]:
    """Number of events of each process: `n_signal` per signal, `n_background` shared by cross section.

    Shares are rounded such that they add up to `n_background` exactly.
    """
    if n_signal < 1:
        raise ConfigError(f"n_signal must be at least 1, not {n_signal}")
    shares = np.array([CROSS_SECTIONS[name] for name in BACKGROUNDS])
    edges = np.rint(np.cumsum(shares) * (n_background / shares.sum())).astype(np.int64)
    background = dict(zip(BACKGROUNDS, np.diff(edges, prepend=0).tolist(), strict=True))
    empty = [name for name, n in background.items() if n < 1]
    if empty:
        raise ConfigError(f"n_background = {n_background} leaves no events for {', '.join(empty)}")
    return dict.fromkeys(SIGNALS, n_signal) | background


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
    counts = event_counts(n_signal, n_background)
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
            n = counts[process]
            events = _events(process, n, _softmax(_log_densities(seed, process, n)))
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


def _log_densities(seed: int, process: str, n: int) -> NDArray[np.float64]:
    """(n, 3) log-densities of the three classes at the smeared events, up to a term common to an event."""
    return np.concatenate([_class_log_densities(x) for x in _latent_points(seed, process, n)])


def _latent_points(seed: int, process: str, n: int) -> Iterator[NDArray[np.float64]]:
    """Blocks (≤ _BLOCK, 3) of smeared latent points, n in all."""
    stream = np.random.SeedSequence(seed, spawn_key=(PROCESSES.index(process),))
    random = np.random.default_rng(stream)
    lower = np.asarray(np.linalg.cholesky(_covariance()), dtype=np.float64)
    for start in range(0, n, _BLOCK):
        normal = random.standard_normal((min(_BLOCK, n - start), 6))
        yield (_combine(normal[:, :3], lower.T) + np.array(MEANS[process])) * (1 + NOISE * normal[:, 3:])


def _class_log_densities(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) log-densities of signal1, signal2 and background at x (n, 3), up to a term common to an event.

    With one covariance C for all, log N(x; μ) = xᵀC⁻¹μ − μᵀC⁻¹μ/2 + (a term of x alone) is linear in x.
    """
    means = np.array(list(MEANS.values()))
    slopes = np.linalg.solve(_covariance(), means.T)
    logs = _combine(x, slopes) - (means * slopes.T).sum(axis=1) / 2
    shares = np.array([CROSS_SECTIONS[name] for name in BACKGROUNDS])
    background = logs[:, len(SIGNALS) :] + np.log(shares / shares.sum())
    top = background.max(axis=1, keepdims=True)
    mean = top + np.log(np.exp(background - top).sum(axis=1, keepdims=True))
    return np.concatenate([logs[:, : len(SIGNALS)], mean], axis=1)


def _covariance() -> NDArray[np.float64]:
    return np.full((3, 3), COVARIANCE) + (1 - COVARIANCE) * np.eye(3)


def _combine(x: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Product x @ matrix, x (n, 3), whose rows do not depend on n; BLAS may round differently with n."""
    product: NDArray[np.float64] = x[:, :1] * matrix[0] + x[:, 1:2] * matrix[1] + x[:, 2:] * matrix[2]
    return product


def _softmax(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = np.exp(logs - logs.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    return scores


def _events(process: str, n: int, scores: NDArray[np.float64]) -> ToyEvents:
    first = PROCESSES.index(process) << _EVENT_BITS
    return ToyEvents(
        scores=scores.astype(np.float32),
        weight=np.full(n, CROSS_SECTIONS[process] * LUMINOSITY / n),
        event=np.arange(first, first + n, dtype=np.uint64),
    )


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
        for start in range(0, n, _BLOCK):
            tree.extend({name: column[start : start + _BLOCK] for name, column in columns.items()})
        runs = file.mktree("Runs", {"genEventSumw": np.dtype("f8"), "genEventCount": np.dtype("i8")})
        runs.extend({"genEventSumw": np.array([float(n)]), "genEventCount": np.array([n], dtype=np.int64)})
