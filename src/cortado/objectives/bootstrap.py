"""What another simulation of the same size would have given: replicas of yields, by the bootstrap.

A bootstrap of events draws every event a Poisson(1) number of times (the Poisson bootstrap, the limit of
drawing with replacement for many events: Hanley and MacGibbon, Comput. Methods Programs Biomed. 83 (2006)
57). The sum of their weights has the mean Σw and the variance Σw². Yields do not hold the events, but
Σw²/Σw times Poisson((Σw)²/Σw²), events of one weight, has the same two moments: the scaled Poisson
distribution of Bohm and Zech, Nucl. Instrum. Meth. A 748 (2014) 1, arXiv:1309.1287.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError
from cortado.objectives.yields import Yields

Floats = npt.NDArray[np.float64]

_N_REPLICAS = 200
_SIGNIFICANT = 3.0
# Of Σw/√Σw²: positive weights have at least 1, but sums may be rounded to 24 bits.
_LEAST_ROOT = 1 - 1e-6
# Of so many events nothing tells a Poisson distribution from a normal one.
_MOST_ROOT = 1e6


@dataclass(frozen=True)
class Overtraining:
    """By how much a number, such as the significance, is larger on training than on held-out events.

    Attributes
    ----------
    difference
        The number on training events minus that on held-out events, both at the full luminosity.
    standard_deviation
        Of the difference, from the finite simulation of both.
    """

    difference: float
    standard_deviation: float

    @property
    def significance(self) -> float:
        """The difference in standard deviations; infinite where these are 0 and the difference is not."""
        if self.standard_deviation == 0:
            return float(np.copysign(np.inf, self.difference)) if self.difference else 0.0
        return self.difference / self.standard_deviation

    @property
    def is_significant(self) -> bool:
        """Whether training exceeds held-out by more than three standard deviations."""
        return self.significance > _SIGNIFICANT

    @property
    def in_words(self) -> str:
        """What a significant difference means, in a sentence."""
        return (
            f"the objective on training events exceeds that on held-out ones by {self.difference:.4g}, "
            f"{self.significance:.1f} standard deviations: the categories follow fluctuations of the "
            "simulation; ask for fewer of them, or for higher floors"
        )


def overtraining(
    function: Callable[[Yields], float],
    training: Yields,
    held_out: Yields,
    *,
    seed: int = 0,
    n_replicas: int = _N_REPLICAS,
) -> Overtraining:
    """How ``function`` of the yields of training events compares with that of held-out events.

    ``training`` and ``held_out`` are yields of the same categories in different events, such as other folds.
    In each replica both are drawn anew and the difference is taken; its standard deviation is precise to
    1/√(2 · ``n_replicas``). Raises ``ConfigError`` for fewer than two replicas.
    """
    rng = np.random.default_rng(seed)
    replicas = [bootstrap(function, y, rng=rng, n_replicas=n_replicas) for y in (training, held_out)]
    return Overtraining(
        difference=float(function(training)) - float(function(held_out)),
        standard_deviation=float(np.std(replicas[0] - replicas[1], ddof=1)),
    )


def bootstrap(
    function: Callable[[Yields], float],
    yields: Yields,
    *,
    rng: np.random.Generator,
    n_replicas: int = _N_REPLICAS,
) -> Floats:
    """(n_replicas,) of ``function`` of yields, numpy arrays, drawn anew for each replica.

    Each process in each category is drawn independently: Σw from a scaled Poisson distribution; Σw² and the
    count, then no longer an integer, change by the same factor. Where Σw ≤ 0 or (Σw)² < Σw², so that weights
    of either sign must have met, Σw comes from a normal distribution of variance Σw², and Σw² and the count
    stay. What has Σw² = 0 stays as it is. Variations change with Σw (:meth:`Yields.with_sumw`). Raises
    ``ConfigError`` for fewer than two replicas.
    """
    if n_replicas < 2:
        raise ConfigError(f"n_replicas must be at least 2, got {n_replicas}")
    sumw, sumw2 = np.asarray(yields.sumw, np.float64), np.asarray(yields.sumw2, np.float64)
    effective = _effective_events(sumw, sumw2)
    poisson = effective > 0
    shape = (n_replicas, *sumw.shape)
    drawn = rng.poisson(effective, shape)
    normal = rng.standard_normal(shape) * np.sqrt(sumw2)
    factor = np.where(poisson, drawn / np.where(poisson, effective, 1.0), 1.0)
    replicas = np.where(poisson, sumw * factor, sumw + normal)
    return np.array(
        [
            function(replace(yields.with_sumw(w), sumw2=sumw2 * f, count=yields.count * f))
            for w, f in zip(replicas, factor, strict=True)
        ],
        np.float64,
    )


def _effective_events(sumw: Floats, sumw2: Floats) -> Floats:
    """(P, K) number (Σw)²/Σw² of events of one weight with these sums; 0 where none is drawn from it."""
    positive = (sumw > 0) & (sumw2 > 0)
    root = np.where(positive, sumw, 0.0) / np.sqrt(np.where(positive, sumw2, 1.0))
    return np.square(np.where((root >= _LEAST_ROOT) & (root < _MOST_ROOT), root, 0.0))
