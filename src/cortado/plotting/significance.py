"""Significances: of several categorisations side by side, and against the number of categories."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from cortado.errors import ConfigError
from cortado.plotting.palette import FILLS, LINES
from cortado.report import SchemeRow

if TYPE_CHECKING:
    from cortado.exact import Limit

_GROUP_HEIGHT = 0.8
_MOST_TICKS = 12
_LIMIT = "limit for K → ∞"
_CURVE: dict[str, Any] = {"markersize": 7, "linewidth": 2, "elinewidth": 1.5, "capsize": 3}
_CURVES: tuple[dict[str, Any], ...] = (
    {"marker": "o", "linestyle": (0, (4, 1.5)), "markerfacecolor": "white", "markeredgewidth": 2},
    {"marker": "s", "linestyle": "solid"},
    {"marker": "^", "linestyle": (0, (1, 1))},
)


def significance(rows: Sequence[SchemeRow], *, ax: Axes | None = None, label: str | None = None) -> Axes:
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
    ax.set_xlabel(label or _label(rows))
    return ax


def _label(rows: Sequence[SchemeRow]) -> str:
    return f"Combined expected {rows[0].quantity}"


def significance_curve(
    rows: Sequence[SchemeRow],
    limit: Limit | None = None,
    *,
    ax: Axes | None = None,
    label: str | None = None,
) -> Axes:
    """Draw the significance against the number of categories, and return the axes.

    There is a line for each kind of events in ``rows``; the bars are the statistical uncertainty of the
    simulation. The limit of infinitely many categories is a band between its bounds, and paler ones of one
    standard deviation beyond them; without an upper bound it is a line, with the paler band below it.
    Raises ``ConfigError`` where there is no row.
    """
    kinds = list(dict.fromkeys(row.events for row in rows))
    if not rows:
        raise ConfigError("rows must hold at least one row, got none")
    ax = plt.gca() if ax is None else ax
    numbers = sorted({row.n_categories for row in rows})
    aside = 0.01 * (numbers[-1] - numbers[0] or 1)  # so that bars do not hide each other
    for index, (kind, style) in enumerate(zip(kinds, cycle(_CURVES), strict=False)):
        of_kind = sorted((row for row in rows if row.events == kind), key=lambda row: row.n_categories)
        ax.errorbar(
            [row.n_categories + (index - 0.5 * (len(kinds) - 1)) * aside for row in of_kind],
            [row.combined for row in of_kind],
            yerr=[row.combined_uncertainty for row in of_kind],
            label=kind,
            color=LINES[index % len(LINES)],
            **_CURVE,
            **style,
        )
    if limit is not None:
        _draw_limit(ax, limit)
    if len(numbers) <= _MOST_TICKS:
        ax.set_xticks(numbers)
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.xaxis.set_major_locator(MaxNLocator(_MOST_TICKS, integer=True))
    ax.set_xlabel("Number of categories K")
    ax.set_ylabel(label or _label(rows))
    curves, labels = ax.get_legend_handles_labels()
    last = [text.startswith(_LIMIT) for text in labels]
    order = np.argsort(last, kind="stable")
    ax.legend([curves[i] for i in order], [labels[i] for i in order], loc="lower right", frameon=False)
    return ax


def _draw_limit(ax: Axes, limit: Limit) -> None:
    low, high = limit.lower, limit.upper if np.isfinite(limit.upper) else limit.lower
    paler = [(low - limit.lower_uncertainty, low)]
    if np.isfinite(limit.upper):
        paler.append((high, high + limit.upper_uncertainty))
    ax.axhspan(low, high, color=FILLS[0], alpha=0.45, label=_LIMIT)
    for span in paler:
        ax.axhspan(*span, color=FILLS[0], alpha=0.18, linewidth=0)


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
