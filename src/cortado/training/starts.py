"""Where trainings start: hard partitions of the cells, found without any model, or random ones.

By itself such a partition follows the fluctuations of the simulation. So it is made of cells that hold enough
simulated background, smooth ones where there are any, and a model has few parameters to imitate it with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError, TrainingError
from cortado.exact import hard_partition, optimal_boundaries
from cortado.exact.partition import sums_of
from cortado.models import Start
from cortado.objectives import (
    MaxRelativeUncertainty,
    MinBackground,
    MinEffectiveEvents,
    MinEvents,
    Objective,
)
from cortado.objectives.gradient import ValuesAndGradients
from cortado.points import Points

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_EVENTS_PER_CELL = 5  # effective background events, on average
_LEAST_CELLS = 4  # for each category
_MOST_CELLS = 3000
_HOPS = 15
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
    return Start(points, category, n_categories, importance, cells, objective, rng)


def partition_start(
    points: Points, objective: Objective, n_categories: int, rng: np.random.Generator
) -> Start:
    """The best partition that was found from a random beginning, of as many categories as meet the floors."""
    enough = max(_LEAST_CELLS * n_categories, int(_effective(points, objective) / _EVENTS_PER_CELL))
    cells, points = points, points.coarsened(min(_MOST_CELLS, enough))
    n = min(n_categories, _most_categories(points, objective), len(points.place))
    while n > 1:
        seed = int(rng.integers(2**32))
        try:
            found = hard_partition(points, objective, n, starts=1, hops=_HOPS, seed=seed)
        except TrainingError:
            n = 3 * n // 4
        else:
            return _start(points, found.category, found.merit, n_categories, cells, objective, rng)
    return random_start(cells, objective, n_categories, rng)


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
    columns = points.as_yields.rows
    sums = sums_of(columns, category, n_categories)
    ((_, gradient),) = ValuesAndGradients(points.processes, [objective], points.nuisances)(sums)
    return _start(points, category, columns.T @ gradient.T, n_categories, points, objective, rng)


def _start(
    points: Points,
    category: Integers,
    merit: Floats,
    n_categories: int,
    cells: Points,
    objective: Objective,
    rng: np.random.Generator,
) -> Start:
    """A start from what each point is worth to each of two or more categories, (n, k)."""
    ranked = np.sort(merit, axis=1)
    regret = ranked[:, -1] - ranked[:, -2]
    total = regret.sum()
    importance = regret / total if total > 0 else np.full(len(regret), 1 / len(regret))
    return Start(points, category, n_categories, importance, cells, objective, rng)


def _effective(points: Points, objective: Objective) -> float:
    """Effective number of simulated background events."""
    rows = [p for p, name in enumerate(points.processes) if name not in objective.signals]
    return float(points.sumw[rows].sum() ** 2 / max(points.sumw2[rows].sum(), 1e-300))


def _most_categories(points: Points, objective: Objective) -> int:
    """How many categories could meet the floors, if the background were divided evenly."""
    rows = [p for p, name in enumerate(points.processes) if name not in objective.signals]
    total = points.sumw[rows].sum()
    needed = max(_needed(objective, points.sumw2[rows].sum() / max(total, 1e-300)), default=0.0)
    return max(2, int(total / needed)) if needed > 0 else len(points.place)


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
    return needed
