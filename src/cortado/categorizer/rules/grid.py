"""Bins along each coordinate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import (
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from cortado.categorizer.rules.base import (
    BaseRule,
    Floats,
    Integers,
    all_present,
    chosen,
    increasing,
    others,
)
from cortado.categorizer.rules.intervals import Intervals


class GridRule(BaseRule):
    """Bins along each coordinate and their Cartesian product, the last coordinate running fastest.

    ``edges`` are the inner edges along each coordinate; the outer bins are open. A value on an edge belongs
    to the upper bin. ``categories`` has a category for each cell of the product, in the order of cells;
    without it every cell is a category, and it is left out of the file.
    """

    kind: Literal["grid"] = "grid"
    edges: tuple[tuple[FiniteFloat, ...], ...] = Field(min_length=1)
    categories: tuple[int, ...] | None = Field(default=None, description="0 … K − 1, one a cell")

    _edges_increase = field_validator("edges")(lambda edges: tuple(increasing(e) for e in edges))

    @field_validator("categories")
    @classmethod
    def _one_a_cell(cls, value: tuple[int, ...] | None, info: ValidationInfo) -> tuple[int, ...] | None:
        if value is None or "edges" not in info.data:
            return value
        n_cells = int(np.prod(_shape(info.data["edges"])))
        if len(value) != n_cells or not all_present(value):
            raise ValueError(f"categories must be 0 … K − 1, all of them, one for each of {n_cells} cells")
        # Equal regions are to be equal rules.
        return None if value == tuple(range(n_cells)) else value

    @model_serializer(mode="wrap")
    def _without_trivial_categories(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = serialise(self)
        return content if self.categories else {k: v for k, v in content.items() if k != "categories"}

    @property
    def n_categories(self) -> int:
        return int(np.prod(_shape(self.edges))) if self.categories is None else max(self.categories) + 1

    @property
    def dimensions(self) -> int:
        return len(self.edges)

    def assign(self, u: Floats) -> Integers:
        cell = np.zeros(len(u), np.int64)
        for edges, column in zip(self.edges, u.T, strict=True):
            cell = cell * (len(edges) + 1) + np.searchsorted(edges, column, side="right")
        return cell if self.categories is None else np.array(self.categories)[cell]

    def select(self, order: Sequence[int]) -> GridRule:
        """The rule with some of the categories, in the given order.

        A cell of another category falls to the nearest cell of these, by steps through faces of cells; of
        equally near ones, to the lowest category.
        """
        kept = chosen(order, self.n_categories)
        return self._numbered(_grown(self.table, kept), kept)

    def without(self, category: int) -> tuple[GridRule, ...]:
        """The rules in which a category is merged, whole, into one of those that share a face with it."""
        kept = others(category, self.n_categories)
        table = self.table
        merged = [np.where(table == category, k, table) for k in _neighbours(table, category)]
        return tuple(self._numbered(categories, kept) for categories in merged)

    @property
    def table(self) -> Integers:
        """Categories in the shape of the grid."""
        shape = _shape(self.edges)
        cells = range(int(np.prod(shape))) if self.categories is None else self.categories
        return np.array(cells, np.int64).reshape(shape)

    def _numbered(self, table: Integers, order: list[int]) -> GridRule:
        """The same grid with the categories of ``table``, numbered by their position in ``order``."""
        position = np.zeros(self.n_categories, np.int64)
        position[order] = np.arange(len(order))
        return GridRule(edges=self.edges, categories=tuple(position[table].ravel().tolist()))

    def _intervals(self) -> Intervals:
        return Intervals.joined(np.array(self.edges[0], np.float64), self.table)


def _shape(edges: tuple[tuple[float, ...], ...]) -> tuple[int, ...]:
    return tuple(len(e) + 1 for e in edges)


def _beside(table: Integers, outside: int) -> Integers:
    """(2 d, …) what each cell has beyond its faces."""
    padded = np.pad(table, 1, constant_values=outside)
    inner = (slice(1, -1),) * table.ndim
    return np.stack([np.roll(padded, step, a)[inner] for a in range(table.ndim) for step in (-1, 1)])


def _neighbours(table: Integers, category: int) -> list[int]:
    """Categories that share a face with a category, in order."""
    found = np.unique(_beside(table, category)[:, table == category])
    return [int(k) for k in found if k != category]


def _grown(table: Integers, kept: list[int]) -> Integers:
    """The table with cells of other categories filled up from those kept, a layer of cells at a time."""
    empty = int(table.max()) + 1
    grown = np.where(np.isin(table, kept), table, empty)
    while (open_cells := grown == empty).any():
        grown = np.where(open_cells, _beside(grown, empty).min(axis=0), grown)
    return grown
