"""2 [(1 + t) ln(1 + t) − t], of which significances are made, without loss of digits for small t."""

from __future__ import annotations

from typing import Any

from cortado.objectives.arrays import array_namespace, with_slope

# Below this |t| the closed form loses digits to cancellation and the series is exact to rounding.
_SERIES_BELOW = 1e-2
_SERIES_ORDER = 9


def deviance(t: Any) -> Any:
    """2 [(1 + t) ln(1 + t) − t] for t > −1; times m, the deviance of a count (1 + t) m from the mean m."""
    return with_slope(_deviance, lambda t: 2 * array_namespace(t).log1p(t), t)


def deviance_by_ratio(t: Any) -> Any:
    """:func:`deviance` (t) / t, which is 0 for t = 0."""
    small, near, far = _split(t)
    return array_namespace(t).where(small, near * _series(near), _closed(far) / far)


def _deviance(t: Any) -> Any:
    small, near, far = _split(t)
    return array_namespace(t).where(small, near * near * _series(near), _closed(far))


def _split(t: Any) -> tuple[Any, Any, Any]:
    """Where t is small; t there, and 0 elsewhere; t elsewhere, and 1 there."""
    xp = array_namespace(t)
    small = xp.abs(t) < _SERIES_BELOW
    return small, xp.where(small, t, 0.0), xp.where(small, 1.0, t)


def _closed(t: Any) -> Any:
    return 2 * ((1 + t) * array_namespace(t).log1p(t) - t)


def _series(t: Any) -> Any:
    """Σ_{n≥2} 2 (−1)ⁿ tⁿ⁻² / (n (n − 1)), by Horner's rule."""
    first, *others = [2.0 * (-1) ** n / (n * (n - 1)) for n in range(_SERIES_ORDER, 1, -1)]
    total = first
    for coefficient in others:
        total = coefficient + t * total
    return total
