"""What all rules have in common."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import index
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from cortado.categorizer.rules.intervals import Intervals
from cortado.errors import ConfigError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class BaseRule(BaseModel):
    """A category for every point of d coordinates; its fields are what the JSON file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def n_categories(self) -> int:
        """Number K of categories."""
        raise NotImplementedError

    @property
    def dimensions(self) -> int:
        """Number d of coordinates."""
        raise NotImplementedError

    def assign(self, u: Floats) -> Integers:
        """Category 0 … K − 1 (n,) at coordinates u (n, d)."""
        raise NotImplementedError

    def boundaries(self) -> Intervals:
        """The intervals of a single coordinate in which the category is the same, from exact boundaries.

        ``assign`` gives the categories of these intervals. Raises ``ConfigError`` for more coordinates.
        """
        if self.dimensions != 1:
            raise ConfigError(f"only a rule of one coordinate has boundaries, this has {self.dimensions}")
        return self._intervals()

    def _intervals(self) -> Intervals:
        """The intervals of a rule that has one coordinate."""
        raise NotImplementedError


def chosen(order: Sequence[int], n_categories: int) -> list[int]:
    """The categories to keep, in order; ``ConfigError`` unless they exist, at least one, none twice."""
    kept = [index(k) for k in order]
    if not kept or len(set(kept)) < len(kept) or not set(kept) <= set(range(n_categories)):
        raise ConfigError(f"order must be distinct categories of 0 … {n_categories - 1}, got {kept}")
    return kept


def others(category: int, n_categories: int) -> list[int]:
    """All categories but one; ``ConfigError`` if it does not exist or is the only one."""
    if not 0 <= category < n_categories or n_categories == 1:
        raise ConfigError(
            f"category must be one of 0 … {n_categories - 1} and not the only one, got {category}"
        )
    return [k for k in range(n_categories) if k != category]


def increasing(edges: tuple[float, ...]) -> tuple[float, ...]:
    """The edges, if they increase; else ``ValueError``."""
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError(f"edges must increase, got {edges}")
    return edges


def shape_of(nested: Sequence[Any]) -> tuple[int, ...] | Literal["ragged"]:
    """The shape of nested sequences, if they have one."""
    try:
        return np.shape(nested)
    except ValueError:
        return "ragged"


def all_present(categories: tuple[int, ...]) -> bool:
    """Whether the categories are numbered 0 … K − 1 without a gap."""
    return set(categories) == set(range(max(categories) + 1))
