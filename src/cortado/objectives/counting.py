"""Expected significances of a counting experiment: the Asimov one and two common approximations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortado.objectives.arrays import array_namespace
from cortado.objectives.asimov import LEAST_BACKGROUND, squared_significance


def squared_signal_over_root_background(signal: Any, background: Any) -> Any:
    """Z² = s²/b, what :func:`squared_significance` becomes for s ≪ b; 0 in the same categories, float64."""
    return _ratio(signal, background, 0.0)


def squared_signal_over_root_total(signal: Any, background: Any) -> Any:
    """Z² = s²/(s + b), the precision with which s is counted; 0 in the same categories, float64."""
    return _ratio(signal, background, 1.0)


SQUARED_SIGNIFICANCES: dict[str, Callable[[Any, Any], Any]] = {
    "asimov": squared_significance,
    "s/sqrt(b)": squared_signal_over_root_background,
    "s/sqrt(s+b)": squared_signal_over_root_total,
}
"""Z² from signal and background, arrays that broadcast, by the name of its kind."""


def _ratio(signal: Any, background: Any, share: float) -> Any:
    xp = array_namespace(background)
    usable = (background > LEAST_BACKGROUND) & (signal > 0)
    s, b = xp.where(usable, signal, 0.0), xp.where(usable, background, 1.0)
    return s * (s / (share * s + b))
