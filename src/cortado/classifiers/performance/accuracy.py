"""How often the most probable class is the true one."""

from __future__ import annotations

import numpy as np

from cortado.classifiers.performance.measured import Measured, fraction_uncertainty
from cortado.classifiers.performance.predictions import Predictions, check_positive


def accuracy(predictions: Predictions) -> Measured:
    """The fraction of Σw whose most probable class, the first of several, is the true one.

    The standard deviation is that of a fraction of weighted events. Raises ``MissingEvents``, an
    ``InputError``, where Σw is not positive.
    """
    w, right = predictions.weight, predictions.probabilities.argmax(axis=1) == predictions.y
    check_positive("all events", w.sum())
    part, rest, part2, rest2 = (np.sum(v[side]) for v in (w, w**2) for side in (right, ~right))
    return Measured(float(part / (part + rest)), float(fraction_uncertainty(part, rest, part2, rest2)))
