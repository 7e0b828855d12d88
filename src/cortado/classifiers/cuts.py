"""One-dimensional cuts, and the best one of all that a list of edges allows: exact, by cumulative sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cut:
    """Keep events with low ≤ x ≤ high, or only the others where ``outside``.

    The ends are numbers of single precision, as observables are; an infinite one is none.
    """

    observable: str
    low: float = -inf
    high: float = inf
    outside: bool = False

    @property
    def cuts(self) -> bool:
        """Whether there are numbers that it does not keep."""
        return isfinite(self.low) or isfinite(self.high)

    @property
    def ends(self) -> tuple[float, ...]:
        """Where events begin or cease to be kept."""
        return tuple(end for end in (self.low, self.high) if isfinite(end))

    def keeps(self, x: npt.NDArray[np.floating]) -> Bools:
        """(n,) which of the values x (n,) are kept."""
        inside: Bools = (x >= self.low) & (x <= self.high)
        return inside != self.outside

    def __str__(self) -> str:
        name, low, high = self.observable, f"{self.low:.7g}", f"{self.high:.7g}"
        if not self.cuts:
            return f"{name}: no cut"
        if self.outside:
            return f"{name} < {low} or {name} > {high}"
        if not isfinite(self.low):
            return f"{name} ≤ {high}"
        return f"{low} ≤ {name} ≤ {high}" if isfinite(self.high) else f"{name} ≥ {low}"


@dataclass(frozen=True, eq=False)
class Passing:
    """Sums over the events that pass each of K selections, and over all of them, by class.

    ``sumw``, ``sumw2`` and ``count`` are (n_classes, K), ``total`` (n_classes,) is Σw of all events.
    """

    sumw: Floats
    sumw2: Floats
    count: Floats
    total: Floats

    @classmethod
    def of(cls, passes: Bools, y: Integers, weight: Floats, n_classes: int) -> Passing:
        """Of a single selection: which events (n,) pass, their classes and weights."""
        rows = [np.bincount(y[passes], v[passes], n_classes) for v in _summed(weight)]
        sums = np.stack(rows)[..., None].astype(np.float64)
        total = np.bincount(y, weight, n_classes).astype(np.float64)  # integers where there are no events
        return cls(sums[0], sums[1], sums[2], total)


Loss = Callable[[Passing], Floats]
"""What is to be small, (K,), of K selections."""


def _summed(weight: Floats) -> tuple[Floats, Floats, Floats]:
    return weight, weight**2, np.ones(len(weight))


def edges_of(x: Singles, weight: Floats, n_bins: int, binning: str) -> Singles:
    """The inner edges, increasing, of ``n_bins`` bins of values x (n,).

    "equidistant" between the smallest and the largest value, or at the "quantile"s of the weighted values.
    """
    if binning == "equidistant":
        edges = np.linspace(float(x.min()), float(x.max()), n_bins + 1)[1:-1]
    elif binning == "quantile":
        order = np.argsort(x, kind="stable")
        reached = np.cumsum(weight[order])
        places = np.searchsorted(reached, np.arange(1, n_bins) / n_bins * reached[-1])
        edges = x[order][np.minimum(places, len(x) - 1)]
    else:
        raise ConfigError(f"binning must be 'quantile' or 'equidistant', got {binning!r}")
    return np.unique(edges.astype(np.float32))


def best_cut(
    observable: str, x: Singles, y: Integers, weight: Floats, edges: Singles, n_classes: int, loss: Loss
) -> Cut:
    """The cut on values x (n,) with the smallest loss: none, x ≤ a, x ≥ a, a ≤ x ≤ b, or outside of [a, b].

    All edges, and pairs of them, are compared, each with the sums of the events that it keeps. Of equally
    good cuts the first in this order is taken, and of one kind that with the lowest edges.
    """
    order = np.argsort(x, kind="stable")
    ordered, of_class = x[order], y[order][None, :] == np.arange(n_classes)[:, None]
    values = np.stack([np.where(of_class, v[order], 0.0) for v in _summed(weight)])
    running = np.concatenate([np.zeros((3, n_classes, 1)), values.cumsum(axis=2)], axis=2)
    total = running[..., -1:]
    at_most = running[..., np.searchsorted(ordered, edges, side="right")]
    below = running[..., np.searchsorted(ordered, edges, side="left")]
    low, high = np.triu_indices(len(edges), 1)
    between = at_most[..., high] - below[..., low]
    kept = np.concatenate([total, at_most, total - below, between, total - between], axis=2)
    # A difference of sums over the same events is rounding, and not a very small background.
    sums = np.where(kept[2] > 0, kept, 0.0)
    best = int(np.argmin(loss(Passing(sums[0], sums[1], sums[2], total[0, :, 0]))))
    ends = [(-inf, inf)]
    ends += [(-inf, float(edge)) for edge in edges] + [(float(edge), inf) for edge in edges]
    if best < len(ends):
        return Cut(observable, *ends[best])
    outside, pair = divmod(best - len(ends), len(low))
    return Cut(observable, float(edges[low[pair]]), float(edges[high[pair]]), bool(outside))
