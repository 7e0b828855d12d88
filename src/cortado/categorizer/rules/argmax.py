"""The largest score: categories as they are made by hand."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, FiniteFloat, field_validator

from cortado.categorizer.rules.base import BaseRule, Floats, Integers, increasing


class ArgmaxRule(BaseRule):
    """The class of the largest score, divided at inner edges of that score; classes follow one another."""

    kind: Literal["argmax"] = "argmax"
    edges: tuple[tuple[FiniteFloat, ...], ...] = Field(min_length=2)

    _edges_increase = field_validator("edges")(lambda edges: tuple(increasing(e) for e in edges))

    @property
    def n_categories(self) -> int:
        return sum(len(e) + 1 for e in self.edges)

    @property
    def dimensions(self) -> int:
        return len(self.edges)

    def assign(self, u: Floats) -> Integers:
        winner = np.argmax(u, axis=1)
        category = np.zeros(len(u), np.int64)
        first = 0
        for index, edges in enumerate(self.edges):
            rows = winner == index
            category[rows] = first + np.searchsorted(edges, u[rows, index], side="right")
            first += len(edges) + 1
        return category
