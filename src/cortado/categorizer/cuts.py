"""Categories as cuts: rules whose regions are rectangles, in the features themselves where that can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.categorizer.categorizer import Categorizer
from cortado.categorizer.rules import GridRule
from cortado.coordinates import Coordinates, Features, Identity

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cuts:
    """A category for each cell of the product of bins along d coordinates.

    ``edges`` are the inner edges along each coordinate of ``features``, not decreasing; a value on an edge
    belongs to the upper bin. ``table`` has the category of each cell, as many axes as there are coordinates.
    """

    features: Features
    edges: tuple[Floats, ...]
    table: Integers

    @classmethod
    def of(cls, categorizer: Categorizer, kind: npt.DTypeLike) -> Cuts | None:
        """The cuts of a categorizer for features of a floating type ``kind``; None if it has other regions.

        A coordinate that grows with one feature is replaced by that feature, and its edges by the smallest
        numbers of this type for which the coordinate is not below them: the cuts decide for each number of
        this type as the categorizer does.
        """
        rule, features = categorizer.rule, categorizer.features
        if isinstance(rule, GridRule):
            inner, table = [np.array(e, np.float64) for e in rule.edges], rule.table
        elif rule.dimensions == 1:
            intervals = rule.boundaries()
            inner, table = [intervals.edges], intervals.categories
        else:
            return None
        owners = [group for group in features.coordinates for _ in group.labels]
        edges = tuple(
            _smallest_not_below(group, e, kind) if group.one_by_one else e
            for group, e in zip(owners, inner, strict=True)
        )
        groups = tuple(
            Identity(features=group.features) if group.one_by_one else group for group in features.coordinates
        )
        return cls(features.model_copy(update={"coordinates": groups}), edges, table)

    def assign(self, u: Floats) -> Integers:
        """Category (n,) at coordinates u (n, d)."""
        cells = [np.searchsorted(e, column, side="right") for e, column in zip(self.edges, u.T, strict=True)]
        category: Integers = self.table[tuple(cells)]
        return category


def _smallest_not_below(group: Coordinates, edges: Floats, kind: npt.DTypeLike) -> Floats:
    """The smallest numbers x (m,) of a floating type with u(x) ≥ edges (m,); infinite where there is none.

    Bisection on the numbers of this type, which have an order and can be counted.
    """
    numbers = _Ordinals(np.dtype(kind))
    largest = numbers.count(np.array([np.finfo(kind).max], kind))
    low, high = np.repeat(-largest, len(edges)), np.repeat(largest + 1, len(edges))
    while (low < high).any():
        middle = low // 2 + high // 2 + (low % 2 + high % 2) // 2
        reached = group.forward(numbers.number(middle).astype(np.float64)[:, None])[:, 0] >= edges
        # One beyond the largest number is infinity, which stands for none.
        low, high = np.where(reached | (low == high), low, middle + 1), np.where(reached, middle, high)
    return numbers.number(low).astype(np.float64)


@dataclass(frozen=True)
class _Ordinals:
    """The numbers of a floating type, counted from 0 upwards and downwards: their bits, but for the sign."""

    kind: np.dtype[Any]

    @property
    def _bits(self) -> np.dtype[Any]:
        return np.dtype(f"i{self.kind.itemsize}")

    def count(self, numbers: npt.NDArray[Any]) -> Integers:
        bits = numbers.view(self._bits).astype(np.int64)
        return np.where(bits < 0, np.iinfo(self._bits).min - bits, bits)

    def number(self, count: Integers) -> npt.NDArray[Any]:
        bits = np.where(count < 0, np.iinfo(self._bits).min - count, count)
        return bits.astype(self._bits).view(self.kind)
