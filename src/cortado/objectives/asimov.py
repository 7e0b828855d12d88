"""Expected discovery significance of counting experiments in categories (Asimov data set).

Z² = 2 [(s + b) ln(1 + s/b) − s] per category, summed over categories: eq. 97 of Cowan, Cranmer, Gross and
Vitells, Eur. Phys. J. C 71 (2011) 1554, arXiv:1007.1727.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortado.errors import ConfigError
from cortado.objectives.arrays import array_namespace
from cortado.objectives.described import described
from cortado.objectives.terms import Term
from cortado.objectives.yields import Yields

# Below this s/b the closed form loses digits to cancellation and the series is exact to rounding.
_SERIES_BELOW = 1e-2
_SERIES_ORDER = 9
_TINY = 1e-300
# s/b² would not fit a float64 below this background, which is none for any purpose.
_LEAST_BACKGROUND = 1e-140


def squared_significance(signal: Any, background: Any) -> Any:
    """Z² of each category from expected signal and background, arrays that broadcast, float64.

    A category in which signal or background is not positive contributes 0: nothing can be claimed from it.
    A background below 10⁻¹⁴⁰ counts as none, so that values and gradients are finite everywhere.
    """
    xp = array_namespace(background)
    usable = (background > _LEAST_BACKGROUND) & (signal > 0)
    b = xp.where(usable, background, 1.0)
    ratio = xp.where(usable, signal, 0.0) / b
    small = ratio < _SERIES_BELOW
    large_ratio = xp.where(small, 1.0, ratio)
    closed = 2 * ((1 + large_ratio) * xp.log1p(large_ratio) - large_ratio)
    return b * xp.where(small, _series(xp.where(small, ratio, 0.0)), closed)


def tangent(ratio: Any) -> tuple[Any, Any]:
    """Slopes α = 2 ln(1 + t) and β = 2 [t − ln(1 + t)] of Z² in s and −b where s/b is t ≥ 0, numpy arrays.

    Z² is convex and grows in proportion with s and b together, so that its tangent plane lies below it:
    Z²(s, b) ≥ α s − β b wherever s and b are, with equality for s/b = t.
    """
    logarithm = np.log1p(ratio)
    return 2 * logarithm, 2 * (ratio - logarithm)


def _series(t: Any) -> Any:
    """2 [(1 + t) ln(1 + t) − t] = Σ_{n≥2} 2 (−t)ⁿ / (n (n − 1)), by Horner's rule."""
    first, *others = [2.0 * (-1) ** n / (n * (n - 1)) for n in range(_SERIES_ORDER, 1, -1)]
    total = first
    for coefficient in others:
        total = coefficient + t * total
    return t * t * total


def _root(z2: Any) -> Any:
    """√z2 with a finite gradient at 0."""
    xp = array_namespace(z2)
    return xp.sqrt(xp.maximum(z2, _TINY)) * xp.where(z2 > 0, 1.0, 0.0)


def _geometric(squares: Any) -> Any:
    xp = array_namespace(squares)
    return xp.exp(xp.sum(xp.log(xp.maximum(squares, _TINY))) / (2 * squares.shape[0]))


def _quadrature(squares: Any) -> Any:
    return _root(array_namespace(squares).sum(squares))


def _minimum(squares: Any) -> Any:
    return _root(array_namespace(squares).min(squares))


def _sum(squares: Any) -> Any:
    return array_namespace(squares).sum(_root(squares))


COMBINATIONS: dict[str, Callable[[Any], Any]] = {
    "geometric": _geometric,
    "quadrature": _quadrature,
    "minimum": _minimum,
    "sum": _sum,
}
"""One number from Z² of every signal, (S,)."""

OTHER_SIGNALS = ("background", "ignored")


@dataclass(frozen=True, repr=False)
class Asimov(Term):
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

    signals: tuple[str, ...]
    combine: str | Callable[[list[Any]], Any]
    weights: tuple[tuple[str, float], ...]
    other_signals: str

    def __init__(
        self,
        signals: tuple[str, ...] | list[str] | str,
        combine: str | Callable[[list[Any]], Any] = "geometric",
        *,
        weights: Mapping[str, float] | None = None,
        other_signals: str = "background",
    ) -> None:
        names = (signals,) if isinstance(signals, str) else tuple(signals)
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"signals must be distinct names, at least one, got {list(names)}")
        if not callable(combine) and combine not in COMBINATIONS:
            raise ConfigError(f"combine must be one of {sorted(COMBINATIONS)} or a function, got {combine!r}")
        if other_signals not in OTHER_SIGNALS:
            raise ConfigError(f"other_signals must be one of {list(OTHER_SIGNALS)}, got {other_signals!r}")
        factors = dict(weights or {})
        if factors and combine != "sum":
            raise ConfigError(f'weights go with combine="sum" alone, got combine={described(combine)}')
        for name, factor in factors.items():
            if name not in names or not 0 < factor < float("inf"):
                raise ConfigError(
                    f"weights must be finite numbers > 0 for some of the signals {list(names)}, "
                    f"got {name!r}: {factor!r}"
                )
        object.__setattr__(self, "signals", names)
        object.__setattr__(self, "combine", combine)
        object.__setattr__(self, "weights", tuple((n, float(factors[n])) for n in names if n in factors))
        object.__setattr__(self, "other_signals", other_signals)

    def __repr__(self) -> str:
        weights = f", weights={dict(self.weights)}" if self.weights else ""
        others = f", other_signals={self.other_signals!r}"
        return f"Asimov({self.signals!r}, {described(self.combine)}{weights}{others})"

    def backgrounds_of(self, signal: str, processes: tuple[str, ...]) -> tuple[str, ...]:
        """The processes that are background to a signal."""
        others = (signal,) if self.other_signals == "background" else self.signals
        return tuple(process for process in processes if process not in others)

    def _squares(self, yields: Yields) -> Any:
        """(S, K) Z² of each signal in each category."""
        signal = yields.totals([(name,) for name in self.signals])
        common = yields.totals([tuple(name for name in yields.processes if name not in self.signals)])
        if self.other_signals == "ignored" or len(self.signals) == 1:
            return squared_significance(signal, common)
        rest = yields.totals([self.backgrounds_of(name, yields.processes) for name in self.signals])
        xp = array_namespace(rest)
        return squared_significance(signal, xp.where(common > _LEAST_BACKGROUND, rest, 0.0))

    def per_category(self, yields: Yields) -> dict[str, Any]:
        """Z² of each signal in each category, (K,) each.

        The yields are taken as they are; those that the terms of an objective see are
        :meth:`Objective.prepared`.
        """
        squares = self._squares(yields)
        return {name: squares[i] for i, name in enumerate(self.signals)}

    def each(self, yields: Yields) -> dict[str, float]:
        """The significance of each signal, of yields taken as they are."""
        return {name: float(sum(z2) ** 0.5) for name, z2 in self.per_category(yields).items()}

    def __call__(self, yields: Yields) -> Any:
        return self.combined(array_namespace(yields.sumw).sum(self._squares(yields), axis=1))

    def combined(self, squares: Any) -> Any:
        """One number from Z² of every signal, (S,) in their order; less than 0 counts as 0."""
        if callable(self.combine):
            z = _root(squares)
            return self.combine([z[i] for i in range(len(self.signals))])
        if self.weights:
            factors = dict(self.weights)
            squares = squares * np.square([factors.get(name, 1.0) for name in self.signals])  # w Z = √(w² Z²)
        return COMBINATIONS[self.combine](squares)
