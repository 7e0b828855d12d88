"""The strengths of all signals in one fit, and how well each is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.arguments import checked_arguments
from cortado.errors import FitError
from cortado.inference.likelihood import Likelihood

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Strength:
    """The strength of a signal.

    ``hesse`` is the uncertainty from the second derivatives, ``down`` and ``up`` are minos': how far it is to
    where −2 ln L, minimised over all other parameters, has risen by 1. One is None where that is beyond the
    strengths that the likelihood exists for.
    """

    value: float
    hesse: float
    down: float | None
    up: float | None


@dataclass(frozen=True, eq=False)
class BestFit:
    """``values`` and Hesse's ``uncertainties`` (n) of all parameters, their ``correlations`` (n, n)."""

    values: Floats
    uncertainties: Floats
    correlations: Floats
    strengths: dict[str, Strength]


@checked_arguments
def best_fit(likelihood: Likelihood, data: Floats) -> BestFit:
    """The fit of all parameters to data (main and auxiliary).

    Raises ``FitError`` if it does not converge, ``ConfigError`` for data of another shape.
    """
    likelihood.require_data(data)
    found = likelihood.minimum(data)
    found.minuit.strategy = 1
    intervals = {name: _interval(found.minuit, i) for name, i in likelihood.places.items()}
    for i in likelihood.places.values():
        found.minuit.limits[i] = (None, None)  # Hesse's errors would be those of minuit's inner variable
    found.minuit.hesse()
    if found.minuit.covariance is None:
        raise FitError("the second derivatives at the best fit are not those of a minimum")
    uncertainties = np.where(likelihood.fixed, 0.0, np.array(found.minuit.errors))
    strengths = {
        name: Strength(float(found.values[i]), float(uncertainties[i]), *intervals[name])
        for name, i in likelihood.places.items()
    }
    correlations = np.asarray(found.minuit.covariance.correlation())
    return BestFit(found.values, uncertainties, correlations, strengths)


def _interval(minuit: Any, i: int) -> tuple[float | None, float | None]:
    """How far it is down and up to where −2 ln L has risen by 1; None where a bound is nearer."""
    minuit.minos(i)
    found = minuit.merrors[minuit.parameters[i]]
    down = -float(found.lower) if found.lower_valid and not found.at_lower_limit else None
    up = float(found.upper) if found.upper_valid and not found.at_upper_limit else None
    return down, up
