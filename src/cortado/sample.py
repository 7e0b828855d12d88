"""The sample: events compressed into fine cells, whose points a fit learns from."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cortado.archive import read_archive, write_archive
from cortado.blocks import blocks
from cortado.cells import MOMENTS, NOMINAL, SUMABSW, SUMW, SUMW2, Cells, Joint, Source, only_channel
from cortado.coordinates import MANY_COORDINATES, Coordinates, Features
from cortado.errors import ConfigError, InputError, checked_integer
from cortado.events import GivenEvents, refuse_invalid
from cortado.folds import chosen_folds, fold_of
from cortado.in_memory import declared_arrays, identifiers
from cortado.kernels import cell_addresses, n_within
from cortado.normalisation import Normalisation
from cortado.numbering import distinct
from cortado.objectives.yields import Yields
from cortado.points import Points, to_24_bits
from cortado.tally import Tally
from cortado.variations import both_sides, nuisance_of, sides_of

if TYPE_CHECKING:
    from cortado.categorizer import Categorizer

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

DEFAULT_MAX_CELLS = 1_000_000
_FORMAT = "cortado-sample-2"
_KEY_BITS = 53
_ALL_IN_ONE = _KEY_BITS + 1  # doublings after which any address is 0 or −1


@dataclass(frozen=True, eq=False)
class Sample:
    """Σw, Σw², Σ|w|, Σ|w|·u and event counts per cell of coordinate space, dataset, variation and fold.

    Samples add up, in any order, like histograms. Cells have the integer address ⌊u / width⌋. Where there are
    too many, they are doubled in size along one coordinate after the other, as often as it takes: so often
    depends on all events together, and not on how they came.

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
    max_cells
        How many cells there may be in a channel and variation, over all datasets and folds.
    doublings
        How often cells were doubled in size, along the first coordinate, the second …, and the first again.
    """

    features: Features
    n_folds: int
    cells: Cells
    invalid: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    max_cells: int = DEFAULT_MAX_CELLS
    doublings: int = 0

    def __post_init__(self) -> None:
        checked_integer("n_folds", self.n_folds, 1)
        checked_integer("max_cells", self.max_cells, 1)
        if None in self.features.widths:
            raise ConfigError(f"every coordinate needs a cell width, got {self.features.widths}")

    @classmethod
    def empty(cls, features: Features, n_folds: int = 2, max_cells: int = DEFAULT_MAX_CELLS) -> Sample:
        """A sample without events: the identity of addition."""
        cells = Cells.empty(features.dimensions, features.dimensions)
        return cls(features, n_folds, cells, max_cells=max_cells)

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
        max_cells: int = DEFAULT_MAX_CELLS,
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
        empty = cls.empty(features, n_folds, max_cells)
        # With one fold nothing depends on them, and hashing events would take as long as summing them.
        unused = n_folds == 1 and event_ids is None
        samples = [
            cls.from_events(
                features,
                n_folds,
                Source(process),
                x,
                w,
                None if unused else identifiers(process, x, w, event_ids),
                max_cells,
            )
            for process, (x, w) in arrays.items()
        ]
        return empty._with(*samples).checked(arrays).without_negative_processes()

    @classmethod
    def from_events(
        cls,
        features: Features,
        n_folds: int,
        source: Source,
        x: npt.ArrayLike,
        weight: npt.ArrayLike,
        event_id: npt.ArrayLike | None,
        max_cells: int = DEFAULT_MAX_CELLS,
    ) -> Sample:
        """The sample of n events of one dataset, channel and variation (``source``; its fold is not used).

        ``x`` (n, D) features as they stand in the ntuple, ``weight`` (n,), ``event_id`` (n,) integers from
        which the folds come. Events with a missing or non-finite feature are counted, not used.
        """
        given = GivenEvents.of(features, x, weight)
        fold = fold_of(event_id, len(given), n_folds)
        widths = np.array(features.widths, np.float64)
        tally = Tally(len(given), 1 + features.dimensions, features.dimensions)
        n_missing, invalid = 0, Counter[str]()
        for rows in blocks(len(given)):
            events = given.clean(rows)
            kept = slice(None) if events.usable.all() else events.usable
            u = features.forward(events.x[kept]).T
            _refuse_distant(u, widths, features, source.dataset)
            tally.add(cell_addresses(fold[rows][kept], u, widths), events.weight[kept], u)
            n_missing += events.n_missing
            invalid.update(events.invalid)
        sample = cls(
            features,
            n_folds,
            Cells.from_tally(source, tally),
            Counter({(source.dataset, name): n for name, n in invalid.items()}),
            Counter({source.dataset: n_missing} if n_missing else {}),
            max_cells,
        )
        return sample if len(sample.cells) <= max_cells else sample._with()

    def __add__(self, other: Sample) -> Sample:
        if not isinstance(other, Sample):
            return NotImplemented
        if (self.features, self.n_folds, self.max_cells) != (other.features, other.n_folds, other.max_cells):
            raise InputError(
                "samples of different features, coordinates, cell widths, folds or max_cells cannot be added"
            )
        return self._with(other)

    def _with(self, *others: Sample) -> Sample:
        """This sample and others, with as few doublings as bring the sum below ``max_cells``, if any do.

        Cells are counted before anything is added up: a sum that has to be made again is memory for nothing.
        """
        samples = (self, *others)
        tables = [sample.cells for sample in samples]
        doublings = max(sample.doublings for sample in samples)
        most = self.features.dimensions * _ALL_IN_ONE
        while True:
            joint = Joint.of(tables, [sample._shift(doublings) for sample in samples])
            if doublings >= most or joint.n_rows <= self.max_cells:
                break
            doublings += 1
        return replace(
            self,
            cells=joint.cells(),
            invalid=sum((sample.invalid for sample in samples), Counter()),
            missing=sum((sample.missing for sample in samples), Counter()),
            doublings=doublings,
        )

    def _shift(self, doublings: int) -> Integers:
        """(d,) the bits that addresses lose by so many doublings in all."""
        d = self.features.dimensions
        times = _times_doubled(doublings, d)
        # Cells on either side of 0 never meet by doubling.
        return np.where(times >= _ALL_IN_ONE, 64, times - _times_doubled(self.doublings, d))

    @property
    def is_coarse(self) -> bool:
        """Whether cells may say too little of their events: they were too many, or have many coordinates."""
        return self.doublings > 0 or self.features.dimensions >= MANY_COORDINATES

    @property
    def widths(self) -> Floats:
        """(d,) widths of the cells along each coordinate."""
        declared = np.array(self.features.widths, np.float64)
        return declared * 2.0 ** _times_doubled(self.doublings, self.features.dimensions)

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the processes (of the datasets, before :meth:`normalise`), sorted."""
        return tuple(sorted({s.dataset for s in self.cells.sources}))

    def checked(self, expected: Collection[str]) -> Sample:
        """This sample, if every event was usable and every expected dataset has some; else ``InputError``."""
        refuse_invalid(self.invalid)
        if empty := sorted(set(expected) - {s.dataset for s in self.cells.filled}):
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
        of_source = np.bincount(self.cells.source, self.cells.sums[:, SUMW], len(self.cells.sources))
        totals = dict[tuple[str, str], float]()
        for source, total in zip(self.cells.sources, of_source.tolist(), strict=True):
            if source.variation == NOMINAL:
                key = source.dataset, source.channel
                totals[key] = totals.get(key, 0.0) + total
        for (process, _), total in totals.items():
            if not total > 0:
                raise InputError(
                    f"process {process!r} has a total weight of {total:.6g}; it must be positive"
                )
        return self

    def with_variation(
        self,
        variation: str,
        processes: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
        event_ids: Mapping[str, npt.ArrayLike],
    ) -> Sample:
        """This sample and a systematic variation of some of its processes, from arrays in memory.

        ``variation`` ends in "Up" or "Down"; features and weights are as in :meth:`from_arrays`, shifted or
        with other weights, and events that are selected anew are among them. ``event_ids`` are those of the
        nominal events, so that an event stays in its fold.

        Raises ``InputError`` as :meth:`from_arrays`, for a name that is not that of a variation, a process
        that the sample does not hold, and one that has the variation already.
        """
        nuisance_of(variation)
        if unknown := sorted(set(processes) - set(self.processes)):
            raise InputError(f"processes {unknown} are not in the sample; there are {list(self.processes)}")
        varied = {s.dataset for s in self.cells.sources if s.variation == variation}
        if twice := sorted(varied & set(processes)):
            raise InputError(f"processes {twice} have the variation {variation!r} already")
        samples = []
        for process, (x, w) in processes.items():
            x_, w_ = np.asarray(x, np.float64), np.asarray(w, np.float64)
            ids = identifiers(process, x_, w_, event_ids)
            source = Source(process, variation=variation)
            samples.append(self.from_events(self.features, self.n_folds, source, x_, w_, ids, self.max_cells))
        return self._with(*samples).checked(())

    def points(
        self,
        folds: Collection[int] | None = None,
        *,
        channel: str | None = None,
        variation: str = NOMINAL,
        nuisances: Sequence[str] = (),
    ) -> Points:
        """The cells of some folds (all by default), scaled to the full luminosity by n_folds / len(folds).

        With ``nuisances``, the points hold their up and down variations as well (:mod:`cortado.variations`),
        and there are points where only these have events. ``channel`` is by default the only one, or "SR".

        Raises ``ConfigError`` for unknown folds, ``InputError`` for a channel, variation or nuisance
        parameter without events, or if a feature was not finite.
        """
        refuse_invalid(self.invalid)
        chosen = chosen_folds(folds, self.n_folds)
        channel = only_channel(self.cells, channel)
        here = self.cells.select(lambda s: s.channel == channel)
        if variation not in (known := sorted({s.variation for s in here.sources})):
            raise InputError(f"no events of channel {channel!r}, variation {variation!r}; there are {known}")
        sides = [sides_of(nuisance, {s.variation for s in here.sources}) for nuisance in nuisances]
        names = [variation, *(name for pair in sides for name in pair)]
        parts = [_of_variation(here, name, chosen) for name in names]
        key, index = distinct(np.concatenate([cells.key for cells in parts]))
        at = np.split(index, np.cumsum([len(cells) for cells in parts])[:-1])
        scale = self.n_folds / len(chosen)
        points = self._points(parts[0], key, at[0], scale)
        if not sides:
            return points
        there = {(s.variation, s.dataset) for s in here.sources}
        shape = (len(sides), 2, len(self.processes))
        present = np.reshape([(name, p) in there for name in names[1:] for p in self.processes], shape)
        tables = [
            to_24_bits(scale * self._table(c, c.sums[:, SUMW], i, len(key)))
            for c, i in zip(parts[1:], at[1:], strict=True)
        ]
        pairs = zip(np.reshape(tables, (*shape, len(key))), present, strict=True)
        varied = np.stack([both_sides(points.sumw, found, known) for found, known in pairs])
        return replace(points, nuisances=tuple(nuisances), varied=varied)

    def yields(
        self,
        categorizer: Categorizer,
        folds: Collection[int] | None = None,
        *,
        nuisances: Sequence[str] = (),
    ) -> Yields:
        """What the categories hold in the cells of some folds; arguments and errors as of :meth:`points`."""
        points = self.points(folds, nuisances=nuisances)
        return points.yields(categorizer.rule.assign(points.place), categorizer.n_categories)

    def _points(self, cells: Cells, key: Integers, index: Integers, scale: float) -> Points:
        """Points at the addresses ``key`` (n, d), of cells that have the address ``index``."""
        n = len(key)
        absolute: Floats = np.bincount(index, weights=cells.sums[:, SUMABSW], minlength=n).astype(np.float64)
        widths = self.widths
        place = (key + 0.5) * widths
        moments = np.column_stack(
            [np.bincount(index, weights=m, minlength=n) for m in cells.sums[:, MOMENTS:].T]
        )
        weighted = absolute > 0
        place[weighted] = moments[weighted] / absolute[weighted, None]
        return Points(
            self.features,
            self.processes,
            to_24_bits(place),
            to_24_bits(self._table(cells, cells.sums[:, SUMW], index, n) * scale),
            to_24_bits(self._table(cells, cells.sums[:, SUMW2], index, n) * scale**2),
            self._table(cells, cells.count, index, n).astype(np.int64),
            key,
            widths,
            to_24_bits(absolute * scale),
        )

    def _table(self, cells: Cells, values: npt.NDArray[Any], index: Integers, n: int) -> Floats:
        """(P, n) values of the rows of cells, which have the address ``index``."""
        table = np.zeros((len(self.processes), n))
        row = np.array([self.processes.index(s.dataset) for s in cells.sources], np.int64)[cells.source]
        table[row, index] = values
        return table

    @property
    def digest(self) -> str:
        """A hash (sha256) of features, folds, the size of the cells and sums.

        Sums count to 24 significant bits, so that in practice it does not depend on the order of the chunks.
        """
        header = [self.features.model_dump_json(), self.n_folds, self.doublings, self.cells.sources]
        content = hashlib.sha256(json.dumps(header).encode())
        for column in (self.cells.source, self.cells.key, self.cells.count, to_24_bits(self.cells.sums)):
            content.update(np.ascontiguousarray(column).data)
        return content.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the sample to an ``.npz`` file, whole or not at all."""
        header = {
            "features": self.features.model_dump(mode="json"),
            "n_folds": self.n_folds,
            "invalid": [[*k, n] for k, n in sorted(self.invalid.items())],
            "missing": sorted(self.missing.items()),
            "max_cells": self.max_cells,
            "doublings": self.doublings,
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
            header["max_cells"],
            header["doublings"],
        )


def _times_doubled(doublings: int, dimensions: int) -> Integers:
    """(d,) how often cells were doubled along each coordinate: one after the other, the first one first."""
    return (doublings + dimensions - 1 - np.arange(dimensions)) // dimensions


def _refuse_distant(u: Floats, widths: Floats, features: Features, dataset: str) -> None:
    """Raise ``InputError`` if a cell of coordinates (d, n) is too far away to have an address."""
    farthest = 2.0**_KEY_BITS
    if any(n_within(v, -farthest * w, farthest * w) < len(v) for v, w in zip(u, widths, strict=True)):
        raise InputError(
            f"dataset {dataset!r}: a value of {list(features.labels)} is more than "
            f"{farthest:.0e} cell widths {list(features.widths)} from zero; "
            "declare it missing, or choose larger widths"
        )


def _of_variation(cells: Cells, variation: str, folds: Collection[int]) -> Cells:
    """One variation of some folds, put together."""
    chosen = cells.select(lambda s: s.variation == variation and s.fold in folds)
    return chosen.relabel(lambda s: Source(s.dataset))
