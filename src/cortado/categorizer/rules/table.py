"""A category for every cell: what any other model freezes into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, FiniteFloat, model_validator

from cortado.blocks import blocks
from cortado.categorizer.rules.base import BaseRule, Floats, Integers, all_present, chosen, others
from cortado.categorizer.rules.intervals import Intervals
from cortado.errors import ConfigError
from cortado.folds import mix

_FARTHEST = 2**53  # up to here a float64 holds every integer

Address = Annotated[int, Field(ge=-_FARTHEST, le=_FARTHEST)]


class TableRule(BaseRule):
    """A category for every listed cell ⌊u / width⌋; any other cell has that of the nearest listed one.

    The distance is that between the centres of the cells, in units of their widths; of equally near ones,
    the lowest address counts, its first coordinate coming first.
    """

    kind: Literal["table"] = "table"
    widths: tuple[Annotated[FiniteFloat, Field(gt=0)], ...] = Field(
        min_length=1, description="of the cells (d,), along each coordinate"
    )
    keys: tuple[tuple[Address, ...], ...] = Field(
        min_length=1,
        description="addresses (n, d) of the listed cells, increasing like words in a dictionary",
    )
    categories: tuple[int, ...] = Field(description="0 … K − 1 (n,), one a listed cell")

    @model_validator(mode="after")
    def _fits_together(self) -> TableRule:
        n, d = len(self.keys), len(self.widths)
        if {len(key) for key in self.keys} != {d}:
            raise ValueError(f"keys must be {d} integers each, one for each of widths")
        if wrong := next(((a, b) for a, b in pairwise(self.keys) if a >= b), None):
            raise ValueError(f"keys must be distinct and increase, got {wrong[0]} before {wrong[1]}")
        if len(self.categories) != n or not all_present(self.categories):
            raise ValueError(f"categories must be 0 … K − 1, all of them, one for each of {n} keys")
        return self

    @classmethod
    def from_cells(cls, widths: Floats, keys: Integers, categories: Integers) -> TableRule:
        """The rule from arrays: widths (d,), distinct addresses (n, d) in any order, categories (n,).

        Raises ``ConfigError`` if the shapes differ, and ``ValueError`` for what is no rule.
        """
        if keys.ndim != 2 or categories.shape != keys.shape[:1]:
            raise ConfigError(
                "keys and categories must have shapes (n, d) and (n,), "
                f"got {keys.shape} and {categories.shape}"
            )
        order = np.lexsort(keys.T[::-1])
        return cls(
            widths=tuple(widths.tolist()),
            keys=tuple(map(tuple, keys[order].tolist())),
            categories=tuple(categories[order].tolist()),
        )

    @property
    def n_categories(self) -> int:
        return max(self.categories) + 1

    @property
    def dimensions(self) -> int:
        return len(self.widths)

    def assign(self, u: Floats) -> Integers:
        with np.errstate(over="ignore"):
            cell = np.floor(u / np.array(self.widths))
        address = np.clip(cell, -_FARTHEST, _FARTHEST).astype(np.int64)
        row = self._index.find(address)
        elsewhere = row < 0
        if elsewhere.any():
            unlisted, where = np.unique(address[elsewhere], axis=0, return_inverse=True)
            row[elsewhere] = self._index.nearest(unlisted)[where.reshape(-1)]
        return np.array(self.categories)[row]

    def select(self, order: Sequence[int]) -> TableRule:
        """The rule with some of the categories, in the given order.

        A listed cell of another category falls to the nearest listed cell of these.
        """
        kept = chosen(order, self.n_categories)
        position = np.full(self.n_categories, -1)
        position[kept] = np.arange(len(kept))
        category = position[np.array(self.categories)]
        stays = category >= 0
        if not stays.all():
            keys = self._index.keys
            category[~stays] = category[stays][_Index(keys[stays]).nearest(keys[~stays])]
        return TableRule(widths=self.widths, keys=self.keys, categories=tuple(category.tolist()))

    def without(self, category: int) -> tuple[TableRule, ...]:
        """The rule without one category, whose cells fall to the nearest others: there is one way."""
        return (self.select(others(category, self.n_categories)),)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As of every pydantic model; the index, which is of these keys, is not copied."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("_index", None)
        return copy

    def __getstate__(self) -> dict[Any, Any]:
        """What a pickle holds: not the index, which is large and soon made anew."""
        state = super().__getstate__()
        return state | {"__dict__": {k: v for k, v in state["__dict__"].items() if k != "_index"}}

    @cached_property
    def _index(self) -> _Index:
        return _Index(np.array(self.keys, np.int64))

    def _intervals(self) -> Intervals:
        keys = np.array(self.keys, np.int64)[:, 0]
        # The cell in the middle of a gap is as near to both; the lower one has it.
        first_above = (keys[:-1] + keys[1:]) // 2 + 1
        return Intervals.joined(_lower_edge(first_above, self.widths[0]), np.array(self.categories))


@dataclass(frozen=True, eq=False)
class _Index:
    """Where addresses are in a list (n, d) of distinct ones, and which of these are the nearest."""

    keys: Integers

    def find(self, address: Integers) -> Integers:
        """Position (m,) in the list of addresses (m, d), −1 for those that are not found.

        Of two listed ones with the same code one is not found; but nothing is nearer to it than itself.
        """
        codes, rows = self._codes
        row = rows[np.minimum(np.searchsorted(codes, _codes(address)), len(rows) - 1)]
        found = np.logical_and.reduce([k[row] == a for k, a in zip(self.keys.T, address.T, strict=True)])
        return np.where(found, row, -1)

    def nearest(self, address: Integers) -> Integers:
        """Position (m,) in the list of what is nearest to addresses (m, d); the first of equals."""
        position = np.empty(len(address), np.int64)
        for rows in blocks(len(address)):
            position[rows] = self._nearest(address[rows].astype(np.float64))
        return position

    def _nearest(self, cells: Floats) -> Integers:
        listed = self.keys.astype(np.float64)
        position = np.zeros(len(cells), np.int64)
        open_rows, several = np.arange(len(cells)), 2
        while len(open_rows):
            several = min(several, len(listed))
            near = self._tree.query(cells[open_rows], k=range(1, several + 1))[1]
            squared = ((listed[near] - cells[open_rows, None]) ** 2).sum(axis=2)
            equal = squared == squared.min(axis=1, keepdims=True)
            position[open_rows] = np.where(equal, near, len(listed)).min(axis=1)
            # Where all of them are as near, others may be, too.
            open_rows = open_rows[equal.all(axis=1) & (several < len(listed))]
            several *= 4
        return position

    @cached_property
    def _codes(self) -> tuple[npt.NDArray[np.uint64], Integers]:
        """The codes of the list, sorted, and the position of each."""
        codes = _codes(self.keys)
        rows = np.argsort(codes)
        return codes[rows], rows

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree  # takes long to import, and is not needed for listed cells

        return cKDTree(self.keys.astype(np.float64))


def _codes(address: Integers) -> npt.NDArray[np.uint64]:
    """A number (n,) for addresses (n, d), hardly ever the same for two: a sum modulo 2⁶⁴ with odd factors."""
    factors = mix(np.arange(address.shape[1], dtype=np.uint64)) | np.uint64(1)
    code = np.zeros(len(address), np.uint64)
    for column, factor in zip(address.T, factors, strict=True):
        code += column.astype(np.uint64) * factor
    return code


def _lower_edge(address: Integers, width: float) -> Floats:
    """The smallest coordinates u (n,) with ⌊u / width⌋ = address (n,), as floating point divides."""
    edge = address * np.float64(width)
    for _ in range(2):
        np.nextafter(edge, np.inf, out=edge, where=np.floor(edge / width) < address)
    for _ in range(2):
        below = np.nextafter(edge, -np.inf)
        # Numbers just below 0 are so small that they become 0 when divided: they are of no interest.
        np.copyto(edge, below, where=(np.floor(below / width) >= address) & (address != 0))
    return edge
