"""An observable inside the categories, such as a mass, and its bins."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from cortado.errors import ConfigError, sentences

RESERVED = ("process", "category", "variation")  # the other axes of templates
_STRICT = ConfigDict(extra="forbid", frozen=True)


class EqualBins(BaseModel):
    """Bins of equal width from ``low`` to ``high``."""

    model_config = _STRICT

    bins: Annotated[int, Field(ge=1)]
    low: FiniteFloat
    high: FiniteFloat

    @model_validator(mode="after")
    def _upwards(self) -> EqualBins:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g}")
        return self


def _kind(edges: Any) -> str:
    return "equal" if isinstance(edges, dict | EqualBins) else "list"


Edges = Annotated[
    Annotated[tuple[FiniteFloat, ...], Tag("list")] | Annotated[EqualBins, Tag("equal")], Discriminator(_kind)
]


class Observable(BaseModel):
    """A column of the events, and its bins inside every category.

    Bins hold their lower edge. What lies outside of the edges is counted in the outer bins (``flow="fold"``)
    or left out of the templates (``"drop"``).
    """

    model_config = _STRICT

    name: str = Field(min_length=1)
    edges: Edges
    flow: Literal["fold", "drop"] = "fold"

    @classmethod
    def declare(
        cls, name: str, edges: npt.ArrayLike, *, flow: Literal["fold", "drop"] = "fold"
    ) -> Observable:
        """An observable from Python, ``edges`` (M + 1,). Raises ``ConfigError``."""
        try:
            return cls(name=name, edges=tuple(np.asarray(edges, np.float64).tolist()), flow=flow)
        except (ValidationError, TypeError, ValueError) as error:
            found = sentences(error) if isinstance(error, ValidationError) else [str(error)]
            raise ConfigError(f"observable {name!r}: {'; '.join(found)}") from error

    @field_validator("name")
    @classmethod
    def _no_axis(cls, value: str) -> str:
        if value in RESERVED:
            raise ValueError(f"must not be the name of another axis, {', '.join(RESERVED)}")
        return value

    @field_validator("edges")
    @classmethod
    def _upwards(cls, value: tuple[float, ...] | EqualBins) -> tuple[float, ...] | EqualBins:
        if isinstance(value, tuple) and (len(value) < 2 or not all(a < b for a, b in pairwise(value))):
            raise ValueError("must be at least two numbers, each larger than the one before")
        return value

    @property
    def bin_edges(self) -> npt.NDArray[np.float64]:
        """(M + 1,) edges of the bins."""
        if isinstance(self.edges, EqualBins):
            return np.linspace(self.edges.low, self.edges.high, self.edges.bins + 1)
        return np.array(self.edges, np.float64)

    @property
    def n_bins(self) -> int:
        """Number M of bins."""
        return len(self.bin_edges) - 1

    def bin_of(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Bin (n,) of finite values (n,): 0 … M − 1, −1 below all of them and M above."""
        return np.searchsorted(self.bin_edges, values, side="right").astype(np.int64) - 1
