"""The expected discovery significance: arXiv:1007.1727, eq. 12 and section 5."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cortado.arguments import checked_arguments
from cortado.inference.likelihood import Likelihood


@dataclass(frozen=True)
class Discovery:
    """The expected significance √q₀ of a signal.

    With the other signals ``others_fixed`` at their expectation, or with their strengths free, and
    ``without_uncertainties``: the other signals fixed, all nuisance parameters as well. The last is what the
    objective of a training says of the same categories.
    """

    others_fixed: float
    others_free: float
    without_uncertainties: float


@checked_arguments
def discovery(likelihood: Likelihood, strength: str) -> Discovery:
    """The expected significance of the signal with this strength, from Asimov data at a strength of 1.

    Raises ``ConfigError`` for an unknown strength, ``FitError`` if a fit does not converge.
    """
    likelihood.require(strength)
    others = {name: 1.0 for name in likelihood.strengths if name != strength}
    nominal = dict(zip(likelihood.names, likelihood.parameters().tolist(), strict=True))
    return Discovery(
        others_fixed=_significance(likelihood, strength, others),
        others_free=_significance(likelihood, strength, {}),
        without_uncertainties=_significance(likelihood, strength, nominal),
    )


def _significance(likelihood: Likelihood, strength: str, held: dict[str, float]) -> float:
    """√q₀ of Asimov data, whose best fit is what they were made with."""
    truth = likelihood.parameters()
    data = likelihood.asimov(truth)
    without = likelihood.minimum(data, {**held, strength: 0.0})
    return math.sqrt(max(without.twice_nll - likelihood.twice_nll(truth, data), 0.0))
