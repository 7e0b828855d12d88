"""Nuisance parameters after a fit: their pulls, and what they do to the strengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortado.arguments import checked_arguments
from cortado.errors import checked_integer
from cortado.inference.likelihood import Likelihood
from cortado.inference.strengths import BestFit

Floats = npt.NDArray[np.float64]

MOST_RANKED = 20


@dataclass(frozen=True)
class Pull:
    """Of a constrained parameter, the shift from its nominal ``value`` and its ``uncertainty`` after the fit.

    Both in units of the uncertainty before the fit.
    """

    value: float
    uncertainty: float


@dataclass(frozen=True)
class Impact:
    """What a strength changes by when a parameter is moved by its uncertainty after or before the fit."""

    up: float
    down: float
    prefit_up: float
    prefit_down: float


@checked_arguments
def pulls(likelihood: Likelihood, fitted: BestFit) -> dict[str, Pull]:
    """The pulls of all constrained parameters by name."""
    from cabinetry import model_utils

    nominal = model_utils.asimov_parameters(likelihood.model)
    before = model_utils.prefit_uncertainties(likelihood.model)
    return {
        likelihood.names[i]: Pull(
            float((fitted.values[i] - nominal[i]) / before[i]), float(fitted.uncertainties[i] / before[i])
        )
        for i in np.flatnonzero(before)
    }


@checked_arguments
def ranking(
    likelihood: Likelihood, data: Floats, fitted: BestFit, strength: str, most: int = MOST_RANKED
) -> dict[str, Impact]:
    """The impacts of nuisance parameters on a strength by name, the largest first.

    An impact needs four fits, so only the ``most`` parameters with the largest impact by the covariance of
    the best fit are looked at. Steps end at the bounds of a parameter. Raises ``ConfigError`` for an unknown
    strength, data of another shape, or a number that is not positive.
    """
    likelihood.require(strength)
    likelihood.require_data(data)
    checked_integer("most", most, 1)
    from cabinetry import model_utils

    before = model_utils.prefit_uncertainties(likelihood.model)
    poi = likelihood.names.index(strength)
    estimate = np.where(before > 0, np.abs(fitted.correlations[poi]), 0.0) * fitted.uncertainties[poi]
    chosen = [i for i in np.argsort(-estimate, kind="stable")[:most] if before[i] > 0]
    impacts = {}
    for i in chosen:
        shifts = np.array([1, -1])
        steps = np.array([*(shifts * fitted.uncertainties[i]), *(shifts * before[i])])
        # A step may lead out of what the likelihood allows: no bin has fewer than no events.
        places = np.clip(fitted.values[i] + steps, *likelihood.bounds[i])
        moved = [
            likelihood.minimum(data, {likelihood.names[i]: place}).values[poi] - fitted.values[poi]
            for place in places.tolist()
        ]
        impacts[likelihood.names[i]] = Impact(*map(float, moved))
    return dict(sorted(impacts.items(), key=lambda item: -max(abs(item[1].up), abs(item[1].down))))
