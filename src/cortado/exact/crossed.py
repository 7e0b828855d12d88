"""What cross-fitted solvers work on: the same cells in every fold, so that folds can test each other.

What is chosen from some events and evaluated on others is not biased by the choice. Every fold has its turn:
what is chosen from the mean of all the others is evaluated on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError, checked_integer
from cortado.numbering import distinct
from cortado.objectives import Objective
from cortado.points import Points, sums_by_index
from cortado.sample import Sample

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MAX_CELLS = 200_000


def points_by_fold(sample: Sample, objective: Objective, max_cells: int = MAX_CELLS) -> tuple[Points, ...]:
    """The points of every fold, each at the full luminosity, on cells that are common to all folds.

    Yields are as the terms of ``objective`` see them. Cells are doubled in size until there are at most
    ``max_cells`` of them. Raises ``ConfigError`` if the sample has one fold alone, or if the objective names
    processes that are not in it or leaves no background.
    """
    if not isinstance(sample, Sample):
        raise ConfigError(
            f"sample must be a Sample, of which one fold can test another, got {type(sample).__name__}"
        )
    if sample.n_folds < 2:
        raise ConfigError(
            "sample must have at least 2 folds, so that one can test what another says, got 1; "
            "make it with n_folds=2"
        )
    checked_integer("max_cells", max_cells, 1)
    parts = [_prepared(sample.points([fold]), objective) for fold in range(sample.n_folds)]
    key, cell = distinct(np.concatenate([part.key for part in parts]))
    widths = parts[0].widths
    while len(key) > max_cells:
        key, into = _doubled(key)
        cell, widths = into[cell], 2 * widths
    cells = np.split(cell, np.cumsum([len(part.key) for part in parts])[:-1])
    mass, place = _places(parts, cells, len(key))
    return tuple(
        replace(
            part,
            place=place,
            sumw=sums_by_index(part.sumw, index, len(key)),
            sumw2=sums_by_index(part.sumw2, index, len(key)),
            count=sums_by_index(part.count, index, len(key)),
            key=key,
            widths=widths,
            mass=mass,
        )
        for part, index in zip(parts, cells, strict=True)
    )


def mean(parts: Sequence[Points]) -> Points:
    """Points of several folds together, at the full luminosity, from those of each on common cells."""
    n = len(parts)
    return replace(
        parts[0],
        sumw=np.sum([part.sumw for part in parts], axis=0) / n,
        sumw2=np.sum([part.sumw2 for part in parts], axis=0) / n**2,
        count=np.sum([part.count for part in parts], axis=0),
    )


def joined(parts: Sequence[Points]) -> Points:
    """The same as one point for each cell and fold, so that a cell may differ from fold to fold."""
    n = len(parts)
    return replace(
        parts[0],
        place=np.concatenate([part.place for part in parts]),
        sumw=np.concatenate([part.sumw for part in parts], axis=1) / n,
        sumw2=np.concatenate([part.sumw2 for part in parts], axis=1) / n**2,
        count=np.concatenate([part.count for part in parts], axis=1),
        key=np.concatenate([part.key for part in parts]),
        mass=np.concatenate([part.mass for part in parts]) / n,
    )


def others(parts: Sequence[Points], fold: int) -> Points:
    """All folds but one together."""
    return mean([part for k, part in enumerate(parts) if k != fold])


def doubled_cells(key: Integers) -> tuple[Integers, ...]:
    """For cells of every size, from that of n different addresses (n, d) on: the cell of each address, (n,).

    Every size is the double of the one before; the last is a single cell that holds everything.
    """
    sizes = [np.arange(len(key))]
    while len(key) > 1:
        key, into = _doubled(key)
        sizes.append(into[sizes[-1]])
    return tuple(sizes)


def _doubled(key: Integers) -> tuple[Integers, Integers]:
    """The addresses (m, d) of cells of twice the size, and which of them each of n addresses (n, d) is in."""
    halved = key >> 1
    # Cells on either side of 0 never meet by doubling: once nothing else is left, they are put together.
    return distinct(np.zeros_like(key) if (halved == key).all() else halved)


def _prepared(points: Points, objective: Objective) -> Points:
    if set(points.processes) <= set(objective.signals):
        raise ConfigError(f"every process is a signal ({list(points.processes)}); one must be background")
    yields = objective.prepared(points.as_yields)
    return replace(points, sumw=yields.sumw, sumw2=yields.sumw2)


def _places(parts: Sequence[Points], cells: Sequence[Integers], n: int) -> tuple[Floats, Floats]:
    """Σ|w| of n cells, and where their events are on average."""
    mass = np.concatenate([part.mass for part in parts])
    places = np.concatenate([part.place for part in parts])
    cell = np.concatenate(cells)
    # Places of weight zero count a little, so that every cell has a place.
    weight = np.maximum(mass, 1e-9 * mass.mean() or 1.0)
    moments = sums_by_index((places * weight[:, None]).T, cell, n)
    place = moments / sums_by_index(weight[None], cell, n)
    return sums_by_index(mass[None], cell, n)[0] / len(parts), place.T
