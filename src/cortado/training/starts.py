"""Where a training starts: a hard partition of the cells, found without any model.

By itself such a partition follows the fluctuations of the simulation. So it is made of cells that hold enough
simulated background, and with a pedestal: a little background in every category, which makes small categories
worthless. A model then has few parameters to imitate it with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.exact import alternate
from cortado.models.tensorflow import tf
from cortado.objectives import MinBackground, MinEffectiveEvents, Objective, Yields
from cortado.sample import Points

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_PEDESTALS = (
    0.3,
    0.6,
    1.2,
)  # of the background that a category has to have: the first with which all have it
_DEFAULT_EFFECTIVE_EVENTS = 10.0  # where no floor says how much that is
_EVENTS_PER_CELL = 5  # effective background events, on average
_LEAST_CELLS = 4  # for each category


@dataclass(frozen=True, eq=False)
class Start:
    """A partition of n points: their category (n,), and how much the choice matters at each (n,), sum 1."""

    points: Points
    category: Integers
    importance: Floats


def partition_start(
    points: Points, objective: Objective, n_categories: int, rng: np.random.Generator
) -> Start:
    """A partition of coarse cells that is good for the objective, from a random beginning."""
    points = points.coarsened(
        max(_LEAST_CELLS * n_categories, int(_effective(points, objective) / _EVENTS_PER_CELL))
    )
    category = _nearest(_standardised(points.place), _interest(points, objective.signals), n_categories, rng)
    values = np.concatenate([points.sumw, points.sumw2, points.count]).T
    function = _Gradient(points.processes, objective)
    pedestal = _pedestal(points, objective)
    least = n_categories + 1
    for level in _PEDESTALS:
        found, worth = alternate(values, partial(function, pedestal=level * pedestal), category, n_categories)
        below = int(np.count_nonzero(objective.shortfall(points.yields(found, n_categories))))
        if below < least:
            least, partition, merit = below, found, worth
        if not below:
            break
    ranked = np.sort(merit, axis=1)
    regret = ranked[:, -1] - ranked[:, -2]
    total = regret.sum()
    return Start(points, partition, regret / total if total > 0 else np.full(len(regret), 1 / len(regret)))


class _Gradient:
    """Objective and gradient at sums (K, 3P) of Σw, Σw² and counts, with a pedestal under each category."""

    def __init__(self, processes: tuple[str, ...], objective: Objective) -> None:
        def value_and_gradient(sums: Any, pedestal: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                tape.watch(sums)
                tables = tf.split(tf.transpose(sums + pedestal), 3)
                value = objective(Yields(processes, *tables))
            return value, tape.gradient(value, sums)

        self._function = tf.function(value_and_gradient, autograph=False)

    def __call__(self, sums: Floats, pedestal: Floats) -> tuple[float, Floats]:
        value, gradient = self._function(tf.constant(sums, tf.float64), tf.constant(pedestal, tf.float64))
        return float(value), gradient.numpy()


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
    floors = [f.minimum for f in objective.floors if isinstance(f, MinBackground)]
    effective = [f.minimum for f in objective.floors if isinstance(f, MinEffectiveEvents)]
    needed = max([*floors, max(effective, default=_DEFAULT_EFFECTIVE_EVENTS) * typical_weight])
    sumw = needed * shares
    return np.concatenate([sumw, sumw * typical_weight, sumw / max(typical_weight, 1e-300)])


def _interest(points: Points, signals: tuple[str, ...]) -> Floats:
    """(n,) where categories may begin: at the signals, each with the same total."""
    rows = [points.processes.index(name) for name in signals] or range(len(points.processes))
    shares = [np.clip(points.sumw[r], 0.0, None) for r in rows]
    return np.sum([s / max(s.sum(), 1e-300) for s in shares], axis=0)


def _standardised(place: Floats) -> Floats:
    deviation = place.std(axis=0)
    return (place - place.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)


def _nearest(z: Floats, weight: Floats, n: int, rng: np.random.Generator) -> Integers:
    """The nearest of n points drawn far apart (k-means++: Arthur and Vassilvitskii, SODA 2007)."""
    distance = np.full(len(z), np.inf)
    nearest = np.zeros(len(z), np.int64)
    probability = weight / weight.sum()
    for k in range(n):
        centre = z[rng.choice(len(z), p=probability)]
        squared = ((z - centre) ** 2).sum(axis=1)
        nearest[squared < distance] = k
        distance = np.minimum(distance, squared)
        spread = distance * weight
        if spread.sum() > 0:
            probability = spread / spread.sum()
    return nearest
