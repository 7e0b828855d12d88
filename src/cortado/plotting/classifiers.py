"""Classifiers: their ROC curves, calibration and scores, and a table that compares them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.transforms import Bbox

from cortado.classifiers.comparison import ComparisonRow, headings_and_lines, uncertainties_in_words
from cortado.classifiers.performance import CalibrationCurve, Predictions, RocCurve
from cortado.classifiers.performance.predictions import Floats, Signal
from cortado.errors import ConfigError, checked_integer
from cortado.plotting.palette import LINES

_DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
_MARKERS = ("o", "s", "^", "D")
_MOST_POINTS = 2000  # of a curve: more than a figure has pixels
_CAPTION_WIDTH = 90  # characters
_LETTER = 0.6  # width of a letter in units of the font size
_OF_A_DECISION = 3  # thresholds of a curve: nothing passes, what is taken for signal, everything
_LARGEST_ERROR = 0.5  # of ε of the background, relative: beyond, the curve says nothing


def roc(curves: Mapping[str, RocCurve], *, ax: Axes | None = None) -> Axes:
    """Draw the background rejection 1/ε against the signal efficiency and return the axes.

    Bands are one standard deviation of the background's efficiency. Curves end where that is half of it. A
    decision, which has a single threshold, is a point. Raises ``ConfigError`` without curves.
    """
    _check_any("curves", curves)
    ax = plt.gca() if ax is None else ax
    handles: list[Any] = []  # in the order of the curves, lines and points
    for (name, curve), style in zip(curves.items(), _styles(len(curves)), strict=True):
        known = curve.background_uncertainty < _LARGEST_ERROR * curve.background_efficiency
        is_decision = len(curve.thresholds) == _OF_A_DECISION
        shown = np.flatnonzero(known[:-1]) if is_decision else _thinned(curve, known)
        x, y = curve.signal_efficiency[shown], curve.background_efficiency[shown]
        error = curve.background_uncertainty[shown]
        if is_decision:
            point: Any = {"marker": "o", "markersize": 8, "capsize": 4, "linestyle": "none"}
            handles.append(ax.errorbar(x, 1 / y, error / y**2, label=name, color=style["color"], **point))
            continue
        handles += ax.plot(x, 1 / y, label=name, linewidth=2, **style)
        ax.fill_between(x, 1 / (y + error), 1 / (y - error), color=style["color"], alpha=0.2, linewidth=0)
    ax.set_yscale("log")
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=1)
    ax.set_xlabel("Signal efficiency")
    ax.set_ylabel("Background rejection 1/ε")
    ax.legend(handles=handles, frameon=False, loc="upper right")
    return ax


def calibration(curves: Mapping[str, CalibrationCurve], *, ax: Axes | None = None) -> Axes:
    """Draw the observed against the predicted fraction of signal, with the diagonal, and return the axes.

    Bars are one standard deviation. Raises ``ConfigError`` without curves.
    """
    _check_any("curves", curves)
    ax = plt.gca() if ax is None else ax
    ax.plot([0, 1], [0, 1], color="#717581", linewidth=1.5, linestyle=(0, (5, 3)), label="perfect")
    for index, (name, curve) in enumerate(curves.items()):
        ax.errorbar(
            curve.predicted,
            curve.observed,
            yerr=curve.uncertainty,
            color=LINES[index % len(LINES)],
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=7,
            linewidth=1,
            elinewidth=1.5,
            capsize=3,
            label=name,
        )
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.05, 1.05)
    ax.set_xlabel("Predicted probability of signal")
    ax.set_ylabel("Fraction of signal")
    ax.legend(frameon=False, loc="upper left")
    return ax


def score_distributions(
    predictions: Predictions,
    signal: Signal = None,
    *,
    classes: Sequence[str] | None = None,
    n_bins: int = 40,
    ax: Axes | None = None,
) -> Axes:
    """Draw the distribution of the probability of ``signal`` for each true class and return the axes.

    Each class is normalised to 1, by its sum of weights, with one standard deviation √Σw² as a band. A class
    whose sum is not positive is not drawn. ``classes`` are the names of the classes, in their order. Raises
    ``ConfigError`` for wrong signal classes, for another number of names, or fewer than two bins.
    """
    checked_integer("n_bins", n_bins, 2)
    names = [f"class {number}" for number in range(predictions.n_classes)] if classes is None else [*classes]
    if len(names) != predictions.n_classes:
        raise ConfigError(f"classes must name each of {predictions.n_classes} classes, got {names}")
    score = np.clip(predictions.score(signal), 0, 1)
    ax = plt.gca() if ax is None else ax
    edges = np.linspace(0, 1, n_bins + 1)
    for number, (name, style) in enumerate(zip(names, _styles(len(names)), strict=True)):
        chosen = predictions.y == number
        weight = predictions.weight[chosen]
        if not weight.sum() > 0:
            continue
        height, error2 = (np.histogram(score[chosen], edges, weights=w)[0] for w in (weight, weight**2))
        height, error = height / weight.sum(), np.sqrt(error2) / weight.sum()
        ax.stairs(height, edges, label=name, linewidth=2, **style)
        ax.fill_between(
            edges,
            np.append(height - error, 0),
            np.append(height + error, 0),
            step="post",
            color=style["color"],
            alpha=0.2,
            linewidth=0,
        )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.25 * ax.get_ylim()[1])  # room for the legend
    ax.set_xlabel("Predicted probability of signal")
    ax.set_ylabel(f"Fraction of class / {1 / n_bins:.3g}")
    ax.legend(frameon=False, loc="upper center", ncols=min(len(names), 3))
    return ax


def comparison(rows: Sequence[ComparisonRow], *, ax: Axes | None = None) -> Axes:
    """Draw the numbers of a comparison as a table and return the axes.

    Raises ``ConfigError`` without rows, or for rows of different numbers.
    """
    headings, lines = headings_and_lines(rows)
    ax = plt.gca() if ax is None else ax
    ax.set_axis_off()
    characters = [2 + max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    table = ax.table(
        lines,
        colLabels=[heading.replace("ε_B", r"$\varepsilon_B$") for heading in headings],
        colWidths=[n / sum(characters) for n in characters],
        bbox=Bbox.unit(),
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    figure: Any = ax.get_figure(root=True)
    room = ax.get_window_extent().width * 72 / figure.dpi / (_LETTER * sum(characters))
    normal = FontProperties(size=plt.rcParams["legend.fontsize"]).get_size_in_points()
    table.set_fontsize(min(normal, room))
    for (line, column), cell in table.get_celld().items():
        cell.set_text_props(
            ha="right" if headings[column] in rows[0].cells else "left",
            weight="bold" if line == 0 else "normal",
        )
    words = textwrap.fill(uncertainties_in_words(rows), _CAPTION_WIDTH)
    ax.set_title(words, loc="left", fontsize=plt.rcParams["legend.fontsize"])
    return ax


def _styles(n: int) -> list[dict[str, Any]]:
    return [{"color": LINES[i % len(LINES)], "linestyle": _DASHES[i % len(_DASHES)]} for i in range(n)]


def _thinned(curve: RocCurve, known: Any) -> Any:
    """Points that a figure can tell apart: evenly along the curve, in efficiencies and their logarithm."""
    places = np.flatnonzero(known)
    if len(places) <= _MOST_POINTS:
        return places
    along = _length(curve.signal_efficiency[places]) + _length(np.log(curve.background_efficiency[places]))
    wanted = np.linspace(0, along[-1], _MOST_POINTS)
    return places[np.unique(np.clip(np.searchsorted(along, wanted), 0, len(places) - 1))]


def _length(values: Floats) -> Floats:
    """How far a curve has gone, from 0 to 1."""
    gone = np.append(0.0, np.cumsum(np.abs(np.diff(values))))
    return gone / gone[-1] if gone[-1] > 0 else gone


def _check_any(name: str, values: Mapping[str, Any]) -> None:
    if not values:
        raise ConfigError(f"{name} must hold at least one approach, got none")
