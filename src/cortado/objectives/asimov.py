"""Expected discovery significance of counting experiments in categories (Asimov data set).

Z² = 2 [(s + b) ln(1 + s/b) − s] per category, summed over categories: eq. 97 of Cowan, Cranmer, Gross and
Vitells, Eur. Phys. J. C 71 (2011) 1554, arXiv:1007.1727.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cortado.errors import ConfigError
from cortado.objectives.terms import Term
from cortado.objectives.yields import Yields, array_namespace

# Below this s/b the closed form loses digits to cancellation and the series is exact to rounding.
_SERIES_BELOW = 1e-2
_SERIES_ORDER = 9
_TINY = 1e-300
# s/b² would not fit a float64 below this background, which is none for any purpose.
_LEAST_BACKGROUND = 1e-140


def squared_significance(signal: Any, background: Any) -> Any:
    """Z² of each category from expected signal and background, arrays of one shape, float64.

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


def _series(t: Any) -> Any:
    """2 [(1 + t) ln(1 + t) − t] = Σ_{n≥2} 2 (−t)ⁿ / (n (n − 1)), by Horner's rule."""
    total = 0.0 * t
    for n in range(_SERIES_ORDER, 1, -1):
        total = 2.0 * (-1) ** n / (n * (n - 1)) + t * total
    return t * t * total


def _root(z2: Any) -> Any:
    """√z2 with a finite gradient at 0."""
    xp = array_namespace(z2)
    return xp.sqrt(xp.maximum(z2, _TINY)) * xp.where(z2 > 0, 1.0, 0.0)


def _geometric(squares: list[Any]) -> Any:
    xp = array_namespace(squares[0])
    logs = [xp.log(xp.maximum(z2, _TINY)) for z2 in squares]
    return xp.exp(0.5 * sum(logs) / len(logs))


def _quadrature(squares: list[Any]) -> Any:
    return _root(sum(squares))


def _minimum(squares: list[Any]) -> Any:
    xp = array_namespace(squares[0])
    least = squares[0]
    for z2 in squares[1:]:
        least = xp.minimum(least, z2)
    return _root(least)


COMBINATIONS: dict[str, Callable[[list[Any]], Any]] = {
    "geometric": _geometric,
    "quadrature": _quadrature,
    "minimum": _minimum,
}


@dataclass(frozen=True)
class Asimov(Term):
    """Expected significance of one or more signals, each over all other processes, other signals included.

    Parameters
    ----------
    signals
        Names of the signal processes.
    combine
        How several significances make one number: "geometric" mean, "quadrature" sum or "minimum".
    """

    signals: tuple[str, ...]
    combine: str = "geometric"

    def __init__(self, signals: tuple[str, ...] | list[str] | str, combine: str = "geometric") -> None:
        names = (signals,) if isinstance(signals, str) else tuple(signals)
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"signals must be distinct names, at least one, got {list(names)}")
        if combine not in COMBINATIONS:
            raise ConfigError(f"combine must be one of {sorted(COMBINATIONS)}, got {combine!r}")
        object.__setattr__(self, "signals", names)
        object.__setattr__(self, "combine", combine)

    def per_category(self, yields: Yields) -> dict[str, Any]:
        """Z² of each signal in each category, (K,) each.

        Other signals are background, too, but where nothing else is, nothing can be claimed.
        """
        xp = array_namespace(yields.sumw)
        total = yields.total(yields.processes)
        common = yields.total(tuple(name for name in yields.processes if name not in self.signals))
        none = common <= _LEAST_BACKGROUND
        rest = {name: total - yields.total((name,)) for name in self.signals}
        return {
            name: squared_significance(yields.total((name,)), xp.where(none, 0.0 * b, b))
            for name, b in rest.items()
        }

    def each(self, yields: Yields) -> dict[str, float]:
        """The significance of each signal."""
        return {name: float(z2.sum() ** 0.5) for name, z2 in self.per_category(yields).items()}

    def __call__(self, yields: Yields) -> Any:
        xp = array_namespace(yields.sumw)
        return COMBINATIONS[self.combine]([xp.sum(z2) for z2 in self.per_category(yields).values()])
