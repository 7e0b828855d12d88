"""The best cut: of a relaxation, and of the hard cut that it stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortado.errors import ConfigError
from cortado.objectives.counting import SQUARED_SIGNIFICANCES
from cortado.softcuts.events import CutEvents, Floats
from cortado.softcuts.losses import loss_of
from cortado.softcuts.relaxations import SIDES, Relaxation

_ZOOM, _ZOOMS = 21, 4  # positions between two neighbours of the best one, so many times


@dataclass(frozen=True)
class Optimum:
    """The position of the best cut and its value."""

    cut: float
    value: float


class HardCuts:
    """The significance of the hard cut at any position: S and B are sums of weights on the side that is kept.

    Parameters
    ----------
    events
        Signal and background.
    kind
        One of ``cortado.objectives.SQUARED_SIGNIFICANCES``.
    side
        Which events are kept, "above" or "below" the cut.

    Raises
    ------
    ConfigError
        For a kind or a side that there is not.
    """

    def __init__(self, events: CutEvents, kind: str = "s/sqrt(b)", side: str = "above") -> None:
        if kind not in SQUARED_SIGNIFICANCES:
            raise ConfigError(f"kind must be one of {list(SQUARED_SIGNIFICANCES)}, got {kind!r}")
        if side not in SIDES:
            raise ConfigError(f"side must be one of {list(SIDES)}, got {side!r}")
        self._sign = 1.0 if side == "above" else -1.0
        self._square = SQUARED_SIGNIFICANCES[kind]
        self._signal = _sums(self._sign * events.signal, events.signal_weights)
        self._background = _sums(self._sign * events.background, events.background_weights)

    def value(self, cuts: Floats) -> Floats:
        """Z at cuts of any shape."""
        at = self._sign * np.asarray(cuts, np.float64)
        (x_s, s), (x_b, b) = self._signal, self._background
        return np.sqrt(self._square(s[np.searchsorted(x_s, at)], b[np.searchsorted(x_b, at)]))

    @property
    def best(self) -> Optimum:
        """The largest Z of all cuts, halfway between the two events that it lies between."""
        x = np.unique(np.concatenate([self._signal[0], self._background[0]]))
        cuts = self._sign * np.concatenate([x[:1] - 1, (x[1:] + x[:-1]) / 2])
        values = self.value(cuts)
        best = int(np.argmax(values))
        return Optimum(float(cuts[best]), float(values[best]))


def best_cut(events: CutEvents, relaxation: Relaxation, loss: str, near: Floats) -> Optimum:
    """The best of a relaxation between the first and the last of ``near``: positions in increasing order.

    The best of these and then of ever finer ones around it, so that steps, as those of a straight-through
    cut, do no harm.
    """
    of, cuts = loss_of(loss), near
    for _ in range(_ZOOMS):
        values = np.array([_value(events, relaxation, loss, cut) for cut in cuts])
        best = int(np.argmin(of.sign * values))
        found = Optimum(float(cuts[best]), float(values[best]))
        cuts = np.linspace(cuts[max(best - 1, 0)], cuts[min(best + 1, len(cuts) - 1)], _ZOOM)
    return found


def _value(events: CutEvents, relaxation: Relaxation, loss: str, cut: float) -> float:
    f_s, f_b = (relaxation(x, cut) for x in (events.signal, events.background))
    return float(loss_of(loss)(f_s, f_b, events.signal_weights, events.background_weights))


def _sums(x: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Sorted values (n,), and (n + 1,) sums of weights from each of them on."""
    order = np.argsort(x)
    return x[order], np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
