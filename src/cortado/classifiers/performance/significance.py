"""The largest expected significance that a single cut on the score gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortado.classifiers.performance.bootstrap import N_REPLICAS, bootstrapped
from cortado.classifiers.performance.expectation import FROM_WEIGHTS, Expectation
from cortado.classifiers.performance.predictions import Floats, Predictions, Signal
from cortado.classifiers.performance.ranking import Ranking


@dataclass(frozen=True)
class BestCut:
    """The cut on the score with the largest expected significance.

    Attributes
    ----------
    value, uncertainty
        The significance, and its standard deviation from the finite number of events.
    threshold
        An event passes with at least this score; NaN where no cut has a significance.
    signal, background
        Expected events that pass.
    """

    value: float
    uncertainty: float
    threshold: float
    signal: float
    background: float


def max_significance(
    predictions: Predictions,
    signal: Signal = None,
    *,
    expectation: Expectation = FROM_WEIGHTS,
    n_replicas: int = N_REPLICAS,
    seed: int = 0,
) -> BestCut:
    """The largest significance over all thresholds on the probability of ``signal``.

    The standard deviation is that of the largest significance of ``n_replicas`` of a bootstrap, each with its
    own threshold. The largest of many numbers follows their fluctuations: with few background events beyond
    the threshold it is too large, against which ``min_background`` of the ``expectation`` helps. Raises as
    :func:`roc_curve` does; ``ConfigError`` where cross sections are not those of the classes, ``InputError``
    where a class with a cross section has no events or no positive Σw.
    """
    expectation.check(predictions)
    ranking = Ranking.of(predictions, signal)

    def largest(weight: Floats) -> tuple[int, float, float, float]:
        signals, backgrounds = ranking.passing(expectation.events(predictions, weight))
        z = expectation.significance(signals, backgrounds)
        best = int(np.argmax(z))
        return best, float(z[best]), float(signals[best]), float(backgrounds[best])

    best, z, signals, backgrounds = largest(predictions.weight)
    spread = bootstrapped(lambda w: largest(w)[1], predictions.weight, n_replicas=n_replicas, seed=seed)
    threshold = float(ranking.thresholds[best]) if z > 0 else float("nan")
    return BestCut(z, spread, threshold, signals, backgrounds)
