"""How precisely a fit measures signal strengths: σ(μ) from the Fisher information, systematics included.

At strengths of 1 and nominal nuisance parameters, with a Gaussian constraint of unit width for each of these,

    I_ab = Σ_k ∂_a ν_k ∂_b ν_k / (ν_k + σ_k²) + δ_ab [a is constrained],    Var(μ) = [I⁻¹]_μμ,

where σ_k² = Σw² of all processes is the variance of the simulation. It takes the place of one parameter a
category (Barlow and Beeston, Comput. Phys. Commun. 77 (1993) 219, in the simpler form of Conway,
arXiv:1103.0354): eliminating it leaves this sum. I is the second derivative of −ln L for Asimov data, and
I⁻¹ the covariance that a fit to them reports.

1/σ(μ) is not a discovery significance: that is a question to the likelihood at μ = 0, far from μ = 1
(:class:`cortado.objectives.ProfiledSignificance`). A signal of 5 over a background of 5 has 1.58 of the one
and 1.97 of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortado.objectives.arrays import array_namespace, determinant, solved
from cortado.objectives.expected import Expectation
from cortado.objectives.significance import COMBINATIONS, InFit
from cortado.objectives.yields import Yields

_RIDGE = 1e-12  # relative: strengths that no category tells apart have no precision, and no error is raised
_NOTHING = 1e-10  # an eigenvalue, where strengths are in units of what each would be known to by itself


@dataclass(frozen=True, repr=False, init=False)
class Precision(InFit):
    """1/σ(μ) of the strength μ of one or more signals, in a fit with nuisance parameters.

    Parameters
    ----------
    signals, combine, weights
        As for :class:`Asimov`, with 1/σ(μ) in the place of Z. "determinant" is that of the strengths' part of
        I⁻¹, to the power −1/(2 S): the volume of the S strengths' common confidence region, per signal.
    nuisances
        Names of the nuisance parameters whose variations the yields hold.
    simulation
        Whether the statistical uncertainty of the simulation is part of the fit.
    other_signals
        Whether the strengths of the other signals are "floating" in the fit, or fixed as "background".
    """

    SYMBOL = "1/σ(μ)"

    @classmethod
    def combinations(cls) -> tuple[str, ...]:
        return (*COMBINATIONS, "determinant")

    def __call__(self, yields: Yields) -> Any:
        if self.combine == "determinant":
            return determinant(self.information(yields)) ** (0.5 / len(self.signals))
        return self.combined(self.squares(yields))

    def uncertainties(self, yields: Yields) -> dict[str, float]:
        """σ(μ) of each signal, of yields taken as they are; infinite where nothing is known about it."""
        known = self._known(self._without_ridge(yields))
        return {
            name: 1 / z if sure else float("inf")
            for (name, z), sure in zip(self.each(yields).items(), known, strict=True)
        }

    def _known(self, information: Any) -> list[bool]:
        """Whether each strength is part of nothing that the information (S, S) says nothing about."""
        diagonal = np.diagonal(information)
        if self.other_signals == "background":
            return list(diagonal > 0)
        unit = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        sizes, directions = np.linalg.eigh(information / np.outer(unit, unit))
        return list((np.abs(directions[:, sizes < _NOTHING]) < np.sqrt(_NOTHING)).all(axis=1))

    def squares(self, yields: Yields) -> Any:
        """(S,) 1/Var(μ) of every signal, of yields taken as they are."""
        information = self.information(yields)
        xp = array_namespace(information)
        if self.other_signals == "background":
            return xp.diagonal(information)
        return 1 / xp.diagonal(solved(information, xp.eye(len(self.signals), dtype=np.float64)))

    def information(self, yields: Yields) -> Any:
        """(S, S) information on the strengths with nuisances profiled: the inverse of their part of I⁻¹.

        With a little added to its diagonal, so that it has an inverse.
        """
        information = self._without_ridge(yields)
        xp = array_namespace(information)
        return information + xp.diag(_RIDGE * xp.diagonal(information) + 1e-300)

    def _without_ridge(self, yields: Yields) -> Any:
        expected = Expectation.of(yields, self.signals, self.nuisances)
        xp = array_namespace(expected.nominal)
        slopes = xp.where(
            expected.usable,
            xp.concatenate([expected.nominal[1:], xp.sum(expected.slope, axis=1)]),
            0.0,
        )
        variance = expected.total + (expected.variance if self.simulation else 0.0)
        information = xp.matmul(slopes / variance, xp.transpose(slopes))
        n = len(self.signals)
        of_strengths, mixed, of_nuisances = information[:n, :n], information[:n, n:], information[n:, n:]
        if self.nuisances:
            constrained = of_nuisances + xp.eye(len(self.nuisances), dtype=np.float64)
            lost = xp.matmul(mixed, solved(constrained, xp.transpose(mixed)))
            of_strengths = of_strengths - lost
        return of_strengths
