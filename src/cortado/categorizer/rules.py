"""Rules that turn coordinates into a category: the frozen forms of the models, evaluated with numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Rows per block: the quadratic features and the scores of one block stay in the processor's cache.
_BLOCK = 8192


class _Rule(BaseModel):
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


class GaussianMixtureRule(_Rule):
    """The most probable component of a Gaussian mixture: argmax_k [log w_k + log N(u; μ_k, Σ_k)]."""

    kind: Literal["gaussian_mixture"] = "gaussian_mixture"
    weights: tuple[FiniteFloat, ...] = Field(min_length=1, description="component weights w_k > 0, sum 1")
    means: tuple[tuple[FiniteFloat, ...], ...] = Field(description="component means μ_k in coordinates")
    covariances: tuple[tuple[tuple[FiniteFloat, ...], ...], ...] = Field(description="Σ_k in coordinates")

    @model_validator(mode="after")
    def _shapes(self) -> GaussianMixtureRule:
        k, d = len(self.weights), len(self.means[0]) if self.means else 0
        shapes = (np.shape(self.weights), np.shape(self.means), np.shape(self.covariances))
        if shapes != ((k,), (k, d), (k, d, d)) or d < 1:
            raise ValueError(
                f"weights, means and covariances must have shapes (K,), (K, d), (K, d, d), got {shapes}"
            )
        if min(self.weights) <= 0 or abs(sum(self.weights) - 1) > 1e-9:
            raise ValueError(f"weights must be positive and sum to 1, got {self.weights}")
        for index, covariance in enumerate(self.covariances):
            if not _positive_definite(np.array(covariance)):
                raise ValueError(
                    f"covariances[{index}] must be symmetric and positive definite, got {covariance}"
                )
        return self

    @property
    def n_categories(self) -> int:
        return len(self.weights)

    @property
    def dimensions(self) -> int:
        return len(self.means[0])

    def assign(self, u: Floats) -> Integers:
        coefficients, centre = self._quadratic()
        upper = np.triu_indices(u.shape[1])
        category = np.empty(len(u), np.int64)
        for start in range(0, len(u), _BLOCK):
            z = u[start : start + _BLOCK] - centre
            quadratic = z[:, upper[0]] * z[:, upper[1]]
            scores = np.concatenate([np.ones((len(z), 1)), z, quadratic], axis=1) @ coefficients
            np.argmax(scores, axis=1, out=category[start : start + _BLOCK])
        return category

    def select(self, order: Sequence[int]) -> GaussianMixtureRule:
        """The rule with some of the components, in the given order; the others' regions fall to these."""
        weights = np.array(self.weights)[list(order)]
        return GaussianMixtureRule(
            weights=tuple(map(float, weights / weights.sum())),
            means=tuple(self.means[k] for k in order),
            covariances=tuple(self.covariances[k] for k in order),
        )

    def without(self, category: int) -> GaussianMixtureRule:
        """The rule without one category, whose region falls to its neighbours."""
        return self.select([k for k in range(self.n_categories) if k != category])

    def _quadratic(self) -> tuple[Floats, Floats]:
        """Coefficients (1 + d + d(d+1)/2, K) of the log-densities in (1, z, z_i z_j), and the centre (d,)."""
        means = np.array(self.means)
        centre = means.mean(axis=0)
        upper = np.triu_indices(self.dimensions)
        multiplicity = np.where(upper[0] == upper[1], 1.0, 2.0)
        columns = []
        for weight, mean, covariance in zip(self.weights, means - centre, self.covariances, strict=True):
            precision = np.linalg.inv(np.array(covariance))
            linear = precision @ mean
            constant = np.log(weight) - 0.5 * (np.linalg.slogdet(np.array(covariance))[1] + mean @ linear)
            columns.append(np.concatenate([[constant], linear, -0.5 * multiplicity * precision[upper]]))
        return np.column_stack(columns), centre


def _positive_definite(matrix: Floats) -> bool:
    """Whether a (d, d) matrix is symmetric, up to rounding, and positive definite."""
    asymmetry = np.abs(matrix - matrix.T).max()
    return bool(asymmetry <= 1e-9 * np.abs(matrix).max() and np.linalg.eigvalsh(matrix).min() > 0)


def _increasing(edges: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError(f"edges must increase, got {edges}")
    return edges


class GridRule(_Rule):
    """Bins along each coordinate and their Cartesian product, the last coordinate running fastest.

    ``edges`` are the inner edges along each coordinate; the outer bins are open. A value on an edge belongs
    to the upper bin.
    """

    kind: Literal["grid"] = "grid"
    edges: tuple[tuple[FiniteFloat, ...], ...] = Field(min_length=1)

    _edges_increase = field_validator("edges")(lambda edges: tuple(_increasing(e) for e in edges))

    @property
    def n_categories(self) -> int:
        return int(np.prod([len(e) + 1 for e in self.edges]))

    @property
    def dimensions(self) -> int:
        return len(self.edges)

    def assign(self, u: Floats) -> Integers:
        category = np.zeros(len(u), np.int64)
        for edges, column in zip(self.edges, u.T, strict=True):
            category = category * (len(edges) + 1) + np.searchsorted(edges, column, side="right")
        return category


class ArgmaxRule(_Rule):
    """The class of the largest score, divided at inner edges of that score; classes follow one another."""

    kind: Literal["argmax"] = "argmax"
    edges: tuple[tuple[FiniteFloat, ...], ...] = Field(min_length=2)

    _edges_increase = field_validator("edges")(lambda edges: tuple(_increasing(e) for e in edges))

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


Rule = Annotated[GaussianMixtureRule | GridRule | ArgmaxRule, Field(discriminator="kind")]

# What models freeze into: such rules can lose and reorder categories.
ModelRule = GaussianMixtureRule
