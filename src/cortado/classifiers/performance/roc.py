"""The ROC curve over all thresholds, and the area below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortado.classifiers.performance.measured import Measured, fraction_uncertainty
from cortado.classifiers.performance.predictions import Floats, Predictions, Signal
from cortado.classifiers.performance.ranking import Ranking


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Efficiencies of signal and background at every threshold on the score.

    Attributes
    ----------
    thresholds
        (m + 1,) falling: infinity, then every score that occurs. An event passes with at least that score.
    signal_efficiency, background_efficiency
        (m + 1,) fractions of Σw that pass, from 0 to 1.
    signal_uncertainty, background_uncertainty
        (m + 1,) their standard deviations at a given threshold, see :func:`fraction_uncertainty`.
    """

    thresholds: Floats
    signal_efficiency: Floats
    background_efficiency: Floats
    signal_uncertainty: Floats
    background_uncertainty: Floats

    @property
    def rejection(self) -> Floats:
        """(m + 1,) 1/ε of the background; infinite where none passes, or Σw of what passes is negative."""
        rejection: Floats = inverse(self.background_efficiency)
        return rejection


def inverse(efficiency: Any) -> Any:
    """1/ε, infinite where ε is not positive."""
    positive = efficiency > 0
    return np.where(positive, 1 / np.where(positive, efficiency, 1.0), np.inf)


def roc_curve(predictions: Predictions, signal: Signal = None) -> RocCurve:
    """Efficiencies over all thresholds on the probability of ``signal``, the classes that are signal.

    Raises ``ConfigError`` for wrong signal classes, ``InputError`` where signal or background has no events
    or no positive Σw.
    """
    ranking = Ranking.of(predictions, signal)
    sums, squares = (ranking.passing(predictions.weight**power) for power in (1, 2))
    efficiencies, uncertainties = [], []
    for passing, passing2 in zip(sums, squares, strict=True):
        part, part2 = (np.append(0.0, values) for values in (passing, passing2))
        efficiencies.append(part / part[-1])
        uncertainties.append(fraction_uncertainty(part, part[-1] - part, part2, part2[-1] - part2))
    return RocCurve(np.append(np.inf, ranking.thresholds), *efficiencies, *uncertainties)


def auc(predictions: Predictions, signal: Signal = None) -> Measured:
    """The area below the ROC curve, by trapezoids between all thresholds.

    It is the probability that a signal event has a larger score than a background event, both drawn with
    their weights, and half of that of equal scores. The standard deviation is that of DeLong, DeLong and
    Clarke-Pearson (Biometrics 44 (1988) 837), with weights: with V of an event the fraction of the other side
    that it is ranked rightly with, σ² = Σ w² (V − A)² / (Σw)², added up over both sides. Raises as
    :func:`roc_curve` does.
    """
    ranking = Ranking.of(predictions, signal)
    signals, backgrounds = (np.append(0.0, sums) for sums in ranking.passing(predictions.weight))
    squares = [np.diff(sums, prepend=0.0) for sums in ranking.passing(predictions.weight**2)]
    below = 1 - _middle(backgrounds) / backgrounds[-1]
    above = _middle(signals) / signals[-1]
    area = float(np.dot(np.diff(backgrounds), above) / backgrounds[-1])
    variance = np.dot(squares[0], np.square(below - area)) / signals[-1] ** 2
    variance += np.dot(squares[1], np.square(above - area)) / backgrounds[-1] ** 2
    return Measured(area, float(np.sqrt(variance)))


def _middle(values: Floats) -> Floats:
    return 0.5 * (values[1:] + values[:-1])
