"""The events that a cut is placed on: one quantity of signal and of background, with weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cortado.errors import InputError, checked_integer

Floats = npt.NDArray[np.float64]

_BEYOND = 0.2  # of the first and the last value, by which default cuts go beyond them


class CutEvents:
    """Values x of signal (n,) and background (m,) in one unit, and their weights; 1 without them.

    Raises ``InputError`` for values or weights that are not finite or of another shape, and for signal or
    background whose sum of weights is not positive.
    """

    def __init__(
        self,
        signal: npt.ArrayLike,
        background: npt.ArrayLike,
        signal_weights: npt.ArrayLike | None = None,
        background_weights: npt.ArrayLike | None = None,
    ) -> None:
        self.signal, self.signal_weights = _checked("signal", signal, signal_weights)
        self.background, self.background_weights = _checked("background", background, background_weights)

    def __len__(self) -> int:
        return len(self.signal) + len(self.background)

    def __repr__(self) -> str:
        return f"CutEvents({len(self.signal)} of signal, {len(self.background)} of background)"

    @property
    def spread(self) -> float:
        """The standard deviation of all values, without their weights; 1 where all are the same."""
        return float(np.std(np.concatenate([self.signal, self.background]))) or 1.0

    def cuts(self, n: int = 100) -> Floats:
        """``n`` cuts at equal distances, from ``min − 0.2 |min|`` to ``max + 0.2 |max|`` of all values."""
        n = checked_integer("n", n, 2)
        low = min(self.signal.min(), self.background.min())
        high = max(self.signal.max(), self.background.max())
        return np.linspace(low - _BEYOND * abs(low), high + _BEYOND * abs(high), n)


def checked_cuts(name: str, cuts: npt.ArrayLike | Sequence[float]) -> Floats:
    """Positions of cuts as an array (n,) of finite numbers; else ``InputError``."""
    found = _numbers(name, cuts)
    if found.ndim != 1 or not found.size:
        raise InputError(f"{name} must be a list of finite numbers, got the shape {found.shape}")
    if not np.isfinite(found).all():
        bad = found[~np.isfinite(found)]
        raise InputError(
            f"{name} must be a list of finite numbers, got {len(bad)} of {len(found)} that are not, "
            f"the first {bad[0]}"
        )
    return found


def _numbers(name: str, values: npt.ArrayLike | Sequence[float]) -> Floats:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a list of finite numbers: {error}") from error


def _checked(name: str, values: npt.ArrayLike, weights: npt.ArrayLike | None) -> tuple[Floats, Floats]:
    x = checked_cuts(name, values)
    w = np.ones_like(x) if weights is None else _numbers(f"{name}_weights", weights)
    if w.shape != x.shape or not np.isfinite(w).all() or not w.sum() > 0:
        raise InputError(
            f"{name}_weights must be finite, one for each of {len(x)} values, and their sum > 0, "
            f"got the shape {w.shape} and the sum {w.sum():g}"
        )
    return x, w
