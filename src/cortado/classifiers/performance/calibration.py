"""Whether probabilities are what they say: the fraction of signal among events of one probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortado.classifiers.performance.measured import fraction_uncertainty
from cortado.classifiers.performance.predictions import Floats, Predictions, Signal
from cortado.errors import checked_integer


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """Predicted and observed fraction of signal in bins of the predicted probability.

    Attributes
    ----------
    edges
        (n_bins + 1,) of the bins, equidistant from 0 to 1.
    predicted
        (n_bins,) mean of the predicted probability, weighted; NaN without a positive Σw.
    observed, uncertainty
        (n_bins,) fraction of signal in Σw and its standard deviation; NaN without a positive Σw.
    effective_events
        (n_bins,) (Σw)²/Σw², 0 in an empty bin.
    """

    edges: Floats
    predicted: Floats
    observed: Floats
    uncertainty: Floats
    effective_events: Floats


def calibration_curve(
    predictions: Predictions, signal: Signal = None, *, n_bins: int = 10
) -> CalibrationCurve:
    """The calibration of the probability of ``signal``, the classes that are signal.

    With the weights of the training, probabilities may be right; with others, such as physical weights after
    a training on balanced classes, they cannot. The standard deviation is that of a fraction of weighted
    events. Where all events of a bin are of one side it would be 0, and is 1/(n + 1) of n effective events
    instead, the end of Wilson's interval (J. Am. Stat. Assoc. 22 (1927) 209). Raises ``ConfigError`` for
    wrong signal classes or fewer than two bins.
    """
    checked_integer("n_bins", n_bins, 2)
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    score, is_signal = predictions.score(signal), predictions.is_signal(signal)
    bins = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, n_bins - 1)

    def total(values: Floats) -> Floats:
        return np.bincount(bins, values, n_bins).astype(np.float64)

    w = predictions.weight
    part, rest = total(np.where(is_signal, w, 0.0)), total(np.where(is_signal, 0.0, w))
    part2, rest2 = total(np.where(is_signal, w**2, 0.0)), total(np.where(is_signal, 0.0, w**2))
    sumw, sumw2 = total(w), part2 + rest2
    effective = np.divide(sumw**2, sumw2, out=np.zeros(n_bins), where=sumw2 > 0)
    present = np.where(sumw > 0, sumw, np.nan)
    one_sided = (part2 == 0) | (rest2 == 0)
    return CalibrationCurve(
        edges=edges,
        predicted=total(w * score) / present,
        observed=part / present,
        uncertainty=np.where(
            one_sided & (sumw > 0), 1 / (effective + 1), fraction_uncertainty(part, rest, part2, rest2)
        ),
        effective_events=effective,
    )
