"""Expected yields of a fit: signal strengths, and nuisance parameters with their up and down templates.

    ν_k(μ, θ) = b_k(θ) + Σ_a μ_a s_ak(θ),    n(θ) = n + Σ_i [θ_i S_i + f(θ_i) A_i] for b and each s,

with S = (up − down)/2 and A = (up + down − 2 n)/16; f(θ) = 15 θ² − 10 θ⁴ + 3 θ⁶ for |θ| ≤ 1 and 8 |θ| beyond:
θ = 1 is the up template, θ = −1 the down one, outside it goes on in straight lines, and two derivatives are
continuous. It is what pyhf does by default for a ``histosys``, of shape and normalisation together
(``code4p``, https://pyhf.readthedocs.io/en/v0.7.6/_generated/pyhf.interpolators.code4p.html). A final fit
with ``normsys`` for the normalisation differs in the second order of θ.

A signal whose sum is not positive in a category counts as absent from it, as in the formulas for single
categories. A signal of −4.9 over a background of 5 would have an information of s²/ν = 240 on its strength,
and more the closer it is to −5: fluctuations of weights, which a training would collect. Without them no
category holds more information on a strength than it has events of its signal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortado.objectives.arrays import array_namespace
from cortado.objectives.asimov import LEAST_BACKGROUND
from cortado.objectives.yields import Yields


@dataclass(frozen=True, eq=False)
class Expectation:
    """What is expected in K categories, for S signals and N nuisance parameters.

    Attributes
    ----------
    nominal
        (1 + S, K) the background, and each signal, 0 where its sum is not positive.
    slope, curvature
        (N, 1 + S, K) S and A of the templates of each nuisance parameter.
    variance
        (K,) Σw² of all processes together.
    usable
        (K,) whether the background is positive: from other categories nothing can be claimed.
    """

    nominal: Any
    slope: Any
    curvature: Any
    variance: Any
    usable: Any

    @classmethod
    def of(cls, yields: Yields, signals: tuple[str, ...], nuisances: tuple[str, ...]) -> Expectation:
        """Raises ``ConfigError`` if the yields do not hold the variations of some of the nuisances."""
        groups = [tuple(p for p in yields.processes if p not in signals), *((name,) for name in signals)]
        summed = yields.totals(groups)
        xp = array_namespace(summed)
        usable = summed[0] > LEAST_BACKGROUND
        present = xp.concatenate([xp.ones_like(usable)[None], summed[1:] > 0])
        nominal = xp.where(present, summed, 0.0)
        variance = xp.where(usable, yields.total(yields.processes, "sumw2"), 0.0)
        if not nuisances:
            none = xp.zeros((0, *nominal.shape), dtype=np.float64)
            return cls(nominal, none, none, variance, usable)
        sides = xp.where(present, yields.varied_totals(groups, nuisances), 0.0)
        up, down = sides[:, 0], sides[:, 1]
        return cls(nominal, (up - down) / 2, (up + down - 2 * nominal) / 16, variance, usable)

    @property
    def total(self) -> Any:
        """(K,) everything, at strengths of 1 and nominal templates; 1 where a category is not usable."""
        xp = array_namespace(self.nominal)
        return xp.where(self.usable, xp.sum(self.nominal, axis=0), 1.0)

    def at(self, strength: Any, nuisance: Any) -> Any:
        """(…, K) expected yields at strengths (…, S) and values (…, N) of the nuisance parameters."""
        xp = array_namespace(self.nominal)
        return xp.einsum("...g,...gk->...k", _with_one(strength), self._templates(nuisance))

    def slopes(self, strength: Any, nuisance: Any) -> Any:
        """(…, S + N, K) derivatives of :meth:`at`."""
        xp = array_namespace(self.nominal)
        factor = _with_one(strength)
        linear = xp.einsum("...g,ngk->...nk", factor, self.slope)
        bent = xp.einsum("...g,ngk->...nk", factor, self.curvature) * _bend_slope(nuisance)[..., None]
        return xp.concatenate([self._templates(nuisance)[..., 1:, :], linear + bent], axis=-2)

    def curvature_of(self, strength: Any, nuisance: Any, weight: Any) -> Any:
        """(…, S + N, S + N) second derivatives of the sum of :meth:`at` times ``weight`` (…, K)."""
        xp = array_namespace(self.nominal)
        bent = xp.einsum("...g,ngk,...k->...n", _with_one(strength), self.curvature, weight)
        of_nuisances = (bent * _bend_curvature(nuisance))[..., None] * np.eye(self.slope.shape[0])
        linear, bent = (
            xp.einsum("nak,...k->...an", table[:, 1:], weight) for table in (self.slope, self.curvature)
        )
        mixed = linear + bent * _bend_slope(nuisance)[..., None, :]
        none = xp.zeros_like(xp.matmul(mixed, xp.swapaxes(mixed, -1, -2)))
        above = xp.concatenate([none, mixed], axis=-1)
        below = xp.concatenate([xp.swapaxes(mixed, -1, -2), of_nuisances], axis=-1)
        return xp.concatenate([above, below], axis=-2)

    def _templates(self, nuisance: Any) -> Any:
        """(…, 1 + S, K) background and signals."""
        xp = array_namespace(self.nominal)
        linear = xp.einsum("...n,ngk->...gk", nuisance, self.slope)
        return self.nominal + linear + xp.einsum("...n,ngk->...gk", _bend(nuisance), self.curvature)


def _with_one(strength: Any) -> Any:
    """(…, 1 + S) factors of the background, which is 1, and of the signals."""
    xp = array_namespace(strength)
    return xp.concatenate([xp.ones_like(strength[..., :1]), strength], axis=-1)


def _bend(theta: Any) -> Any:
    xp = array_namespace(theta)
    inner = xp.clip(theta, -1.0, 1.0) ** 2
    return inner * (15 + inner * (3 * inner - 10)) + 8 * (xp.abs(theta) - xp.sqrt(inner))


def _bend_slope(theta: Any) -> Any:
    inner = array_namespace(theta).clip(theta, -1.0, 1.0)
    square = inner * inner
    return inner * (30 + square * (18 * square - 40))


def _bend_curvature(theta: Any) -> Any:
    square = array_namespace(theta).clip(theta, -1.0, 1.0) ** 2
    return 30 + square * (90 * square - 120)
