"""Weighted points of discriminant space: a sample as a fit sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.coordinates import Features
from cortado.errors import ConfigError
from cortado.kernels import round_bits, row_sums
from cortado.numbering import distinct
from cortado.objectives.yields import Yields

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_DROPPED = 53 - 24  # bits


@dataclass(frozen=True, eq=False)
class Points:
    """A sample as a fit sees it: n places and the weight of P processes at each.

    ``place`` (n, d) coordinates; ``sumw``, ``sumw2`` (P, n) float64; ``count`` (P, n); ``key`` (n, d) address
    of the cell, ⌊u / width⌋ with ``widths`` (d,); ``mass`` (n,) Σ|w| over all processes. ``features`` says
    what the coordinates are made of. ``varied`` (N, 2, P, n) is Σw with each of N ``nuisances`` up and down,
    None where none was asked for.
    """

    features: Features
    processes: tuple[str, ...]
    place: Floats
    sumw: Floats
    sumw2: Floats
    count: Integers
    key: Integers
    widths: Floats
    mass: Floats
    nuisances: tuple[str, ...] = ()
    varied: Floats | None = None

    @property
    def as_yields(self) -> Yields:
        """Every point as a category of its own."""
        return Yields(
            self.processes, self.sumw, self.sumw2, self.count, nuisances=self.nuisances, varied=self.varied
        )

    def mapped(self, function: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], **others: Any) -> Points:
        """Points with a function of tables (m, n) applied to all sums, and with other fields as given."""
        found = self.as_yields.mapped(function)
        return replace(
            self, sumw=found.sumw, sumw2=found.sumw2, count=found.count, varied=found.varied, **others
        )

    def yields(self, category: Integers, n_categories: int) -> Yields:
        """Sums per process over the points of each category, from the category (n,) of every point."""

        return self.as_yields.mapped(lambda table: sums_by_index(table, category, n_categories))

    def some(self, which: npt.NDArray[Any]) -> Points:
        """The points that ``which`` says, (n,) booleans or their numbers."""
        return self.mapped(
            lambda table: table[:, which],
            place=self.place[which],
            key=self.key[which],
            mass=self.mass[which],
        )

    def ranges(self, tail: float) -> list[tuple[float, float]]:
        """Per coordinate, (low, high) with at most a fraction ``tail`` of any process on either side."""
        ranges = []
        for u in self.place.T:
            order = np.argsort(u, kind="stable")
            low, high = np.inf, -np.inf
            for weight in (w for w in np.clip(self.sumw, 0.0, None) if w.any()):
                share = np.cumsum(weight[order]) / weight.sum()
                low = min(low, float(u[order][np.searchsorted(share, tail)]))
                high = max(high, float(u[order][min(np.searchsorted(share, 1 - tail), len(u) - 1)]))
            ranges.append((low, high) if low < high else (low - 0.5, high + 0.5))
        return ranges

    def coarsened(self, limit: int) -> Points:
        """These points merged, by doubling the cells, until there are at most ``limit`` ≥ 1 of them."""
        if limit < 1:
            raise ConfigError(f"limit must be at least 1, got {limit}")
        points = self
        while len(points.place) > limit:
            points = points._doubled()
        return points

    def _doubled(self) -> Points:
        halved = self.key // 2
        # Cells on either side of 0 never meet by doubling: once nothing else is left, they are put together.
        halved = np.zeros_like(halved) if (halved == self.key).all() else halved
        key, index = distinct(halved)

        def sums(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return sums_by_index(table, index, len(key))

        # Places of weight zero count a little, so that every cell has a place.
        weight = np.maximum(self.mass, 1e-9 * self.mass.mean() or 1.0)
        place = sums((self.place * weight[:, None]).T) / sums(weight[None])
        return self.mapped(
            sums, place=place.T, key=key, widths=2 * self.widths, mass=sums(self.mass[None])[0]
        )


def sums_by_index(table: npt.NDArray[Any], index: Integers, n: int) -> npt.NDArray[Any]:
    """(m, n) sums of a table (m, k) over the columns with each ``index`` (k,) 0 … n − 1."""
    return row_sums(np.ascontiguousarray(table), np.ascontiguousarray(index), n).T.copy()


def to_24_bits(values: Floats) -> Floats:
    """Values rounded to the 24 significant bits of a float32, in the range of a float64.

    Sums depend on the order of the chunks in their last bits, and hundreds of training steps would make more
    of that. Rounded, the points are the same numbers whatever the order; no quoted result is computed from
    them.
    """
    rounded = np.array(values, np.float64, order="C")
    round_bits(rounded.reshape(-1).view(np.int64), _DROPPED)
    return rounded
