"""Boundaries along several discriminants at once: one is moved at a time, until none moves any more.

With all boundaries but one fixed, the objective of the hard bins is computed for that one at every possible
place: between columns of cells, of which few are tried first, and then those around the best. From random
beginnings this ends at different boundaries, of which the best are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortado.exact.one_dimension import columns, even_groups
from cortado.objectives import Objective, Yields
from cortado.points import Points

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_BEGINNINGS = 2
_COLUMNS = 256  # along a discriminant
_COARSE = 16  # columns between places that are tried anywhere
_FINER = (4, 1)  # and then around the best
_REACH = 4  # places on either side
_SWEEPS = 50
_LEAST_GAIN = 1e-10  # relative; less than that is rounding

Cuts = tuple[Integers, ...]  # for each discriminant the numbers (bins − 1,) of edges, in any order
Worth = tuple[float, float]  # what counts, and what decides between equals


def grid_boundaries(
    points: Points,
    objective: Objective,
    bins: Sequence[int],
    ranges: Sequence[tuple[float, float]],
    rng: np.random.Generator,
) -> list[Floats]:
    """Boundaries (bins − 1,) along each of d discriminants, in increasing order, the best that were found.

    Categories are the products of the bins, the last discriminant running fastest. One that misses a floor
    is counted as lost with its events; where scale factors belong to numbered categories, all have to meet
    the floors before anything else counts.

    Parameters
    ----------
    points
        Points of d coordinates. Boundaries lie between columns of their cells.
    objective
        Any function of yields.
    bins
        Number ≥ 1 of bins along each discriminant. Where there are fewer columns, boundaries coincide.
    ranges
        (low, high) for each discriminant, between which boundaries lie.
    rng
        For the beginnings.
    """
    axes = [_axis(points, j, *span) for j, span in enumerate(ranges)]
    search = _Search(points, objective, tuple(bins), axes)
    best = search.best([search.end(rng) for _ in range(_BEGINNINGS)])
    return [axis.edges[np.sort(cuts)] for axis, cuts in zip(axes, best, strict=True)]


@dataclass(frozen=True, eq=False)
class _Axis:
    """Possible ``edges`` (m ≥ 1) along a discriminant, and the ``column`` (n,) of each point, 0 … m."""

    edges: Floats
    column: Integers

    def bins(self, cuts: Integers) -> Integers:
        """(n,) bin of each point."""
        return _bins(self.column, cuts)

    def places(self, cut: int, stride: int | None) -> Integers:
        """Numbers of the edges to try instead of one: some in the whole range, or those around it."""
        m = len(self.edges)
        if stride is None:
            return np.unique(np.linspace(0, m - 1, max(1, m // _COARSE) + 1).astype(np.int64))
        around = cut + stride * np.arange(-_REACH, _REACH + 1)
        return around[(around >= 0) & (around < m)]


def _axis(points: Points, j: int, low: float, high: float) -> _Axis:
    place = points.place[:, j]
    layer = np.unique(points.key[:, j], return_inverse=True)[1]
    column = even_groups(points.yields(layer, int(layer.max()) + 1), _COLUMNS)[layer]
    first, last = np.full(column.max() + 1, np.inf), np.full(column.max() + 1, -np.inf)
    np.minimum.at(first, column, place)
    np.maximum.at(last, column, place)
    edges = 0.5 * (last[:-1] + first[1:])
    edges = edges[(low < edges) & (edges < high)]
    edges = edges if len(edges) else np.array([0.5 * (low + high)])
    return _Axis(edges, np.searchsorted(edges, place, side="right"))


class _Search:
    """The search for one objective on one set of points."""

    def __init__(
        self, points: Points, objective: Objective, bins: tuple[int, ...], axes: Sequence[_Axis]
    ) -> None:
        self._points, self._objective, self._n_bins, self._axes = points, objective, bins, axes
        self._rows = points.as_yields.rows

    def end(self, rng: np.random.Generator) -> Cuts:
        """Where random boundaries come to."""
        sizes = zip(self._axes, self._n_bins, strict=True)
        cuts: Cuts = tuple(rng.integers(len(axis.edges), size=n - 1) for axis, n in sizes)
        for stride in (None, *_FINER):
            cuts = self._ascended(cuts, stride)
        return cuts

    def best(self, candidates: Sequence[Cuts]) -> Cuts:
        """The best of several."""
        return max(candidates, key=lambda cuts: self._worth(self._table(cuts, 0), cuts[0], 0))

    def _ascended(self, cuts: Cuts, stride: int | None) -> Cuts:
        """Boundaries of which none can be moved alone to a better one of the places to try."""
        for _ in range(_SWEEPS):
            before = cuts
            for j in range(len(cuts)):
                cuts = (*cuts[:j], self._moved(cuts, j, stride), *cuts[j + 1 :])
            if all(np.array_equal(a, b) for a, b in zip(before, cuts, strict=True)):
                break
        return cuts

    def _moved(self, cuts: Cuts, j: int, stride: int | None) -> Integers:
        """The boundaries along one discriminant, each moved to its best place in turn."""
        table, found = self._table(cuts, j), cuts[j]
        best = self._worth(table, found, j)
        for i in range(len(found)):
            for place in self._axes[j].places(found[i], stride):
                trial = found.copy()
                trial[i] = place
                worth = self._worth(table, trial, j)
                if _better(worth, best):
                    found, best = trial, worth
        return found

    def _table(self, cuts: Cuts, j: int) -> Floats:
        """(R, bins before, bins after, columns) rows of sums in the columns of one discriminant."""
        n = self._n_bins
        shape = (int(np.prod(n[:j])), int(np.prod(n[j + 1 :])), len(self._axes[j].edges) + 1)
        address = np.zeros(len(self._axes[j].column), np.int64)
        for k, (axis, c) in enumerate(zip(self._axes, cuts, strict=True)):
            address = address if k == j else address * n[k] + axis.bins(c)
        address = address * shape[2] + self._axes[j].column
        table = [np.bincount(address, row, int(np.prod(shape))) for row in self._rows]
        return np.reshape(table, (len(table), *shape))

    def _worth(self, table: Floats, cuts: Integers, j: int) -> Worth:
        bins = _bins(np.arange(table.shape[-1]), cuts)
        inside = bins[:, None] == np.arange(self._n_bins[j])
        sums = np.moveaxis(table @ inside.astype(np.float64), -1, 2)
        rows = sums.reshape(len(self._rows), -1)
        return _worth(self._objective, Yields.of_rows(self._points.processes, rows, self._points.nuisances))


def _bins(column: Integers, cuts: Integers) -> Integers:
    """Bins of columns: edge number k is between columns k and k + 1."""
    return np.searchsorted(np.sort(cuts), column, side="left")


def _worth(objective: Objective, yields: Yields) -> Worth:
    missed = objective.shortfall(yields)
    if objective.per_category:
        return -float(missed.sum()), _finite(objective.value(yields))
    kept = missed == 0
    value = -np.inf if not kept.any() else _finite(objective.value(columns(yields, np.flatnonzero(kept))))
    return value, -float(missed.sum())


def _finite(value: float) -> float:
    return value if np.isfinite(value) else -np.inf


def _better(worth: Worth, than: Worth) -> bool:
    first = than[0]
    if worth[0] == first or first == -np.inf:
        return worth > than
    return worth[0] > first + _LEAST_GAIN * abs(first)
