"""The best boundaries in one dimension: exact, by dynamic programming over cells in order.

With M(i, j) the merit of one bin made of the cells i … j − 1, the best sum of k merits over the first j cells
is

    B(k, j) = max_i [B(k − 1, i) + M(i, j)],  B(0, 0) = 0,

the partition of points in order of Fisher, J. Am. Stat. Assoc. 53 (1958) 789, by Bellman's recursion. All
intervals are tried, so that the merit may be any function of a bin's yields, and bins that break a rule
simply have none. K bins of n cells take n²/2 evaluations of the merit and K n²/2 additions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cortado.categorizer import UNCATEGORISED
from cortado.coordinates import Features
from cortado.errors import ConfigError, TrainingError, checked_integer
from cortado.exact.given import points_of
from cortado.objectives import (
    InCategories,
    Objective,
    Term,
    Yields,
    array_namespace,
    as_objective,
)
from cortado.objectives.described import described
from cortado.points import Points, sums_by_index
from cortado.sample import Sample

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Merit = Callable[[Yields], Any]

MAX_CELLS = 2000
# Intervals whose yields, and rows whose sums, are in the processor's cache at a time.
_INTERVALS = 2**14
_ROWS = 64
# By how much rounding may change a merit, relative to the largest in a partition.
_SAME = 1e-6


@dataclass(frozen=True)
class SumOverBins(Term):
    """A term that is a sum over bins: ``contribution(yields)`` gives each bin's part, (K,).

    A plain function says only what all bins are worth together, from which no best boundaries follow.
    """

    contribution: Merit
    signals: tuple[str, ...] = ()

    def __call__(self, yields: Yields) -> Any:
        return array_namespace(yields.sumw).sum(self.contribution(yields))


@dataclass(frozen=True, eq=False)
class Binning:
    """k bins of one coordinate.

    ``edges`` (k + 1) go upwards, from −∞ to ∞ unless outer edges were fixed; a value on an inner edge belongs
    to the bin above, one on an outer edge to the outer bin. ``value`` is the objective, and ``yields`` (P, k)
    are the sums, both of the cells that lie in the bins.
    """

    edges: tuple[float, ...]
    value: float
    yields: Yields

    @property
    def n_categories(self) -> int:
        """Number k of bins."""
        return len(self.edges) - 1

    def assign(self, u: npt.ArrayLike) -> Integers:
        """Bin (n,) of coordinates (n,) or (n, 1); −1 outside of the outer edges."""
        places = np.asarray(u, np.float64).reshape(-1)
        inside = (places >= self.edges[0]) & (places <= self.edges[-1])
        return np.where(inside, np.searchsorted(self.edges[1:-1], places, side="right"), UNCATEGORISED)


class _HasValue(Protocol):
    @property
    def value(self) -> float: ...


B = TypeVar("B", bound=_HasValue)


class ByNumber(Generic[B]):
    """The best binnings for every number k = 1 … K of bins, in ``binnings``."""

    binnings: tuple[B, ...]

    @property
    def n_categories(self) -> int:
        """The largest number K of bins."""
        return len(self.binnings)

    @property
    def values(self) -> Floats:
        """(K,) the objective of the best 1 … K bins."""
        return np.array([binning.value for binning in self.binnings])

    def best(self, k: int) -> B:
        """The best k bins. Raises ``ConfigError`` unless 1 ≤ k ≤ K."""
        if not 1 <= k <= self.n_categories:
            raise ConfigError(f"k must be from 1 to {self.n_categories}, the bins that were found, got {k}")
        return self.binnings[k - 1]

    def pays_until(self, gain: float = 0.01) -> int:
        """The number of bins from which more of them no longer pay.

        The smallest k such that ``value(k') > value(k) + gain * abs(value(k))`` for no k' from k + 1 to K.
        Raises ``ConfigError`` unless gain is a finite number ≥ 0.
        """
        if not 0 <= gain < np.inf:
            raise ConfigError(f"gain must be a finite number ≥ 0, got {gain}")
        best_from = np.maximum.accumulate(self.values[::-1])[::-1]
        return 1 + int(np.argmax(best_from <= self.values + gain * np.abs(self.values)))


@dataclass(frozen=True, eq=False)
class Boundaries(ByNumber[Binning]):
    """The best bins for every number k = 1 … K of them; K is smaller than asked for where floors forbid more.

    ``features`` say what the coordinate is made of.
    """

    features: Features
    binnings: tuple[Binning, ...]

    def feature_edges(self, k: int) -> Floats:
        """(k − 1, D) inner edges of the best k bins as values of the features, up to rounding and bounds."""
        return self.features.inverse(np.array(self.best(k).edges[1:-1]).reshape(-1, 1))


def optimal_boundaries(
    points: Points | Sample,
    objective: Objective | Term,
    n_categories: int,
    *,
    outer: tuple[float, float] | None = None,
    max_cells: int = MAX_CELLS,
) -> Boundaries:
    """The bins of a one-dimensional discriminant with the largest objective, for every number of them.

    Parameters
    ----------
    points
        Points of one coordinate, or a sample of such. Boundaries lie at the edges of its cells, in the middle
        of a gap between occupied cells.
    objective
        What grows with a sum over bins: :class:`Asimov` of one signal or of several in quadrature, the same
        of :class:`AsimovWithUncertainty`, or
        :class:`SumOverBins`. Floors that are added to it hold in every bin.
    n_categories
        The largest number K of bins.
    outer
        Fixed outer edges (low, high) in the coordinate. Cells whose place is not between them are left out.
    max_cells
        Where more cells are occupied, neighbours are merged before (:func:`optimal_intervals`).

    Raises
    ------
    ConfigError
        If an argument breaks a rule, the points have several coordinates, or the objective is not a function
        of a sum over bins.
    TrainingError
        If not even one bin of all points meets the floors.
    """
    points = points_of(points)
    goal = as_objective(objective)
    if points.place.shape[1] != 1:
        raise ConfigError(
            f"points must have one coordinate to have boundaries, got {points.place.shape[1]}: "
            f"{list(points.features.labels)}"
        )
    low, high = _checked_outer(outer)
    place, first, index = np.unique(points.place[:, 0], return_index=True, return_inverse=True)
    inside = np.arange(np.searchsorted(place, low, "left"), np.searchsorted(place, high, "right"))
    if not len(inside):
        raise ConfigError(f"outer must have points between its edges, got [{low:g}, {high:g}]")
    cells = columns(points.yields(index, len(place)), inside)
    between = _edges_between(points, first[inside], high)
    binnings = []
    for cuts in optimal_intervals(cells, goal, n_categories, max_cells):
        yields = _bins(cells, cuts)
        edges = (low, *between[cuts[1:-1] - 1].tolist(), high)
        binnings.append(Binning(edges, goal.value(yields), yields))
    return Boundaries(points.features, tuple(binnings))


def optimal_intervals(
    cells: Yields, objective: Objective, n_bins: int, max_cells: int = MAX_CELLS
) -> list[Integers]:
    """The partitions of n cells in order into 1 … ``n_bins`` intervals with the largest objective.

    Parameters
    ----------
    cells
        Yields (P, n) of the cells, in order, that add up.
    objective
        As for :func:`optimal_boundaries`. An interval whose merit is not finite is no bin.
    n_bins
        The largest number of intervals.
    max_cells
        More cells than these are merged with their neighbours, into intervals of nearly equal importance:
        half of it is shared by the number of cells, half by Σ|w| with all processes alike. The memory taken
        is 8 bytes times the square of ``max_cells``.

    Returns
    -------
    For k = 1, 2, …, in order: cuts (k + 1,), where interval i holds the cells cuts[i] … cuts[i + 1] − 1. The
    list ends before the first k that is not possible.

    Raises
    ------
    ConfigError
        If an argument breaks a rule, or the objective is not a function of a sum over bins.
    TrainingError
        If one interval of all cells is not possible.
    """
    for name, number in (("the number of bins", n_bins), ("max_cells", max_cells)):
        checked_integer(name, number, 1)
    merit = additive_merit(objective)
    group = even_groups(cells, max_cells)
    n_groups = int(group[-1]) + 1
    start = np.searchsorted(group, np.arange(n_groups + 1))
    merits = _interval_merits(_merged(cells, group, n_groups), merit)
    while partitions := _best_partitions(merits, n_bins):
        refused = [_refuse_bins(merits, p, merit(_bins(cells, start[p]))) for p in partitions]
        if not any(refused):
            return [start[p] for p in partitions]
    raise TrainingError(_nothing_found(cells, objective))


def additive_merit(objective: Objective) -> Merit:
    """The merit (K,) of bins whose sum the objective grows with.

    Z² for an :class:`Asimov`, the contributions for terms that are :class:`SumOverBins`; −∞ where a floor is
    missed, or the merit is not finite. Raises ``ConfigError`` where the objective has no such merit.
    """
    if objective.per_category:
        raise ConfigError("objective must not have scale factors for each category: bins have no numbers yet")
    parts = _parts(objective)

    def merit(yields: Yields) -> Floats:
        merits = np.full(yields.sumw.shape[1], -np.inf)
        allowed = np.flatnonzero(objective.shortfall(yields) == 0)
        if len(allowed):
            bins = objective.prepared(yields if len(allowed) == len(merits) else columns(yields, allowed))
            values = np.sum([_one_each(part, part(bins), len(allowed)) for part in parts], axis=0)
            merits[allowed] = np.where(np.isfinite(values), values, -np.inf)
        return merits

    return merit


def _parts(objective: Objective) -> list[Merit]:
    """Functions, (K,) each, whose sum over bins the objective without its floors grows with."""
    terms = objective.merits
    sums = [term.contribution for term in terms if isinstance(term, SumOverBins)]
    if sums and len(sums) == len(terms):
        return sums
    if len(terms) == 1 and isinstance(term := terms[0], InCategories) and _is_root_of_sum(term):
        return [lambda yields: sum(term.per_category(yields).values())]
    raise ConfigError(
        "objective must grow with a sum over bins, as Asimov does with one signal or with "
        f"combine='quadrature', or be made of SumOverBins; got {described(terms)}"
    )


def _is_root_of_sum(term: InCategories) -> bool:
    # Every combination that has a name is, for one signal, its significance times a number.
    alone = len(term.signals) == 1 and isinstance(term.combine, str)
    return alone or term.combine == "quadrature"


def _one_each(part: Merit, values: Any, n_bins: int) -> Floats:
    array = np.asarray(values, np.float64)
    if array.shape != (n_bins,):
        raise ConfigError(
            f"a contribution must be one number for each of {n_bins} bins, "
            f"{described(part)} gave shape {array.shape}"
        )
    return array


def _refuse_bins(merits: Floats, partition: Integers, together: Floats) -> bool:
    """Take the merit from those bins of a partition that have none ``together`` (k,); whether there are any.

    Sums over groups and sums over cells may be rounded to different sides of a floor: the latter count.
    Raises ``ConfigError`` if the other merits are not what they were among all intervals.
    """
    ends = (partition[:-1], partition[1:] - 1)
    allowed = np.isfinite(together)
    before, after = merits[ends][allowed], together[allowed]
    if not np.allclose(before, after, rtol=_SAME, atol=_SAME * np.abs(after).max(initial=0.0)):
        raise ConfigError(
            "objective must be a sum over bins, but what a bin contributes or how it is scaled depends on "
            "the other bins"
        )
    merits[ends] = np.where(allowed, merits[ends], -np.inf)
    return not allowed.all()


def _interval_merits(cells: Yields, merit: Merit) -> Floats:
    """(n, n) merit of the bin that starts with cell i and ends with cell j; −∞ where there is no such bin."""
    n = cells.sumw.shape[1]
    merits = np.full((n, n), -np.inf)
    first = 0
    while first < n:
        last = min(n, first + max(1, _INTERVALS // (n - first)))
        forward = np.arange(first, n) >= np.arange(first, last)[:, None]
        merits[first:last, first:][forward] = merit(_interval_yields(cells, first, forward))
        first = last
    return merits


def _interval_yields(cells: Yields, first: int, forward: npt.NDArray[np.bool_]) -> Yields:
    """Yields of the intervals (start, end) from cell ``first`` on that are ``forward`` (r, n − first).

    Each is added up from its own start. Differences of sums from the first cell on would leave rounding in
    the place of an empty background, and a large significance over it.
    """

    def sums(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.stack([np.cumsum(row[first:] * forward, axis=1)[forward] for row in table])

    return cells.mapped(sums)


def _best_partitions(merits: Floats, n_bins: int) -> list[Integers]:
    """For k = 1 … ``n_bins``, as far as possible: cuts (k + 1,) of the best k intervals."""
    n = len(merits)
    best = np.full((min(n_bins, n) + 1, n + 1), -np.inf)
    best[0, 0] = 0.0
    for before, after in pairwise(best):
        for first in range(0, n, _ROWS):
            rows = slice(first, first + _ROWS)
            if np.isfinite(before[:-1][rows]).any():
                sums = merits[rows, first:] + before[:-1][rows, None]
                np.maximum(after[first + 1 :], sums.max(axis=0), out=after[first + 1 :])
    possible = np.isfinite(best[1:, -1])
    return [_traced(merits, best, k) for k in range(1, 1 + int(np.argmin([*possible, False])))]


def _traced(merits: Floats, best: Floats, k: int) -> Integers:
    """Cuts (k + 1,) of the best k intervals, from the last to the first."""
    cuts = [len(merits)]
    for before in best[k - 1 :: -1]:
        end = cuts[-1]
        cuts.append(int(np.argmax(before[:end] + merits[:end, end - 1])))
    return np.array(cuts[::-1])


def even_groups(cells: Yields, limit: int) -> Integers:
    """(n,) group of each cell: at most ``limit`` contiguous groups 0, 1, …, of nearly equal importance."""
    absolute = np.abs(cells.sumw)
    n = absolute.shape[1]
    if n <= limit:
        return np.arange(n)
    totals = absolute.sum(axis=1, keepdims=True)
    share = absolute / np.where(totals > 0, totals, 1.0)
    importance = share.mean(axis=0) + 1 / n
    middle = np.cumsum(importance) - importance / 2
    group = np.floor(limit * middle / importance.sum())
    return np.unique(group, return_inverse=True)[1]


def _merged(cells: Yields, group: Integers, n: int) -> Yields:
    """Yields (P, n) of groups of cells."""

    return cells.mapped(lambda table: sums_by_index(table, group, n))


def _bins(cells: Yields, cuts: Integers) -> Yields:
    """Yields (P, k) of intervals of cells."""
    return _merged(cells, np.repeat(np.arange(len(cuts) - 1), np.diff(cuts)), len(cuts) - 1)


def columns(cells: Yields, which: Integers) -> Yields:
    """Some of the cells, or bins."""

    return cells.mapped(lambda table: np.take(table, which, axis=1))


def _edges_between(points: Points, chosen: Integers, high: float) -> Floats:
    """(m − 1,) edges between m chosen points, in order of place."""
    place = points.place[chosen, 0]
    left, right = place[:-1], place[1:]
    key = points.key[chosen, 0]
    edge = 0.5 * points.widths[0] * (key[:-1] + 1 + key[1:])
    # Places are rounded, and can come to lie on or beyond the edge of their cell.
    return np.where((left < edge) & (edge <= right) & (edge < high), edge, left + 0.5 * (right - left))


def _checked_outer(outer: tuple[float, float] | None) -> tuple[float, float]:
    low, high = (-np.inf, np.inf) if outer is None else (float(edge) for edge in outer)
    if not low < high:
        raise ConfigError(f"outer must go upwards, got [{low:g}, {high:g}]")
    return low, high


def _nothing_found(cells: Yields, objective: Objective) -> str:
    if not objective.floors:
        return "not even all cells together make a bin: what it contributes to the objective is not finite"
    everything = objective.prepared(cells)
    background, count = (everything.total(everything.backgrounds, of).sum() for of in ("sumw", "count"))
    return (
        f"not even all cells together make a bin that meets {', '.join(map(str, objective.floors))}: they "
        f"hold an expected background of {background:.4g} from {count:.0f} events; lower the floors or "
        "simulate more events"
    )
