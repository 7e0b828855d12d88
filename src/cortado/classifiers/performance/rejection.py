"""Background rejection at a given signal efficiency."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from cortado.classifiers.performance.bootstrap import N_REPLICAS, bootstrapped
from cortado.classifiers.performance.predictions import Floats, Predictions, Signal
from cortado.classifiers.performance.ranking import Ranking
from cortado.classifiers.performance.roc import inverse
from cortado.errors import ConfigError

# Sums of weights in another order differ by less.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Rejection:
    """The working point with a given signal efficiency.

    Attributes
    ----------
    value, uncertainty
        1/ε of the background and its standard deviation; infinite and NaN where no background passes.
    threshold
        On the score; an event passes with at least that.
    signal_efficiency, background_efficiency
        Fractions of Σw that pass. That of the signal is at least what was asked for, as events of one score
        pass together.
    """

    value: float
    uncertainty: float
    threshold: float
    signal_efficiency: float
    background_efficiency: float


def rejection_at_efficiency(
    predictions: Predictions,
    efficiency: float,
    signal: Signal = None,
    *,
    n_replicas: int = N_REPLICAS,
    seed: int = 0,
) -> Rejection:
    """1/ε of the background at the highest threshold that keeps a fraction ``efficiency`` of the signal.

    The standard deviation is that of ε in ``n_replicas`` of a bootstrap, each with a threshold of its own,
    times 1/ε². Raises as :func:`roc_curve` does, and ``ConfigError`` for an efficiency that is not in (0, 1].
    """
    checked_efficiency(efficiency)
    ranking = Ranking.of(predictions, signal)

    def fractions(weight: Floats) -> tuple[int, float, float]:
        signals, backgrounds = ranking.passing(weight)
        if not (signals[-1] > 0 and backgrounds[-1] > 0):  # in a replica of few events
            return 0, np.nan, np.nan
        index = int(np.argmax(signals >= efficiency * (1 - _ROUNDING) * signals[-1]))
        return index, float(signals[index] / signals[-1]), float(backgrounds[index] / backgrounds[-1])

    index, kept, passing = fractions(predictions.weight)
    spread = bootstrapped(lambda w: fractions(w)[2], predictions.weight, n_replicas=n_replicas, seed=seed)
    return Rejection(
        value=float(inverse(passing)),
        uncertainty=spread / passing**2 if passing > 0 else float("nan"),
        threshold=float(ranking.thresholds[index]),
        signal_efficiency=kept,
        background_efficiency=passing,
    )


def checked_efficiency(efficiency: Any) -> float:
    """A signal efficiency in (0, 1]; else ``ConfigError``."""
    if not isinstance(efficiency, Real) or not 0 < float(efficiency) <= 1:
        raise ConfigError(f"efficiency must be a number above 0, at most 1, got {efficiency!r}")
    return float(efficiency)
