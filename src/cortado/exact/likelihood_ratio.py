"""The best categories for one signal in any number of dimensions: intervals of signal over background.

Z² of a category is a convex function of its yields (s, b) that grows in proportion with them. In the best
partition into k regions every event is where the tangent plane α s − β b of Z², at the yields of the
category, is highest (:mod:`cortado.exact.partition`). Per unit of b these are k straight lines in s/b, and
where one of them is above all others is an interval. So the ratio s/b of the densities is a discriminant of
one dimension, of which :func:`cortado.exact.optimal_intervals` finds the best bins. With floors they are the
best intervals, though regions of another form may be better.

The densities are not known. An order of cells by their own yields would follow the fluctuations of the very
events that the significance is computed from. So the ratio is smoothed, by a regression on polynomials of the
coordinates (:mod:`cortado.shares`) or, where these do not describe it, by :mod:`cortado.exact.ratio`; and the
events of each fold are ordered by a ratio that is fitted to the other folds. The best thresholds in this
order are those of the categories, as far as the floors hold where the ratio that is fitted to all events is
above and below them; if not, the best thresholds on this ratio are. What these categories give on the same
events is the *training* value. What is quoted is the *cross-fitted* one, for which the thresholds of each
fold come from the events of the others. (A fold has a part in the order of these events, and so in its
thresholds; near the optimum that matters in second order only.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cortado.categorizer import Categorizer
from cortado.categorizer.rules import TableRule
from cortado.errors import ConfigError, checked_integer
from cortado.exact.crossed import MAX_CELLS, doubled_cells, joined, mean, others, points_by_fold
from cortado.exact.one_dimension import ByNumber, optimal_intervals
from cortado.exact.ratio import ratios
from cortado.exact.roles import Roles, only_asimov
from cortado.objectives import Objective, Yields, as_objective
from cortado.points import Points
from cortado.sample import Sample
from cortado.shares import shares_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
T = TypeVar("T")

_MOST_GROUPS = 1000  # of cells, in the order of the ratio


@dataclass(frozen=True, eq=False)
class RatioBinning:
    """k categories, each an interval of s/b.

    ``thresholds`` (k − 1) go upwards; a ratio on one of them belongs above it. ``training`` are the yields
    (P, k) of these categories on the events that they come from, which meet the floors, and
    ``training_value`` is their objective. ``yields`` and ``value`` are cross-fitted: each event is ordered by
    a ratio, and divided by thresholds, that come from others. All events are in both.
    """

    thresholds: tuple[float, ...]
    value: float
    yields: Yields
    training_value: float
    training: Yields

    @property
    def n_categories(self) -> int:
        """Number k of categories."""
        return len(self.thresholds) + 1


@dataclass(frozen=True, eq=False)
class RatioBinnings(ByNumber[RatioBinning]):
    """The best intervals of s/b for every number k = 1 … K; K is smaller than asked for where floors forbid.

    ``cells`` are those of all events, and ``ratio`` (n,) is s/b in them, fitted to all events.
    """

    cells: Points
    ratio: Floats
    binnings: tuple[RatioBinning, ...]

    def categorizer(self, k: int) -> Categorizer:
        """The best k categories as a table of cells.

        On the events of the sample it gives ``best(k).training``; others give on average no less than
        ``best(k).value``, which is that of ratios from fewer events.

        Raises ``ConfigError`` as :meth:`best` does.
        """
        category = _intervals(self.ratio, self.best(k).thresholds)
        rule = TableRule.from_cells(self.cells.widths, self.cells.key, category)
        return Categorizer(features=self.cells.features, rule=rule)


def optimal_thresholds(
    sample: Sample,
    objective: Objective | Callable[[Yields], Any],
    n_categories: int,
    *,
    max_cells: int = MAX_CELLS,
) -> RatioBinnings:
    """The categories with the largest significance of one signal, for every number of them.

    Parameters
    ----------
    sample
        Normalised sample of at least two folds, in any number of dimensions.
    objective
        An :class:`Asimov` of one signal. Floors that are added to it hold in every category on the events
        of the sample.
    n_categories
        The largest number K of categories.
    max_cells
        Where more cells have events, they are doubled in size before.

    Raises
    ------
    ConfigError
        If an argument breaks a rule, the sample has a single fold, or the objective is another one or of
        several signals.
    TrainingError
        If not even one category of all events meets the floors.
    """
    goal = as_objective(objective)
    asimov = only_asimov(goal)
    if len(asimov.signals) > 1:
        raise ConfigError(
            "objective must be of one signal, for which an order of s/b is best, got "
            f"{list(asimov.signals)}; for several there is cortado.exact.hard_partition"
        )
    checked_integer("n_categories", n_categories, 1)
    parts = points_by_fold(sample, goal, max_cells)
    scaled = replace(goal, scales=())  # as the points are
    sizes = doubled_cells(parts[0].key)
    roles = Roles.of(asimov, parts[0].processes)
    ratio = [_smooth_ratio(others(parts, fold), roles, sizes) for fold in range(len(parts))]
    whole = mean(parts)
    smooth = _smooth_ratio(whole, roles, sizes)
    crossed = _thresholds(parts, ratio, scaled, n_categories)
    own = _thresholds([whole], [smooth], scaled, n_categories)
    of_others = [
        _thresholds(_without(parts, fold), _without(ratio, fold), scaled, n_categories)
        for fold in range(len(parts))
    ]
    binnings = []
    for k in range(min(map(len, (own, crossed, *of_others)))):
        edges = crossed[k] if _allowed(_yields([whole], [smooth], [crossed[k]]), scaled) else own[k]
        training = _yields([whole], [smooth], [edges])
        tested = _yields(parts, ratio, [found[k] for found in of_others])
        binnings.append(RatioBinning(edges, scaled.value(tested), tested, scaled.value(training), training))
    return RatioBinnings(whole, smooth, tuple(binnings))


def _allowed(yields: Yields, objective: Objective) -> bool:
    """Whether all categories have events and meet the floors."""
    return bool(yields.count.any(axis=0).all()) and not objective.shortfall(yields).any()


def _smooth_ratio(points: Points, roles: Roles, sizes: Sequence[Integers]) -> Floats:
    """(n,) s/b of the only signal in the cells."""
    (s, b), (s2, b2) = roles.split(points.sumw), roles.split(points.sumw2)
    both = replace(
        points,
        processes=("signal", "background"),
        sumw=np.concatenate([s, b]),
        sumw2=np.concatenate([s2, b2]),
        count=np.concatenate(roles.split(points.count)),
    )
    shares = shares_of(both)
    if shares is None:
        return ratios(points, roles, sizes)[0][0]
    signal, background = shares(points.place) / shares.per_event[:, None]
    return signal / background


def _thresholds(
    parts: Sequence[Points], ratio: Sequence[Floats], objective: Objective, n_categories: int
) -> list[tuple[float, ...]]:
    """For 1, 2, … categories: the best thresholds on the ratios, (n,) for each of some folds."""
    values, index = np.unique(np.concatenate(ratio), return_inverse=True)
    cells = joined(parts).yields(index, len(values))
    partitions = optimal_intervals(cells, objective, n_categories, _MOST_GROUPS)
    return [tuple(values[cuts[1:-1]].tolist()) for cuts in partitions]


def _yields(
    parts: Sequence[Points], ratio: Sequence[Floats], thresholds: Sequence[tuple[float, ...]]
) -> Yields:
    """Yields of the intervals, with the ratio (n,) and the thresholds of each fold."""
    category = [_intervals(*of_fold) for of_fold in zip(ratio, thresholds, strict=True)]
    return joined(parts).yields(np.concatenate(category), len(thresholds[0]) + 1)


def _without(of_folds: Sequence[T], fold: int) -> list[T]:
    return [item for k, item in enumerate(of_folds) if k != fold]


def _intervals(ratio: Floats, thresholds: Sequence[float]) -> Integers:
    """(n,) category of each cell."""
    return np.searchsorted(np.array(thresholds, np.float64), ratio, side="right").astype(np.int64)
