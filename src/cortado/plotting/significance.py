"""Significances of several categorisations side by side."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from cortado.errors import ConfigError
from cortado.plotting.palette import FILLS
from cortado.report import SchemeRow

_GROUP_HEIGHT = 0.8


def significance(
    rows: Sequence[SchemeRow], *, ax: Axes | None = None, label: str = "Combined expected significance"
) -> Axes:
    """Draw one group of horizontal bars a scheme, one bar for each kind of events, and return the axes.

    Schemes stand from top to bottom and events within them in the order of their first row.
    Raises ``ConfigError`` where there is no row, or two for one scheme and kind of events.
    """
    schemes, kinds = list(dict.fromkeys(r.scheme for r in rows)), list(dict.fromkeys(r.events for r in rows))
    if not rows or len({(r.scheme, r.events) for r in rows}) < len(rows):
        raise ConfigError(f"rows must hold one row a scheme and kind of events, got {[*rows]}")
    ax = plt.gca() if ax is None else ax
    height = _GROUP_HEIGHT / len(kinds)
    for index, kind in enumerate(kinds):
        of_kind = [row for row in rows if row.events == kind]
        y = [schemes.index(row.scheme) + (index - 0.5 * (len(kinds) - 1)) * height for row in of_kind]
        ax.barh(
            y,
            [row.combined for row in of_kind],
            xerr=[row.combined_uncertainty for row in of_kind],
            height=0.9 * height,
            color=FILLS[index % len(FILLS)],
            error_kw={"ecolor": "black", "elinewidth": 1.5, "capsize": 3},
            label=kind,
        )
        for place, row in zip(y, of_kind, strict=True):
            end = np.nan_to_num(row.combined) + np.nan_to_num(row.combined_uncertainty)
            ax.annotate(
                f"{row.combined:.3f} ± {row.combined_uncertainty:.3f}",
                (end, place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=plt.rcParams["legend.fontsize"],
            )
    _arrange(ax, schemes, max(np.nan_to_num(row.combined + row.combined_uncertainty) for row in rows))
    ax.set_xlabel(label)
    return ax


def _arrange(ax: Axes, schemes: Sequence[str], longest: float) -> None:
    ax.set_yticks(range(len(schemes)), schemes)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.tick_params(axis="y", which="major", length=0)
    ax.set_ylim(len(schemes) - 0.5, -0.5)
    ax.set_xlim(0, 1.4 * longest or 1.0)
    size = plt.rcParams["legend.fontsize"]
    ax.legend(
        title="Events",
        title_fontsize=size,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=3,
        frameon=False,
    )
