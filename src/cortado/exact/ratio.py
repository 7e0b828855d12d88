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
from cortado.points import Points, sums_by_index

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

    def some(self, which: Integers) -> Weights:
        """Those of the cells with these numbers."""
        return Weights(self.sumw[which], self.sumw2[which])

    def in_cells(self, cell: Integers, n: int) -> Weights:
        """Sums over n larger cells, from the one that each cell is in."""
        return Weights(*sums_by_index(np.stack([self.sumw, self.sumw2]), cell, n))


@dataclass(frozen=True, eq=False)
class _Step:
    """The ratio in the m cells of one size, (m,), and its derivatives with respect to what it is made of.

    These are Σw of signal and of background in the cell, and the ratio in the cell of twice the size.
    ``cell`` (n,) is that of each address.
    """

    cell: Integers
    ratio: Floats
    by_signal: Floats
    by_background: Floats
    by_prior: Floats


@dataclass(frozen=True, eq=False)
class ShrunkRatio:
    """The ratio of a signal to its background in the cells of every size, and how it depends on both.

    ``by_size`` holds the ratio, (m,) for each size; ``by_total`` the derivatives of the ratio that all others
    are shrunk to, with respect to Σw of all signal and of all background.
    """

    steps: tuple[_Step, ...]
    by_total: tuple[float, float]

    @property
    def by_size(self) -> list[Floats]:
        """The ratio in the m cells of every size, (m,) each."""
        return [step.ratio for step in self.steps]

    def derivatives(self, size: int, slope: Floats) -> Floats:
        """(2, m) derivatives of Σ ``slope`` · ratio with respect to Σw of signal and of background.

        The sum is over the m cells of a size, (m,), and so are the derivatives.
        """
        smallest = self.steps[size].cell
        found = np.zeros((2, len(slope)))
        for k, step in enumerate(self.steps[size:], size):
            here = np.empty(found.shape[1], np.int64)
            here[smallest] = step.cell
            found += (slope * np.stack([step.by_signal, step.by_background]))[:, here]
            larger = self.steps[k + 1].cell if k + 1 < len(self.steps) else np.zeros_like(smallest)
            around = np.empty(len(slope), np.int64)
            around[step.cell] = larger
            slope = sums_by_index((slope * step.by_prior)[None], around, int(larger.max()) + 1)[0]
        return found + float(slope[0]) * np.array(self.by_total)[:, None]


def ratios(points: Points, roles: Roles, sizes: Sequence[Integers]) -> list[Floats]:
    """s/b of each of S signals in the m cells of every size, (S, m) each."""
    of_signals = [ratio.by_size for ratio in shrunk_ratios(points, roles, sizes)]
    return [np.stack(of_size) for of_size in zip(*of_signals, strict=True)]


def shrunk_ratios(points: Points, roles: Roles, sizes: Sequence[Integers]) -> list[ShrunkRatio]:
    """s/b of each of S signals: :func:`shrunk_ratio`."""
    (s, b), (s2, b2) = roles.split(points.sumw), roles.split(points.sumw2)
    return [shrunk_ratio(Weights(s[i], s2[i]), Weights(b[i], b2[i]), sizes) for i in range(len(s))]


def shrunk_ratio(signal: Weights, background: Weights, sizes: Sequence[Integers]) -> ShrunkRatio:
    """The ratio s/b in the cells of every size, in their order.

    ``sizes`` are those of :func:`cortado.exact.crossed.doubled_cells` for the n cells of the sums. Zero
    everywhere, if either of the sums over all cells is not positive.
    """
    numbers = [int(cell.max()) + 1 for cell in sizes]
    all_s, all_b = float(signal.sumw.sum()), float(background.sumw.sum())
    if all_s <= 0 or all_b <= 0:
        nothing = [_Step(cell, *np.zeros((4, n))) for cell, n in zip(sizes, numbers, strict=True)]
        return ShrunkRatio(tuple(nothing), (0.0, 0.0))
    steps: list[_Step] = []
    larger = np.zeros_like(sizes[-1])
    around = np.array([all_s / all_b])
    for cell, n in zip(reversed(sizes), reversed(numbers), strict=True):
        prior = np.empty(n)
        prior[cell] = around[larger]
        s, b = sums_by_index(np.stack([signal.sumw, background.sumw]), cell, n)
        steps.append(_shrunk(cell, s, b, signal.per_event, background.per_event, prior))
        around, larger = steps[-1].ratio, cell
    return ShrunkRatio(tuple(reversed(steps)), (1 / all_b, -all_s / all_b**2))


def _shrunk(
    cell: Integers, sum_s: Floats, sum_b: Floats, signal_event: float, background_event: float, prior: Floats
) -> _Step:
    """The ratio of the cells of one size, with the prior that predicts events left out best."""
    s, b = np.maximum(sum_s, 0.0), np.maximum(sum_b, 0.0)

    def merit(ratio_without_signal: Floats, ratio_without_background: Floats) -> float:
        gain, loss = s * tangent(ratio_without_signal)[0], b * tangent(ratio_without_background)[1]
        return float((gain - loss).sum())

    best, worth = merit(prior, prior), np.inf
    for events in _PRIOR_EVENTS:
        pseudo = events * background_event
        fewer_s, fewer_b = np.maximum(s - signal_event, 0.0), np.maximum(b - background_event, 0.0)
        value = merit((fewer_s + pseudo * prior) / (b + pseudo), (s + pseudo * prior) / (fewer_b + pseudo))
        if value > best:
            best, worth = value, pseudo
    if np.isinf(worth):
        none = np.zeros_like(prior)
        return _Step(cell, prior, none, none, np.ones_like(prior))
    total = b + worth
    ratio = (s + worth * prior) / total
    by_background = np.where(sum_b > 0, -ratio / total, 0.0)
    return _Step(cell, ratio, np.where(sum_s > 0, 1 / total, 0.0), by_background, worth / total)
