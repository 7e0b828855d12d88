"""Where trainings start: hard partitions of the cells, found without any model, or random ones.

By itself such a partition follows the fluctuations of the simulation. So it is made of cells that hold enough
simulated background, and with a pedestal: a little background in every category, which makes small categories
worthless. A model then has few parameters to imitate it with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError, TrainingError
from cortado.exact import alternate, optimal_boundaries
from cortado.exact.beginnings import interest, scattered
from cortado.models import Start
from cortado.objectives import (
    MaxRelativeUncertainty,
    MinBackground,
    MinEffectiveEvents,
    MinEvents,
    Objective,
)
from cortado.objectives.gradient import ValueAndGradient
from cortado.sample import Points

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Of the background that a category has to have: the first with which all have it is taken.
_PEDESTALS = (0.3, 0.6, 1.2)
_DEFAULT_EFFECTIVE_EVENTS = 10.0  # where no floor says how much that is
_EVENTS_PER_CELL = 5  # effective background events, on average
_LEAST_CELLS = 4  # for each category
_MOST_CELLS = 4000
_TAIL = 0.001  # of each process, on either side, lies outside of where random starts begin


def starts(
    points: Points, objective: Objective, n_categories: int, kind: str, rngs: Sequence[np.random.Generator]
) -> Iterator[Start]:
    """One start for each generator, of the kind "partition" or "random".

    In one dimension the first partition is the exact one, where the objective has one.
    """
    for number, rng in enumerate(rngs):
        exact = (
            _exact_start(points, objective, n_categories, rng) if kind == "partition" and not number else None
        )
        if exact is not None:
            yield exact
        elif kind == "partition":
            yield partition_start(points, objective, n_categories, rng)
        else:
            yield random_start(points, objective, n_categories, rng)


def random_start(points: Points, objective: Objective, n_categories: int, rng: np.random.Generator) -> Start:
    """Each point in the category of the nearest of K places drawn evenly from the range of the points."""
    cells, points = points, points.coarsened(_MOST_CELLS)
    low, high = np.array(points.ranges(_TAIL)).T
    z = (points.place - low) / (high - low)
    centres = rng.random((n_categories, len(low)))
    category = np.argmin(((z[:, None, :] - centres) ** 2).sum(axis=2), axis=1)
    importance = points.mass / points.mass.sum()
    return Start(points, category, n_categories, importance, cells, _floored(objective), rng)


def partition_start(
    points: Points, objective: Objective, n_categories: int, rng: np.random.Generator
) -> Start:
    """A partition of coarse cells that is good for the objective, from a random beginning."""
    enough = max(_LEAST_CELLS * n_categories, int(_effective(points, objective) / _EVENTS_PER_CELL))
    cells, points = points, points.coarsened(min(_MOST_CELLS, enough))
    category = scattered(_gathered(points), interest(points, objective.signals), n_categories, rng)
    values = _additive(points)
    function = ValueAndGradient(points.processes, objective)
    pedestal = _pedestal(points, objective)
    least = n_categories + 1
    for level in _PEDESTALS:
        found, worth = alternate(values, partial(function, pedestal=level * pedestal), category, n_categories)
        below = int(np.count_nonzero(objective.shortfall(points.yields(found, n_categories))))
        if below < least:
            least, partition, merit = below, found, worth
        if not below:
            break
    return _start(points, partition, merit, cells, objective, rng)


def _exact_start(
    points: Points, objective: Objective, n_categories: int, rng: np.random.Generator
) -> Start | None:
    """The best intervals of a single coordinate; None with more, or where none are known to be."""
    if points.place.shape[1] != 1:
        return None
    try:
        binning = optimal_boundaries(points, objective, n_categories).binnings[-1]
    except (ConfigError, TrainingError):
        return None
    if binning.n_categories < n_categories:
        return None
    category = binning.assign(points.place)
    columns = [np.bincount(category, v, n_categories) for v in _additive(points).T]
    sums = np.stack(columns, axis=1).astype(np.float64)
    _, gradient = ValueAndGradient(points.processes, objective)(sums)
    return _start(points, category, _additive(points) @ gradient.T, points, objective, rng)


def _start(
    points: Points,
    category: Integers,
    merit: Floats,
    cells: Points,
    objective: Objective,
    rng: np.random.Generator,
) -> Start:
    """A start from what each point is worth to each category, (n, K)."""
    ranked = np.sort(merit, axis=1)
    regret = ranked[:, -1] - ranked[:, -2]
    total = regret.sum()
    importance = regret / total if total > 0 else np.full(len(regret), 1 / len(regret))
    return Start(points, category, merit.shape[1], importance, cells, _floored(objective), rng)


def _floored(objective: Objective) -> Objective:
    """The objective; with a floor, if it has none: a search would find the cells without background."""
    if objective.floors or not objective.signals:
        return objective
    return objective + MinEffectiveEvents(_DEFAULT_EFFECTIVE_EVENTS)


def _gathered(points: Points) -> Floats:
    """(n, d) places; those farther out than most events spread are moved in, so that they set no scale."""
    low, high = np.array(points.ranges(_TAIL)).T
    return np.clip(points.place, low - (high - low), high + (high - low))


def _additive(points: Points) -> Floats:
    """(n, 3P) Σw, Σw² and counts of the points."""
    return np.concatenate([points.sumw, points.sumw2, points.count]).T


def _effective(points: Points, objective: Objective) -> float:
    """Effective number of simulated background events."""
    rows = [p for p, name in enumerate(points.processes) if name not in objective.signals]
    return float(points.sumw[rows].sum() ** 2 / max(points.sumw2[rows].sum(), 1e-300))


def _pedestal(points: Points, objective: Objective) -> Floats:
    """(3P,) Σw, Σw² and count to add to every category, in proportion to the backgrounds."""
    rows = [p for p, name in enumerate(points.processes) if name not in objective.signals]
    totals = np.clip(points.sumw.sum(axis=1), 0.0, None)
    shares = np.zeros(len(points.processes))
    shares[rows] = totals[rows] / max(totals[rows].sum(), 1e-300)
    typical_weight = points.sumw2[rows].sum() / max(totals[rows].sum(), 1e-300)
    needed = max(_needed(objective, typical_weight))
    sumw = needed * shares
    return np.concatenate([sumw, sumw * typical_weight, sumw / max(typical_weight, 1e-300)])


def _needed(objective: Objective, typical_weight: float) -> list[float]:
    """Background yields that the floors ask for, if all events have the same weight."""
    needed = []
    for floor in objective.floors:
        match floor:
            case MinBackground(minimum):
                needed.append(minimum)
            case MinEffectiveEvents(minimum) | MinEvents(minimum):
                needed.append(minimum * typical_weight)
            case MaxRelativeUncertainty(maximum):
                needed.append(typical_weight / maximum**2)
    return needed or [_DEFAULT_EFFECTIVE_EVENTS * typical_weight]
