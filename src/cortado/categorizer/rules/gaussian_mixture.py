"""Gaussian mixtures: a category is the region where one component is the most probable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from cortado.blocks import blocks
from cortado.categorizer.rules.base import BaseRule, Floats, Integers, chosen, others, shape_of
from cortado.categorizer.rules.intervals import Intervals

_ROUNDING = 8 * np.finfo(np.float64).eps
_FARTHEST = 1e140  # whose square, times an element of a precision matrix, is still a number


class GaussianMixtureRule(BaseRule):
    """The most probable component of a Gaussian mixture: argmax_k [log w_k + log N(u; μ_k, Σ_k)]."""

    kind: Literal["gaussian_mixture"] = "gaussian_mixture"
    weights: tuple[FiniteFloat, ...] = Field(min_length=1, description="component weights w_k > 0, sum 1")
    means: tuple[tuple[FiniteFloat, ...], ...] = Field(description="component means μ_k in coordinates")
    covariances: tuple[tuple[tuple[FiniteFloat, ...], ...], ...] = Field(description="Σ_k in coordinates")

    @model_validator(mode="after")
    def _shapes(self) -> GaussianMixtureRule:
        k, d = len(self.weights), len(self.means[0]) if self.means else 0
        shapes = (shape_of(self.weights), shape_of(self.means), shape_of(self.covariances))
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
        if self.dimensions == 1:  # quicker, and exact where a sum of squares has no digits left
            return self.boundaries().assign(u[:, 0])
        centre = np.array(self.means).mean(axis=0)
        coefficients = self.quadratic(centre)
        upper = np.triu_indices(u.shape[1])
        category = np.empty(len(u), np.int64)
        for rows in blocks(len(u)):
            z = _within_reach(u[rows] - centre)
            quadratic = z[:, upper[0]] * z[:, upper[1]]
            scores = np.concatenate([np.ones((len(z), 1)), z, quadratic], axis=1) @ coefficients
            np.argmax(scores, axis=1, out=category[rows])
        return category

    def select(self, order: Sequence[int]) -> GaussianMixtureRule:
        """The rule with some of the components, in the given order; the others' regions fall to these."""
        kept = chosen(order, self.n_categories)
        weights = np.array(self.weights)[kept]
        return GaussianMixtureRule(
            weights=tuple(map(float, weights / weights.sum())),
            means=tuple(self.means[k] for k in kept),
            covariances=tuple(self.covariances[k] for k in kept),
        )

    def without(self, category: int) -> tuple[GaussianMixtureRule, ...]:
        """The rule without one category, whose region falls to its neighbours: there is one way."""
        return (self.select(others(category, self.n_categories)),)

    def quadratic(self, centre: Floats) -> Floats:
        """Coefficients (1 + d + d(d+1)/2, K) of the log-densities in (1, z, z_i z_j), i ≤ j.

        z = u − centre (d,). The order of the products is that of :func:`numpy.triu_indices`.
        """
        means = np.array(self.means)
        upper = np.triu_indices(self.dimensions)
        multiplicity = np.where(upper[0] == upper[1], 1.0, 2.0)
        columns = []
        for weight, mean, covariance in zip(self.weights, means - centre, self.covariances, strict=True):
            precision = np.linalg.inv(np.array(covariance))
            linear = precision @ mean
            constant = np.log(weight) - 0.5 * (np.linalg.slogdet(np.array(covariance))[1] + mean @ linear)
            columns.append(np.concatenate([[constant], linear, -0.5 * multiplicity * precision[upper]]))
        return np.column_stack(columns)

    def _intervals(self) -> Intervals:
        means, sigmas = np.array(self.means)[:, 0], np.sqrt(np.array(self.covariances)[:, 0, 0])
        log_weights = np.log(self.weights)

        def assign(u: Floats) -> Integers:
            with np.errstate(over="ignore"):
                scores = log_weights - np.log(sigmas) - 0.5 * ((u[:, None] - means) / sigmas) ** 2
            return np.argmax(scores, axis=1)

        crossings = _crossings(log_weights, means, sigmas)
        return Intervals.between_roots(crossings, assign, float(means.mean()), float(sigmas.max()))


def _within_reach(z: Floats) -> Floats:
    """Distances (n, d) from the centre, those that have no square brought nearer in their direction.

    So far away only the squares count, whose largest is the same one all along a ray.
    """
    if np.abs(z).max(initial=0.0) <= _FARTHEST:
        return z
    largest = np.abs(z).max(axis=1, keepdims=True)
    return z * (_FARTHEST / np.maximum(largest, _FARTHEST))


def _crossings(log_weights: Floats, means: Floats, sigmas: Floats) -> Floats:
    """Where two of K weighted normal densities are equal, for all pairs; not finite where they are nowhere.

    For σ_i ≤ σ_j the difference of the logarithms is a t² + b t + c in t = (u − μ_i) / σ_i, with a ≤ 0 and,
    unless j is the larger one at μ_i, c > 0: no digits are lost however different the two are.
    """
    i, j = np.triu_indices(len(means), 1)
    wider = sigmas[i] > sigmas[j]
    i, j = np.where(wider, j, i), np.where(wider, i, j)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        ratio = sigmas[i] / sigmas[j]
        distance = (means[j] - means[i]) / sigmas[j]
        a = -0.5 * (sigmas[j] - sigmas[i]) / sigmas[j] * (1 + ratio)
        terms = np.stack([log_weights[i], -log_weights[j], -np.log(ratio), 0.5 * distance**2])
        roots = _quadratic_roots(a, -distance * ratio, terms.sum(axis=0), np.abs(terms).sum(axis=0))
        return (means[i] + sigmas[i] * roots).ravel()


def _quadratic_roots(a: Floats, b: Floats, c: Floats, c_size: Floats) -> Floats:
    """Real roots (2, n) of a t² + b t + c; infinite or NaN where there is none.

    From q = −(b + sign(b) √(b² − 4 a c)) / 2 the roots are q / a and c / q, without cancellation (Numerical
    Recipes, section 5.6). Roots that are equal up to rounding, also that of the terms of c, whose absolute
    values add up to ``c_size``, are given once.
    """
    discriminant = b * b - 4 * a * c
    double = np.abs(discriminant) <= _ROUNDING * (b * b + 4 * np.abs(a) * c_size)
    q = -0.5 * (b + np.copysign(np.sqrt(np.where(double, 0.0, discriminant)), b))
    return np.stack([q / a, np.where(double, np.nan, c / q)])


def _positive_definite(matrix: Floats) -> bool:
    """Whether a (d, d) matrix is symmetric, up to rounding, and positive definite."""
    asymmetry = np.abs(matrix - matrix.T).max()
    return bool(asymmetry <= 1e-9 * np.abs(matrix).max() and np.linalg.eigvalsh(matrix).min() > 0)
