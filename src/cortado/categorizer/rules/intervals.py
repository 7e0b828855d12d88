"""The line in intervals: what any rule is in one coordinate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_ROUNDING = 4 * np.finfo(np.float64).eps
_FARTHEST = 1e150  # the square of which is still a number


@dataclass(frozen=True, eq=False)
class Intervals:
    """The line in intervals of one category each; neighbours differ.

    ``edges`` (m,) increase; ``categories`` (m + 1,) are those below, between and above them. An edge itself
    belongs to the interval above it.
    """

    edges: Floats
    categories: Integers

    @classmethod
    def joined(cls, edges: Floats, categories: Integers) -> Intervals:
        """Intervals of edges (m,) that do not decrease: empty ones are left out, equal neighbours joined."""
        filled = np.diff(edges, prepend=-np.inf, append=np.inf) > 0
        lower, category = edges[filled[1:]], categories[filled]
        changes = category[1:] != category[:-1]
        return cls(lower[changes], category[np.concatenate([[True], changes])])

    @classmethod
    def between_roots(
        cls, roots: Floats, assign: Callable[[Floats], Integers], centre: float = 0.0, scale: float = 1.0
    ) -> Intervals:
        """Intervals of a rule that changes at some of ``roots``, in any order, and nowhere else.

        ``assign`` gives the categories (k,) at points (k,), one inside each interval. With ``centre`` and
        ``scale`` the points do not go farther out than they need, as digits are lost there. Roots that differ
        by rounding count as one, those that are not finite do not count.
        """
        roots = np.sort(roots[np.abs(roots) < _FARTHEST])
        edges = roots[np.diff(roots, prepend=-np.inf) > _ROUNDING * np.abs(roots)]
        if not len(edges):
            return cls(edges, assign(np.array([centre])))
        low, high = np.append(-np.inf, edges), np.append(edges, np.inf)
        upwards = np.abs(low - centre) < np.abs(high - centre)
        nearest = np.where(upwards, low, high)
        step = np.minimum(0.5 * (high - low), scale + np.abs(nearest - centre))
        return cls.joined(edges, assign(nearest + np.where(upwards, step, -step)))

    def assign(self, u: Floats) -> Integers:
        """Category (n,) at points u (n,)."""
        return self.categories[np.searchsorted(self.edges, u, side="right")]

    def within(self, low: float, high: float) -> Intervals:
        """The intervals that values from ``low`` to ``high``, both included, can lie in."""
        first, last = np.searchsorted(self.edges, [low, high], side="right")
        return Intervals(self.edges[first:last], self.categories[first : last + 1])
