"""The largest of affine functions: linear in likelihood ratios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from cortado.blocks import blocks
from cortado.categorizer.rules.base import BaseRule, Floats, Integers, chosen, others, shape_of
from cortado.categorizer.rules.intervals import Intervals

_RCOND = 0.01


class MaxAffineRule(BaseRule):
    """The largest of K affine functions: argmax_k [a_k·φ(u) + c_k], the lowest k of equal ones.

    φ_i = exp(u_i) where ``exponential``, for coordinates that are logarithms of ratios; φ_i = u_i elsewhere.
    With log-ratios u_i = log(p_i / p_C) of C scores φ are likelihood ratios, and the rule is the same as
    argmax_k [A_k·p] in the scores themselves, since A_k·p = p_C (a_k·φ + c_k) for A_k = (a_k, c_k). With a
    logit these are the scores (p, 1 − p). The regions are convex polytopes in φ, and in the scores.
    """

    kind: Literal["max_affine"] = "max_affine"
    slopes: tuple[tuple[FiniteFloat, ...], ...] = Field(min_length=1, description="a_k (K, d)")
    offsets: tuple[FiniteFloat, ...] = Field(description="c_k (K,)")
    exponential: tuple[bool, ...] = Field(
        min_length=1, description="for each coordinate, whether it enters as exp(u_i) or as u_i"
    )

    @model_validator(mode="after")
    def _shapes(self) -> MaxAffineRule:
        shapes = (shape_of(self.slopes), shape_of(self.offsets))
        k, d = len(self.slopes), len(self.exponential)
        if shapes != ((k, d), (k,)):
            raise ValueError(
                f"slopes, offsets and exponential must have shapes (K, d), (K,), (d,), got {(*shapes, (d,))}"
            )
        return self

    @property
    def n_categories(self) -> int:
        return len(self.offsets)

    @property
    def dimensions(self) -> int:
        return len(self.exponential)

    def assign(self, u: Floats) -> Integers:
        if self.dimensions == 1:  # quicker, and in agreement with the boundaries to the last digit
            return self.boundaries().assign(u[:, 0])
        return self._largest(u)

    def select(self, order: Sequence[int]) -> MaxAffineRule:
        """The rule with some of the functions, in the given order; the others' regions fall to these."""
        kept = chosen(order, self.n_categories)
        return MaxAffineRule(
            slopes=tuple(self.slopes[k] for k in kept),
            offsets=tuple(self.offsets[k] for k in kept),
            exponential=self.exponential,
        )

    def without(self, category: int) -> tuple[MaxAffineRule, ...]:
        """The rule without one category, whose region falls to its neighbours: there is one way."""
        return (self.select(others(category, self.n_categories)),)

    def centre(self) -> Floats:
        """A point u (d,) where the functions differ little, 0 along exponential coordinates.

        Least squares, by coordinates in units of their slopes; along what hardly tells the functions apart,
        the point nearest to 0.
        """
        slopes = np.array(self.slopes) - np.mean(self.slopes, axis=0)
        offsets = np.array(self.offsets) - np.mean(self.offsets)
        unit = np.sqrt((slopes**2).mean(axis=0))
        unit[unit == 0] = 1.0
        phi = np.linalg.lstsq(slopes / unit, -offsets, rcond=_RCOND)[0] / unit
        return np.where(self.exponential, 0.0, phi)

    def _largest(self, u: Floats) -> Integers:
        slopes, offsets = np.array(self.slopes).T, np.array(self.offsets)
        exponential = np.array(self.exponential)
        category = np.empty(len(u), np.int64)
        for rows in blocks(len(u)):
            z = u[rows]
            exponent = np.where(exponential, z, 0.0)
            # One positive factor exp(−largest) for all functions changes no argmax, and nothing overflows.
            largest = exponent.max(axis=1, initial=0.0, keepdims=True)
            phi = np.exp(exponent - largest) * np.where(exponential, 1.0, z)
            np.argmax(phi @ slopes + np.exp(-largest) * offsets, axis=1, out=category[rows])
        return category

    def _intervals(self) -> Intervals:
        slopes, offsets = np.array(self.slopes)[:, 0], np.array(self.offsets)
        i, j = np.triu_indices(self.n_categories, 1)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            phi = (offsets[i] - offsets[j]) / (slopes[j] - slopes[i])
        roots = np.log(phi[phi > 0]) if self.exponential[0] else phi
        return Intervals.between_roots(roots, lambda u: self._largest(u[:, None]))
