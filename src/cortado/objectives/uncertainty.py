"""Statistical uncertainty of a number computed from yields, from the finite number of simulated events."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cortado.objectives.yields import Yields

_RELATIVE_STEP = 1e-3


def simulation_uncertainty(function: Callable[[Yields], float], yields: Yields) -> float:
    """Standard deviation of ``function(yields)``, from Σw² to first order: σ² = Σ (∂f/∂Σw)² Σw².

    Derivatives by central differences, a small fraction of each yield's own uncertainty wide.
    """
    variance = 0.0
    for index in np.argwhere(yields.sumw2 > 0):
        place = tuple(index)
        sigma = float(np.sqrt(yields.sumw2[place]))
        shifted = []
        for sign in (1.0, -1.0):
            sumw = yields.sumw.copy()
            sumw[place] += sign * _RELATIVE_STEP * sigma
            shifted.append(function(yields.with_sumw(sumw)))
        variance += ((shifted[0] - shifted[1]) / (2 * _RELATIVE_STEP)) ** 2
    return float(np.sqrt(variance))
