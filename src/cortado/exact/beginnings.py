"""Where a search for a partition begins: K cells drawn far apart, and to each the cells near it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cortado.points import Points

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_TINY = 1e-300


def interest(points: Points, signals: tuple[str, ...]) -> Floats:
    """(n,) how likely categories begin at each point: the density of the signals, each with the same total.

    That of all processes where no signal is named.
    """
    rows = [points.processes.index(name) for name in signals] or range(len(points.processes))
    shares = [np.clip(points.sumw[r], 0.0, None) for r in rows]
    return np.sum([s / max(s.sum(), _TINY) for s in shares], axis=0)


def scattered(place: Floats, weight: Floats, n: int, rng: np.random.Generator) -> Integers:
    """(m,) the nearest of n of m ≥ 1 places (m, d), drawn by weight (m,) and far apart.

    That is k-means++ (Arthur and Vassilvitskii, SODA 2007), in coordinates of unit variance.
    """
    deviation = place.std(axis=0)
    z = (place - place.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    distance = np.full(len(z), np.inf)
    nearest = np.zeros(len(z), np.int64)
    spread = weight
    for k in range(n):
        total = spread.sum()
        centre = z[rng.choice(len(z), p=spread / total if total > 0 else None)]
        squared = ((z - centre) ** 2).sum(axis=1)
        nearest[squared < distance] = k
        distance = np.minimum(distance, squared)
        spread = distance * weight
    return nearest
