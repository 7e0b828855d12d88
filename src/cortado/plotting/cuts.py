"""Cuts on the distributions of the observables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from cortado.classifiers.cut_and_count import CutAndCount
from cortado.classifiers.cuts import Cut
from cortado.errors import ConfigError
from cortado.plotting.palette import FILLS, LINES

Floats = npt.NDArray[np.float64]

_KEPT = "#94a4a2"
_CENTRAL = (0.005, 0.995)  # of the events: what is drawn where some lie far out
_EMPTY = (0.0, 1.0)


def cuts(
    model: CutAndCount,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    *,
    axes: Sequence[Axes],
    bins: int = 50,
) -> list[Axes]:
    """Draw every observable's distribution in both classes, with its cut, and return the axes.

    With the topology "sequential" each distribution is that of the events which pass all earlier cuts, from
    which the cut was chosen; with "parallel" that of all events.

    Parameters
    ----------
    model
        Fitted cuts.
    x, y, sample_weight
        Observables (n, d), classes (n,) and weights (n,) of the events to draw.
    axes
        One for each observable.
    bins
        Bins of each distribution, over the central 99 % of the events and the ends of the cut. Where all
        values are integers, bins hold the same number of them, and there may be fewer bins.

    Raises
    ------
    ConfigError
        The number of axes is not that of observables, or ``model`` is not fitted.
    """
    if len(axes) != len(model.cuts):
        raise ConfigError(f"axes must be one for each of {len(model.cuts)} observables, got {len(axes)}")
    events = model.expects.events(x, y, sample_weight)
    rows = np.ones(len(events.y), bool)
    for one, column, ax in zip(model.cuts, events.x.T, axes, strict=True):
        by_class = {
            name: (column[rows & (events.y == k)], events.weight[rows & (events.y == k)])
            for k, name in enumerate(model.classes)
        }
        cut(one, by_class, ax=ax, bins=bins)
        if model.topology == "sequential":
            rows &= one.keeps(column)
    return list(axes)


def cut(
    chosen: Cut,
    by_class: dict[str, tuple[npt.NDArray[np.floating], Floats]],
    *,
    ax: Axes | None = None,
    bins: int = 50,
) -> Axes:
    """Draw the distributions of one observable, each with area 1, and what a cut keeps; return the axes.

    ``by_class`` has values (n,) and weights (n,) by the name of the class, background first.
    """
    ax = plt.gca() if ax is None else ax
    edges = _edges(np.concatenate([values for values, _ in by_class.values()]), chosen, bins)
    low, high = edges[0], edges[-1]
    for k, (name, (values, weight)) in enumerate(by_class.items()):
        height = np.histogram(values, edges, weights=weight)[0]
        total = height.sum() * (edges[1] - edges[0])
        style: dict[str, Any] = (
            {"fill": True, "color": FILLS[0], "alpha": 0.6} if k == 0 else {"color": LINES[0], "lw": 2}
        )
        ax.stairs(height / total if total > 0 else height, edges, label=name, **style)
    for end in chosen.ends:
        ax.axvline(end, color="black", lw=1.5, ls="--")
    if chosen.cuts:
        for begin, end in _kept(chosen, low, high):
            ax.axvspan(begin, end, color=_KEPT, alpha=0.25, lw=0, zorder=0)
    ax.set_xlim(low, high)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(chosen.observable)
    ax.set_ylabel(f"Density, in bins of {edges[1] - edges[0]:.3g}")
    ax.set_title(str(chosen), fontsize=plt.rcParams["legend.fontsize"])
    ax.legend()
    return ax


def _edges(values: npt.NDArray[np.floating], chosen: Cut, bins: int) -> Floats:
    """Edges of bins for most events and the ends of the cut."""
    low, high = (float(q) for q in (np.quantile(values, _CENTRAL) if len(values) else _EMPTY))
    low, high = min([low, *chosen.ends]), max([high, *chosen.ends])
    if len(values) and (values == np.round(values)).all():
        step = np.ceil((high - low + 1) / bins)
        return np.arange(np.floor(low) - 0.5, high + step + 0.5, step)
    margin = 0.05 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, bins + 1)


def _kept(chosen: Cut, low: float, high: float) -> list[tuple[float, float]]:
    """The parts of the range from low to high that a cut keeps."""
    if chosen.outside:
        return [(low, chosen.low), (chosen.high, high)]
    return [(max(low, chosen.low), min(high, chosen.high))]
