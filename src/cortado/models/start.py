"""Where a training starts: a partition of points that a model comes close to, before gradients take over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cortado.models.ranges import Ranges, ranges_of
from cortado.objectives import Objective
from cortado.points import Points

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Start:
    """A partition of n points into at most K = ``n_categories`` categories.

    ``category`` (n,) of each point, at most 0 … K − 1; ``importance`` (n,) ≥ 0, sum 1, how much the choice
    matters there; ``rng`` for what else a model has to choose. A model that searches a beginning of its own
    can ask what other categories are worth: the ``objective`` of the yields of ``cells``, the same events in
    cells that are as fine or finer.
    """

    points: Points
    category: Integers
    n_categories: int
    importance: Floats
    cells: Points
    objective: Objective
    rng: np.random.Generator

    @cached_property
    def ranges(self) -> Ranges:
        """(low, high) for each coordinate, between which it matters: where a few far events are not."""
        return ranges_of(self.points)

    @cached_property
    def place(self) -> Floats:
        """(n, d) coordinates of the points, those out of :attr:`ranges` moved to their ends.

        For means and widths, which one far event would set otherwise.
        """
        low, high = np.array(self.ranges).T
        return np.clip(self.points.place, low, high)

    def location_and_scale(self) -> tuple[Floats, Floats]:
        """(d,) mean and standard deviation of :attr:`place`, by Σ|w|; 1 where there is no spread."""
        mass = np.maximum(self.points.mass, 1e-12 * self.points.mass.max())
        location = np.average(self.place, axis=0, weights=mass)
        scale = np.sqrt(np.average((self.place - location) ** 2, axis=0, weights=mass))
        return location, np.where(scale > 0, scale, 1.0)
