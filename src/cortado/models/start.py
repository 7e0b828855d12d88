"""Where a training starts: a partition of points that a model comes close to, before gradients take over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortado.sample import Points

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Start:
    """A partition of n points into at most K = ``n_categories`` categories.

    ``category`` (n,) of each point; ``importance`` (n,) ≥ 0, sum 1, how much the choice matters there;
    ``rng`` for what else a model has to choose.
    """

    points: Points
    category: Integers
    importance: Floats
    n_categories: int
    rng: np.random.Generator

    def location_and_scale(self) -> tuple[Floats, Floats]:
        """(d,) mean and standard deviation of the coordinates, by Σ|w|; 1 where there is no spread."""
        mass = np.maximum(self.points.mass, 1e-12 * self.points.mass.max())
        location = np.average(self.points.place, axis=0, weights=mass)
        scale = np.sqrt(np.average((self.points.place - location) ** 2, axis=0, weights=mass))
        return location, np.where(scale > 0, scale, 1.0)
