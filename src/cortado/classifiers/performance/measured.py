"""A number with its statistical uncertainty, and the uncertainty of a fraction of weighted events."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isfinite, isinf, log10
from typing import Any

import numpy as np

_MOST_DECIMALS = 5


@dataclass(frozen=True)
class Measured:
    """A number and its standard deviation from the finite number of events."""

    value: float
    uncertainty: float

    def __str__(self) -> str:
        return with_uncertainty(self.value, self.uncertainty)


def with_uncertainty(value: float, uncertainty: float) -> str:
    """Both in words, with two digits of the uncertainty; ∞ and – for what is infinite and not known."""
    if not isfinite(value):
        return "∞" if isinf(value) else "–"
    if not (isfinite(uncertainty) and uncertainty > 0):
        return f"{value:.4g}"
    decimals = min(max(0, 1 - floor(log10(uncertainty))), _MOST_DECIMALS)
    return f"{value:.{decimals}f} ± {uncertainty:.{decimals}f}"


def fraction_uncertainty(part: Any, rest: Any, part2: Any, rest2: Any) -> Any:
    """The standard deviation of f = ``part`` / (``part`` + ``rest``), sums of weights of independent events.

    ``part2`` and ``rest2`` are the sums of squared weights; arrays broadcast. The propagation of both sums is

        σ² = [(1 − f)² Σw²(part) + f² Σw²(rest)] / (Σw)²,

    f (1 − f) / n for equal weights (option "B" of ROOT's ``TH1::Divide``). NaN where Σw ≤ 0.
    """
    total = part + rest
    safe = np.where(total > 0, total, np.nan)
    f = part / safe
    return np.sqrt(np.square(1 - f) * part2 + np.square(f) * rest2) / safe
