"""The sample: weighted points of discriminant space, compressed into fine cells, that a fit learns from."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.archive import read_archive, write_archive
from cortado.cells import MOMENTS, NOMINAL, SUMABSW, SUMW, SUMW2, Cells, Source, distinct
from cortado.coordinates import Coordinates, Features
from cortado.errors import ConfigError, InputError
from cortado.events import clean, missing_events, refuse_invalid
from cortado.folds import checked_ids, chosen_folds, content_ids, fold_of
from cortado.normalisation import Normalisation
from cortado.objectives.yields import Yields

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_FORMAT = "cortado-sample-1"
_LARGEST_KEY = 2.0**53


@dataclass(frozen=True, eq=False)
class Points:
    """A sample as a fit sees it: n places and the weight of P processes at each.

    ``place`` (n, d) coordinates; ``sumw``, ``sumw2`` (P, n) float64; ``count`` (P, n); ``key`` (n, d) address
    of the cell, ⌊u / width⌋ with ``widths`` (d,); ``mass`` (n,) Σ|w| over all processes. ``features`` says
    what the coordinates are made of.
    """

    features: Features
    processes: tuple[str, ...]
    place: Floats
    sumw: Floats
    sumw2: Floats
    count: Integers
    key: Integers
    widths: Floats
    mass: Floats

    def yields(self, category: Integers, n_categories: int) -> Yields:
        """Sums per process over the points of each category, from the category (n,) of every point."""

        def sums(table: npt.NDArray[Any]) -> Floats:
            return np.stack([np.bincount(category, weights=row, minlength=n_categories) for row in table])

        return Yields(self.processes, sums(self.sumw), sums(self.sumw2), sums(self.count).astype(np.int64))

    def some(self, which: npt.NDArray[Any]) -> Points:
        """The points that ``which`` says, (n,) booleans or their numbers."""
        return replace(
            self,
            place=self.place[which],
            sumw=self.sumw[:, which],
            sumw2=self.sumw2[:, which],
            count=self.count[:, which],
            key=self.key[which],
            mass=self.mass[which],
        )

    def ranges(self, tail: float) -> list[tuple[float, float]]:
        """Per coordinate, (low, high) with at most a fraction ``tail`` of any process on either side."""
        ranges = []
        for u in self.place.T:
            order = np.argsort(u, kind="stable")
            low, high = np.inf, -np.inf
            for weight in (w for w in np.clip(self.sumw, 0.0, None) if w.any()):
                share = np.cumsum(weight[order]) / weight.sum()
                low = min(low, float(u[order][np.searchsorted(share, tail)]))
                high = max(high, float(u[order][min(np.searchsorted(share, 1 - tail), len(u) - 1)]))
            ranges.append((low, high) if low < high else (low - 0.5, high + 0.5))
        return ranges

    def coarsened(self, limit: int) -> Points:
        """These points merged, by doubling the cells, until there are at most ``limit`` ≥ 1 of them."""
        if limit < 1:
            raise ConfigError(f"limit must be at least 1, got {limit}")
        points = self
        while len(points.place) > limit:
            points = points._doubled()
        return points

    def _doubled(self) -> Points:
        halved = self.key // 2
        # Cells on either side of 0 never meet by doubling: once nothing else is left, they are put together.
        halved = np.zeros_like(halved) if (halved == self.key).all() else halved
        key, index = distinct(halved)

        def sums(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.stack([np.bincount(index, weights=row, minlength=len(key)) for row in table])

        mass = sums(self.mass[None])[0]
        # Places of weight zero count a little, so that every cell has a place.
        weight = np.maximum(self.mass, 1e-9 * self.mass.mean() or 1.0)
        place = sums((self.place * weight[:, None]).T) / sums(weight[None])
        return Points(
            self.features,
            self.processes,
            place.T,
            sums(self.sumw),
            sums(self.sumw2),
            sums(self.count).astype(np.int64),
            key,
            2 * self.widths,
            mass,
        )


@dataclass(frozen=True, eq=False)
class Sample:
    """Σw, Σw², Σ|w|, Σ|w|·u and event counts per cell of coordinate space, dataset, variation and fold.

    Samples add up, in any order, like histograms. Cells have the integer address ⌊u / width⌋.

    Attributes
    ----------
    features
        What the discriminant is; every cell width is set.
    n_folds
        Into how many folds events were split.
    cells
        The sums.
    invalid
        Number of events left out because a feature was not a finite number, by (dataset, feature).
    missing
        Number of events left out because a feature does not exist in them, by dataset.
    """

    features: Features
    n_folds: int
    cells: Cells
    invalid: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.n_folds < 1:
            raise ConfigError(f"n_folds must be at least 1, got {self.n_folds}")
        if None in self.features.widths:
            raise ConfigError(f"every coordinate needs a cell width, got {self.features.widths}")

    @classmethod
    def empty(cls, features: Features, n_folds: int = 2) -> Sample:
        """A sample without events: the identity of addition."""
        return cls(features, n_folds, Cells.empty(features.dimensions, features.dimensions))

    @classmethod
    def from_arrays(
        cls,
        processes: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
        coordinates: str | Sequence[Coordinates | Mapping[str, Any]] = "identity",
        *,
        names: Sequence[str] | None = None,
        missing: Mapping[str, float] | None = None,
        n_folds: int = 2,
        event_ids: Mapping[str, npt.ArrayLike] | None = None,
    ) -> Sample:
        """A sample straight from arrays in memory: per process features (n, D) and weights (n,).

        Weights are complete (Σw is the expected yield). Folds come from ``event_ids``, per process the event
        numbers (n,), which different processes may share. Without them folds come from the event itself, its
        features and weight, never from its row; equal events spread over the folds, and other weights
        make other folds.

        Raises
        ------
        InputError
            If an array has the wrong shape, a feature is not finite, a process has no events, or event
            numbers are absent for a process or not one integer an event.
        """
        features, arrays = declared_arrays(processes, coordinates, names, missing)
        sample = cls.empty(features, n_folds)
        for process, (x, w) in arrays.items():
            event_id = identifiers(process, x, w, event_ids)
            sample = sample + cls.from_events(features, n_folds, Source(process), x, w, event_id)
        return sample.checked(arrays).without_negative_processes()

    @classmethod
    def from_events(
        cls,
        features: Features,
        n_folds: int,
        source: Source,
        x: npt.ArrayLike,
        weight: npt.ArrayLike,
        event_id: npt.ArrayLike | None,
    ) -> Sample:
        """The sample of n events of one dataset, channel and variation (``source``; its fold is not used).

        ``x`` (n, D) features as they stand in the ntuple, ``weight`` (n,), ``event_id`` (n,) integers from
        which the folds come. Events with a missing or non-finite feature are counted, not used.
        """
        events = clean(features, x, weight)
        fold = fold_of(event_id, len(events.x), n_folds)[events.usable]
        u = features.forward(events.x[events.usable])
        key = np.floor(u / np.array(features.widths, np.float64))
        if key.size and np.abs(key).max() >= _LARGEST_KEY:
            raise InputError(
                f"dataset {source.dataset!r}: a value of {list(features.labels)} is more than "
                f"{_LARGEST_KEY:.0e} cell widths {list(features.widths)} from zero; "
                "declare it missing, or choose larger widths"
            )
        cells = Cells.from_events(source, fold, key.astype(np.int64), events.weight[events.usable], u)
        invalid = Counter({(source.dataset, name): n for name, n in events.invalid.items()})
        missing = Counter({source.dataset: events.n_missing} if events.n_missing else {})
        return cls(features, n_folds, cells, invalid, missing)

    def __add__(self, other: Sample) -> Sample:
        if not isinstance(other, Sample):
            return NotImplemented
        if self.features != other.features or self.n_folds != other.n_folds:
            raise InputError(
                "samples of different features, coordinates, cell widths or folds cannot be added"
            )
        return replace(
            self,
            cells=self.cells + other.cells,
            invalid=self.invalid + other.invalid,
            missing=self.missing + other.missing,
        )

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the processes (of the datasets, before :meth:`normalise`), sorted."""
        return tuple(sorted({s.dataset for s in self.cells.sources}))

    def checked(self, expected: Collection[str]) -> Sample:
        """This sample, if every event was usable and every expected dataset has some; else ``InputError``."""
        refuse_invalid(self.invalid)
        if empty := sorted(set(expected) - set(self.processes)):
            raise InputError(f"no event with all features was selected in: {', '.join(map(repr, empty))}")
        return self

    def normalise(self, normalisation: Normalisation) -> Sample:
        """Datasets scaled to the luminosity and merged into processes.

        Raises ``InputError`` if a process has a negative total weight.
        """
        sample = replace(self, cells=normalisation.apply(self.cells))
        return sample.without_negative_processes()

    def without_negative_processes(self) -> Sample:
        """This sample, if every process has a positive nominal total weight; else ``InputError``."""
        nominal = self.cells.select(lambda s: s.variation == NOMINAL).relabel(
            lambda s: Source(s.dataset, s.channel)
        )
        totals = np.bincount(nominal.source, weights=nominal.sums[:, SUMW], minlength=len(nominal.sources))
        for source, total in zip(nominal.sources, totals, strict=True):
            if not total > 0:
                raise InputError(
                    f"process {source.dataset!r} has a total weight of {total:.6g}; it must be positive"
                )
        return self

    def points(
        self, folds: Collection[int] | None = None, *, channel: str = "SR", variation: str = NOMINAL
    ) -> Points:
        """The cells of some folds (all by default), scaled to the full luminosity by n_folds / len(folds).

        Raises ``ConfigError`` for unknown folds, ``InputError`` for a channel or variation without events, or
        if a feature was not finite.
        """
        refuse_invalid(self.invalid)
        chosen = chosen_folds(folds, self.n_folds)
        if (channel, variation) not in (
            known := sorted({(s.channel, s.variation) for s in self.cells.sources})
        ):
            raise InputError(f"no events of channel {channel!r}, variation {variation!r}; there are {known}")
        cells = self.cells.select(
            lambda s: s.channel == channel and s.variation == variation and s.fold in chosen
        ).relabel(lambda s: Source(s.dataset))
        scale = self.n_folds / len(chosen)
        return self._points(cells, scale)

    def _points(self, cells: Cells, scale: float) -> Points:
        key, index = distinct(cells.key)
        n = len(key)
        absolute: Floats = np.bincount(index, weights=cells.sums[:, SUMABSW], minlength=n).astype(np.float64)
        widths = np.array(self.features.widths, np.float64)
        place = (key + 0.5) * widths
        moments = np.column_stack(
            [np.bincount(index, weights=m, minlength=n) for m in cells.sums[:, MOMENTS:].T]
        )
        weighted = absolute > 0
        place[weighted] = moments[weighted] / absolute[weighted, None]
        table = np.zeros((3, len(self.processes), n))
        row = np.array([self.processes.index(s.dataset) for s in cells.sources], np.int64)[cells.source]
        for target, values in zip(
            table, (cells.sums[:, SUMW], cells.sums[:, SUMW2], cells.count), strict=True
        ):
            target[row, index] = values
        return Points(
            self.features,
            self.processes,
            _to_24_bits(place),
            _to_24_bits(table[0] * scale),
            _to_24_bits(table[1] * scale**2),
            table[2].astype(np.int64),
            key,
            widths,
            _to_24_bits(absolute * scale),
        )

    @property
    def digest(self) -> str:
        """A hash (sha256) of features, folds and sums.

        Sums count to 24 significant bits, so that in practice it does not depend on the order of the chunks.
        """
        used, source = np.unique(self.cells.source, return_inverse=True)
        header = [self.features.model_dump_json(), self.n_folds, [self.cells.sources[i] for i in used]]
        content = hashlib.sha256(json.dumps(header).encode())
        for column in (source, self.cells.key, self.cells.count, _to_24_bits(self.cells.sums)):
            content.update(np.ascontiguousarray(column).tobytes())
        return content.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the sample to an ``.npz`` file, whole or not at all."""
        header = {
            "features": self.features.model_dump(mode="json"),
            "n_folds": self.n_folds,
            "invalid": [[*k, n] for k, n in sorted(self.invalid.items())],
            "missing": sorted(self.missing.items()),
        }
        write_archive(path, _FORMAT, header, {"cells": self.cells})

    @classmethod
    def load(cls, path: str | Path) -> Sample:
        """Read a sample written by :meth:`save`. Raises ``InputError`` if the file is not one."""
        header, tables = read_archive(path, _FORMAT)
        return cls(
            Features.model_validate(header["features"]),
            header["n_folds"],
            tables["cells"],
            Counter({(d, f): n for d, f, n in header["invalid"]}),
            Counter(dict(header["missing"])),
        )


def declared_arrays(
    processes: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    coordinates: str | Sequence[Coordinates | Mapping[str, Any]],
    names: Sequence[str] | None,
    missing: Mapping[str, float] | None,
) -> tuple[Features, dict[str, tuple[Floats, Floats]]]:
    """The features, with cell widths, and the arrays of :meth:`Sample.from_arrays`; else ``InputError``."""
    if not processes:
        raise InputError("from_arrays needs at least one process, got an empty mapping")
    arrays = {p: (np.asarray(x, np.float64), np.asarray(w, np.float64)) for p, (x, w) in processes.items()}
    for process, (x, w) in arrays.items():
        if x.ndim != 2 or w.shape != x.shape[:1]:
            raise InputError(
                f"process {process!r}: features must have shape (n, D) and weights (n,), "
                f"got {x.shape} and {w.shape}"
            )
    depth = {x.shape[1] for x, _ in arrays.values()}
    if len(depth) > 1:
        raise InputError(f"all processes need the same number of features, got {sorted(depth)}")
    n_features = depth.pop()
    columns = tuple(f"x{i}" for i in range(n_features)) if names is None else tuple(names)
    if len(columns) != n_features:
        raise InputError(f"names must be one a feature, {n_features}, got {list(columns)}")
    features = Features.declare(columns, coordinates, missing)
    together = np.concatenate([x for x, _ in arrays.values()])
    return features.with_widths_from(together[~missing_events(features, together)]), arrays


def identifiers(
    process: str, x: Floats, w: Floats, event_ids: Mapping[str, npt.ArrayLike] | None
) -> npt.NDArray[Any]:
    """(n,) the event numbers of a process; where none are given, hashes of its features and weights."""
    if event_ids is None:
        return content_ids(np.column_stack([x, w]))
    if process not in event_ids:
        raise InputError(
            f"event_ids must have the event numbers of every process, got some of {sorted(event_ids)} "
            f"and none of {process!r}"
        )
    return checked_ids(event_ids[process], len(w), f"event_ids[{process!r}]")


def _to_24_bits(values: Floats) -> Floats:
    """Values rounded to the 24 significant bits of a float32, in the range of a float64.

    Sums depend on the order of the chunks in their last bits, and hundreds of training steps would make more
    of that. Rounded, the points are the same numbers whatever the order; no quoted result is computed from
    them.
    """
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(mantissa * 2**24), exponent - 24)
