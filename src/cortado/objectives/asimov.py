"""Expected discovery significance of counting experiments in categories (Asimov data set).

Z² = 2 [(s + b) ln(1 + s/b) − s] per category, summed over categories: eq. 97 of Cowan, Cranmer, Gross and
Vitells, Eur. Phys. J. C 71 (2011) 1554, arXiv:1007.1727.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortado.objectives.arrays import array_namespace
from cortado.objectives.deviance import deviance
from cortado.objectives.significance import InCategories, Significance
from cortado.objectives.yields import Yields

# s/b² would not fit a float64 below this background, which is none for any purpose.
LEAST_BACKGROUND = 1e-140


def squared_significance(signal: Any, background: Any) -> Any:
    """Z² of each category from expected signal and background, arrays that broadcast, float64.

    A category in which signal or background is not positive contributes 0: nothing can be claimed from it.
    A background below 10⁻¹⁴⁰ counts as none, so that values and gradients are finite everywhere.
    """
    xp = array_namespace(background)
    usable = (background > LEAST_BACKGROUND) & (signal > 0)
    b = xp.where(usable, background, 1.0)
    ratio = xp.where(usable, signal, 0.0) / b
    return b * deviance(ratio)


def tangent(ratio: Any) -> tuple[Any, Any]:
    """Slopes α = 2 ln(1 + t) and β = 2 [t − ln(1 + t)] of Z² in s and −b where s/b is t ≥ 0, numpy arrays.

    Z² is convex and grows in proportion with s and b together, so that its tangent plane lies below it:
    Z²(s, b) ≥ α s − β b wherever s and b are, with equality for s/b = t.
    """
    logarithm = np.log1p(ratio)
    return 2 * logarithm, 2 * (ratio - logarithm)


@dataclass(frozen=True, repr=False, init=False)
class Asimov(InCategories):
    """Expected significance of one or more signals, each over the backgrounds.

    Parameters
    ----------
    signals
        Names of the signal processes.
    combine
        How the significances Z make one number: "geometric" mean, "quadrature" sum, "minimum", weighted
        "sum", or a function of the list of Z, one scalar a signal, numpy numbers or tensors.
    weights
        For "sum": a factor > 0 for each signal, 1 where none is given.
    other_signals
        Whether the other signals are "background" to a signal or "ignored". Where nothing else is background,
        nothing can be claimed either way.
    """

    def __init__(
        self,
        signals: tuple[str, ...] | list[str] | str,
        combine: str | Callable[[list[Any]], Any] = "geometric",
        *,
        weights: Mapping[str, float] | None = None,
        other_signals: str = "background",
    ) -> None:
        super().__init__(signals, combine, weights, other_signals)

    def in_categories(self, yields: Yields) -> Any:
        return squared_significance(*signals_and_backgrounds(self, yields))


def signals_and_backgrounds(term: Significance, yields: Yields) -> tuple[Any, Any]:
    """(S, K) each signal, and the background to it: 0 where there are only other signals."""
    signal = yields.totals([(name,) for name in term.signals])
    common = yields.totals([tuple(name for name in yields.processes if name not in term.signals)])
    if term.other_signals == "ignored" or len(term.signals) == 1:
        return signal, common
    rest = yields.totals([term.backgrounds_of(name, yields.processes) for name in term.signals])
    xp = array_namespace(rest)
    return signal, xp.where(common > LEAST_BACKGROUND, rest, 0.0)
