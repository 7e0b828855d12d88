"""The categories as a fit sees them: stacked backgrounds, scaled signals and, where there are any, data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import mplhep
import numpy as np
import numpy.typing as npt
from hist.intervals import poisson_interval
from matplotlib.axes import Axes
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import NullLocator

from cortado.errors import ConfigError, InputError
from cortado.plotting.palette import FILLS, LINES
from cortado.templates import Templates

Floats = npt.NDArray[np.float64]

_LOG_FROM = 20.0  # a logarithmic axis where the background of the categories spans more than this
_MOST_TICKS = 25
_MOST_EDGES = 12
_HIGHEST_RATIO = 3.0
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
_BAND = {"facecolor": "none", "edgecolor": "#4d4d4d", "hatch": "/////", "linewidth": 0, "alpha": 1.0}
_BAND_LABEL, _DATA_LABEL = "MC stat. unc.", "Data"
_LEGEND: dict[str, Any] = {"frameon": False, "columnspacing": 1.2}
_DATA = {"color": "black", "markersize": 11, "elinewidth": 1.5, "capsize": 0}


def stack(
    templates: Templates,
    signals: Sequence[str],
    *,
    ax: Axes | None = None,
    ratio_ax: Axes | None = None,
    signal_scale: float | None = None,
) -> Axes:
    """Draw the yields of every category and return the axes.

    Backgrounds are stacked, the smallest at the bottom, with the statistical uncertainty √Σw² of their sum;
    signals are lines, each multiplied by the factor that the legend states; collision data are points with
    central 68 % Poisson (Garwood) intervals. The y axis is logarithmic where the background of the categories
    differs by more than a factor of 20.

    Parameters
    ----------
    templates
        What is drawn; its nominal variation.
    signals
        The processes that are signals; every other simulated one is background.
    ax
        Where to draw; the current axes without it.
    ratio_ax
        Axes below for :func:`ratio`; they take over the labels of the x axis. Needs collision data.
    signal_scale
        Factor for every signal. Without it each gets a round one of its own, see :func:`round_scale`.

    Raises
    ------
    ConfigError
        Where a signal is not among the processes or ``signal_scale`` is not positive.
    InputError
        Where a ratio is asked for and there are no collision data.
    """
    yields = templates.yields(signals)
    if signal_scale is not None and not signal_scale > 0:
        raise ConfigError(f"signal_scale must be positive, got {signal_scale}")
    ax = plt.gca() if ax is None else ax
    background = yields.total(yields.backgrounds)
    uncertainty = np.sqrt(yields.total(yields.backgrounds, "sumw2"))

    bars = _draw_backgrounds(ax, templates, yields.backgrounds)
    band = _draw_band(ax, background, uncertainty) if yields.backgrounds else {}
    scales = {
        name: signal_scale or round_scale(templates.values(name), background) for name in yields.signals
    }
    lines = _draw_signals(ax, templates, scales)
    points = _draw_data(ax, templates.data, np.ones(templates.n_categories))

    headroom = _legend(ax, points | lines | bars | band)
    heights = [background + uncertainty, *(scale * templates.values(name) for name, scale in scales.items())]
    if templates.data is not None:
        heights.append(poisson_interval(templates.data)[1])
    lowest = min((templates.values(name) for name in yields.backgrounds), key=np.sum, default=background)
    _set_heights(ax, background, lowest, np.concatenate(heights), headroom)
    _number_categories(ax, templates.n_categories)
    ax.set_ylabel("Expected events" if templates.data is None else "Events")
    ax.set_title(_which_events(templates), loc="right", fontsize=plt.rcParams["legend.fontsize"])
    if ratio_ax is not None:
        ratio(templates, signals, ax=ratio_ax)
        ax.set_xlabel("")
        ax.tick_params(labelbottom=False)
    return ax


def ratio(templates: Templates, signals: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw collision data over the sum of the backgrounds in every category and return the axes.

    The band is the statistical uncertainty of the backgrounds, the points carry that of the data alone.
    Categories without a positive background have no point; triangles mark points beyond the axis.

    Raises ``ConfigError`` where a signal is not among the processes, ``InputError`` where there are no data.
    """
    yields = templates.yields(signals)
    if templates.data is None:
        raise InputError(f"a ratio needs collision data; the processes are {list(templates.processes)}")
    ax = plt.gca() if ax is None else ax
    total = yields.total(yields.backgrounds)
    background = np.where(total > 0, total, np.nan)
    _draw_band(ax, background / background, np.sqrt(yields.total(yields.backgrounds, "sumw2")) / background)
    ax.axhline(1.0, color="black", linewidth=1)
    _draw_data(ax, templates.data, background)
    low, high = _ratio_limits(templates.data / background)
    ax.set_ylim(low, high)
    beyond = np.flatnonzero(templates.data / background > high)  # never where there is no background
    ax.plot(beyond + 0.5, np.full(len(beyond), high - 0.04 * (high - low)), "^", color="black", markersize=8)
    _number_categories(ax, templates.n_categories)
    ax.set_ylabel("Data / bkg.", loc="center")
    return ax


def show_edges(ax: Axes, observable: Any) -> None:
    """Put the edges of an observable, an axis of ``hist``, below bins that are drawn as categories are."""
    edges = np.asarray(observable.edges)
    shown = np.arange(0, len(edges), -(-len(edges) // _MOST_EDGES))
    ax.set_xticks(shown, [f"{edge:.6g}" for edge in edges[shown]])
    ax.tick_params(axis="x", which="major", length=6)
    ax.set_xlabel(observable.label or observable.name)


def round_scale(signal: Floats, background: Floats) -> float:
    """A round factor, 1, 2 or 5 times a power of ten, that makes a signal visible beside the background.

    The largest, and at least 1, with which the signal stays below the background in half of the categories,
    and its highest category below the highest one of the background.
    """
    both = (signal > 0) & (background > 0)
    if not both.any():
        return 1.0
    wanted = min(float(np.median(background[both] / signal[both])), float(background.max() / signal.max()))
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(max(1.0, *(step * power for step in (1.0, 2.0, 5.0) if step * power <= wanted * (1 + 1e-9))))


def _edges(n_categories: int) -> Floats:
    return np.arange(n_categories + 1, dtype=np.float64)


def _draw_backgrounds(ax: Axes, templates: Templates, names: Sequence[str]) -> dict[str, Any]:
    """Draw the stack; artists by label, from top to bottom."""
    if not names:
        return {}
    ordered = sorted(names, key=lambda name: templates.values(name).sum())
    # The largest takes the first colour; hatches tell apart what shares one.
    rank = {name: index for index, name in enumerate(reversed(ordered))}
    drawn = mplhep.histplot(
        [templates.values(name) for name in ordered],
        bins=_edges(templates.n_categories),
        stack=True,
        histtype="fill",
        label=ordered,
        color=[FILLS[rank[name] % len(FILLS)] for name in ordered],
        hatch=["" if rank[name] < len(FILLS) else ".." for name in ordered],
        edgecolor="white",
        linewidth=0.6,
        ax=ax,
        flow="none",
    )
    return dict(zip(reversed(ordered), (artists.stairs for artists in drawn), strict=True))


def _draw_band(ax: Axes, centre: Floats, uncertainty: Floats) -> dict[str, Any]:
    (drawn,) = mplhep.histplot(
        centre,
        bins=_edges(len(centre)),
        yerr=[uncertainty, uncertainty],
        histtype="band",
        label=_BAND_LABEL,
        ax=ax,
        flow="none",
        **_BAND,
    )
    return {_BAND_LABEL: drawn.stairs}


def _draw_signals(ax: Axes, templates: Templates, scales: dict[str, float]) -> dict[str, Any]:
    artists = {}
    for index, (name, scale) in enumerate(scales.items()):
        label = name if scale == 1 else f"{name} × {_grouped(scale)}"
        (drawn,) = mplhep.histplot(
            scale * templates.values(name),
            bins=_edges(templates.n_categories),
            histtype="step",
            label=label,
            yerr=False,
            edges=False,
            color=LINES[index % len(LINES)],
            linestyle=_DASHES[index % len(_DASHES)],
            linewidth=2.5,
            path_effects=[Stroke(linewidth=5, foreground="white"), Normal()],
            ax=ax,
            flow="none",
        )
        artists[label] = drawn.stairs
    return artists


def _grouped(number: float) -> str:
    """1000000 as 1 000 000, with thin spaces."""
    return f"{number:,.12g}".replace(",", "\u2009")


def _draw_data(ax: Axes, data: Floats | None, unit: Floats) -> dict[str, Any]:
    """Draw data / unit with Poisson intervals."""
    if data is None:
        return {}
    low, high = poisson_interval(data)
    (drawn,) = mplhep.histplot(
        data / unit,
        bins=_edges(len(data)),
        yerr=[(data - low) / unit, (high - data) / unit],
        histtype="errorbar",
        label=_DATA_LABEL,
        ax=ax,
        flow="none",
        **_DATA,
    )
    return {_DATA_LABEL: drawn.errorbar}


def _legend(ax: Axes, artists: dict[str, Any]) -> float:
    """Draw the legend at the top in as few rows as fit; the part of the axes' height that it takes."""
    space = ax.get_window_extent()
    for columns in (4, 3, 2, 1):
        legend = ax.legend([*artists.values()], [*artists], ncols=columns, loc="upper right", **_LEGEND)
        size: Any = legend.get_tightbbox()
        if size.width < 0.97 * space.width:
            break
    return min(0.7, size.height / space.height + 0.03)


def _set_heights(ax: Axes, background: Floats, lowest: Floats, heights: Floats, headroom: float) -> None:
    """Set the y axis so that everything drawn stays below the legend."""
    positive, seen = background[background > 0], heights[heights > 0]
    if not len(seen):
        return
    top = seen.max()
    floor = positive.min(initial=top)
    if positive.max(initial=floor) <= _LOG_FROM * floor:
        ax.set_ylim(0, top / (1 - headroom))
        return
    # The bottom of the stack shows; what is smaller still leaves the axis rather than squeeze all the rest.
    smallest = min(seen.min(), lowest[lowest > 0].min(initial=top))
    low = max(0.4 * smallest, 0.01 * floor)
    ax.set_yscale("log")
    ax.set_ylim(low, low * (top / low) ** (1 / (1 - headroom)))


def _ratio_limits(ratios: Floats) -> tuple[float, float]:
    """Limits that hold the points, symmetric around 1 where that is possible."""
    away = np.abs(ratios[np.isfinite(ratios)] - 1).max(initial=0.0)
    for half in (0.25, 0.5, 1.0):
        if away < 0.9 * half:
            return 1 - half, 1 + half
    return 0.0, min(_HIGHEST_RATIO, 1.1 * (1 + away))


def _number_categories(ax: Axes, n_categories: int) -> None:
    shown = np.arange(0, n_categories, -(-n_categories // _MOST_TICKS))
    ax.set_xlim(0, n_categories)
    ax.set_xticks(shown + 0.5, [str(k) for k in shown])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.tick_params(axis="x", which="major", length=0)
    ax.set_xlabel("Category")


def _which_events(templates: Templates) -> str:
    scaled = "" if templates.events == "all" else ", scaled to the full luminosity"
    return f"{templates.channel}: {templates.events} events{scaled}"
