"""Statistical uncertainties by a bootstrap of events.

A replica takes every event a Poisson(1) number of times (the Poisson bootstrap: Hanley and MacGibbon, Comput.
Methods Programs Biomed. 83 (2006) 57), which multiplies its weight. Whatever the result depends on, such as a
threshold, is found anew in each.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cortado.classifiers.performance.predictions import Floats
from cortado.errors import ConfigError, checked_integer

N_REPLICAS = 100


def bootstrapped(function: Callable[[Floats], float], weight: Floats, *, n_replicas: int, seed: int) -> float:
    """The standard deviation of ``function`` of the weights (n,) of the same events, drawn anew.

    It is precise to 1/√(2 · ``n_replicas``); without replicas, and where fewer than two of them have a finite
    value, it is NaN. The same seed draws the same events for other predictions of them. Raises
    ``ConfigError`` where ``n_replicas`` is 1 or no integer from 0 on.
    """
    if checked_integer("n_replicas", n_replicas, 0) == 1:
        raise ConfigError("n_replicas must be 0, for no uncertainty, or at least 2, got 1")
    rng = np.random.default_rng(seed)
    values = np.array([function(weight * rng.poisson(1.0, len(weight))) for _ in range(n_replicas)])
    finite = values[np.isfinite(values)]
    return float(np.std(finite, ddof=1)) if len(finite) > 1 else float("nan")
