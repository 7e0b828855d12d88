"""Signal over background in cells, from few events: shrunk to the ratio in the larger cells around them.

From the largest cell to the smallest, a cell with Σw of s and b has the ratio

    t = (s + m w t⁺) / (b + m w),

where t⁺ is the ratio in the cell of twice the size that holds it, w the mean weight of a background event,
and m how many such events t⁺ is worth. For each size m is chosen such that the significance (its tangent
plane, :func:`cortado.objectives.asimov.tangent`) of events that are left out, one at a time, is largest;
m = ∞ where cells of this size say nothing that larger ones do not. The ratio is finite and positive wherever
there are background and signal at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortado.exact.roles import Roles
from cortado.objectives.asimov import tangent
from cortado.points import Points

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Below some ten events the ratio of a cell is its fluctuation, and a large one costs most.
_PRIOR_EVENTS = (10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True, eq=False)
class Weights:
    """Σw and Σw² of something in n cells, (n,) each."""

    sumw: Floats
    sumw2: Floats

    @property
    def per_event(self) -> float:
        """The mean weight of an event, Σw²/Σw over all cells."""
        return float(self.sumw2.sum() / self.sumw.sum())


def ratios(points: Points, roles: Roles, sizes: Sequence[Integers]) -> list[Floats]:
    """s/b of each of S signals in the m cells of every size, (S, m) each: :func:`shrunk_ratios`."""
    (s, b), (s2, b2) = roles.split(points.sumw), roles.split(points.sumw2)
    of_signals = [shrunk_ratios(Weights(s[i], s2[i]), Weights(b[i], b2[i]), sizes) for i in range(len(s))]
    return [np.stack(of_size) for of_size in zip(*of_signals, strict=True)]


def shrunk_ratios(signal: Weights, background: Weights, sizes: Sequence[Integers]) -> list[Floats]:
    """The ratio s/b in the cells of every size, in their order.

    ``sizes`` are those of :func:`cortado.exact.crossed.doubled_cells` for the n cells of the sums. Zero
    everywhere, if either of the sums over all cells is not positive.
    """
    numbers = [int(cell.max()) + 1 for cell in sizes]
    if signal.sumw.sum() <= 0 or background.sumw.sum() <= 0:
        return [np.zeros(n) for n in numbers]
    found: list[Floats] = []
    larger = np.zeros_like(sizes[-1])
    around = np.array([signal.sumw.sum() / background.sumw.sum()])
    for cell, n in zip(reversed(sizes), reversed(numbers), strict=True):
        prior = np.empty(n)
        prior[cell] = around[larger]
        s, b = (np.maximum(np.bincount(cell, of.sumw, n), 0.0) for of in (signal, background))
        around, larger = _shrunk(s, b, signal.per_event, background.per_event, prior), cell
        found.append(around)
    return found[::-1]


def _shrunk(s: Floats, b: Floats, signal_event: float, background_event: float, prior: Floats) -> Floats:
    """The ratio of the cells of one size, with the prior that predicts events left out best."""

    def merit(ratio_without_signal: Floats, ratio_without_background: Floats) -> float:
        gain, loss = s * tangent(ratio_without_signal)[0], b * tangent(ratio_without_background)[1]
        return float((gain - loss).sum())

    best, chosen = merit(prior, prior), prior
    for events in _PRIOR_EVENTS:
        pseudo = events * background_event
        fewer_s, fewer_b = np.maximum(s - signal_event, 0.0), np.maximum(b - background_event, 0.0)
        value = merit((fewer_s + pseudo * prior) / (b + pseudo), (s + pseudo * prior) / (fewer_b + pseudo))
        if value > best:
            best, chosen = value, (s + pseudo * prior) / (b + pseudo)
    return chosen
