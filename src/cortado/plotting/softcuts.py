"""Scans of relaxed cuts: average weights, losses and gradients; where gradient descent ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from cortado.errors import ConfigError
from cortado.plotting.palette import FILLS, LINES
from cortado.softcuts.relaxations import labels

if TYPE_CHECKING:
    from cortado.softcuts import Arrivals, Scan

_COLORS = (*LINES, "#e76300", "#3f90da", "#717581", "#a96b59")
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
_MARKERS: tuple[dict[str, Any], ...] = (
    {"marker": "o", "linestyle": "none", "markersize": 6},
    {"marker": "s", "linestyle": "none", "markersize": 12, "markerfacecolor": "none"},
    {"marker": "D", "linestyle": "none", "markersize": 18, "markerfacecolor": "none"},
)
_CUT = "Position of the cut"
_LEAST = 1e-9  # relative size of a gradient that a logarithmic axis still shows


def scan_weights(scans: Sequence[Scan], *, ax: Axes | None = None) -> Axes:
    """Draw the average weights of signal (lines) and background (paler lines), and return the axes.

    Scans of one relaxation with several losses are drawn once. Raises ``ConfigError`` without scans.
    """
    of_relaxation = {found.relaxation: found for found in scans}
    ax = _axes([*of_relaxation.values()], ax)
    called = labels([*of_relaxation])
    for found, label, style in zip(of_relaxation.values(), called, _styles(len(called)), strict=True):
        ax.plot(found.cuts, found.signal_weight, label=label, **style)
        ax.plot(found.cuts, found.background_weight, alpha=0.4, **style)
    ax.set_ylim(0, 1.05)
    ax.set_ylabel("Average weight")
    size = plt.rcParams["legend.fontsize"]
    ax.legend(title="Signal; background paler", title_fontsize=size, frameon=False)
    return ax


def scan_losses(scans: Sequence[Scan], *, ax: Axes | None = None) -> Axes:
    """Draw the loss of one or several relaxations with its best value marked, and return the axes.

    Raises ``ConfigError`` without scans, or for scans of different losses.
    """
    ax = _draw(scans, lambda found: found.values, ax)
    for found, style in zip(scans, _styles(len(scans)), strict=True):
        ax.plot(found.cuts[found.best], found.values[found.best], "o", color=style["color"], markersize=9)
    ax.set_ylabel(scans[0].loss.symbol)
    return ax


def scan_gradients(scans: Sequence[Scan], *, ax: Axes | None = None) -> Axes:
    """Draw the gradient of the loss, with a line where its best value is, and return the axes.

    Raises as :func:`scan_losses` does.
    """
    ax = _draw(scans, lambda found: found.gradients, ax)
    _mark_best(scans, ax)
    ax.axhline(0, color="black", linewidth=1)
    ax.set_ylabel(f"Gradient of {scans[0].loss.symbol}")
    return ax


def scan_gradient_sizes(scans: Sequence[Scan], *, ax: Axes | None = None) -> Axes:
    """Draw the size of the gradient relative to its largest, on a logarithmic axis, and return the axes.

    Dots are where the gradient leads away from the best cut; where it is exactly zero there is no line.
    Raises as :func:`scan_losses` does.
    """
    ax = _draw(scans, _size, ax)
    for found, style in zip(scans, _styles(len(scans)), strict=True):
        slope = found.loss.sign * found.gradients
        side = np.sign(np.arange(len(slope)) - found.best)
        away = slope * side < 0
        size = _size(found)
        ax.plot(found.cuts[away], size[away], "o", color=style["color"], markersize=6, alpha=0.5)
    _mark_best(scans, ax)
    ax.set_yscale("log")
    ax.set_ylim(_LEAST, 3)
    ax.set_ylabel(f"|Gradient of {scans[0].loss.symbol}| / largest")
    return ax


def descent_ends(found: Sequence[Arrivals], *, ax: Axes | None = None) -> Axes:
    """Draw where gradient descent ends against where it starts, and return the axes.

    A dotted line is the best cut of a relaxation. Raises ``ConfigError`` where there is nothing to draw.
    """
    if not found:
        raise ConfigError("found must be at least one optimisation, got none")
    ax = plt.gca() if ax is None else ax
    called = labels([one.relaxation for one in found])
    for one, name, style, marker in zip(found, called, _styles(len(found)), cycle(_MARKERS), strict=False):
        label = f"{name}, {one.loss.symbol}, {one.optimizer}, {one.schedule}"
        ax.plot(one.starts, one.ends, color=style["color"], label=label, **marker)
        ax.axhline(one.optimum.cut, color=style["color"], linewidth=1, linestyle="dotted")
    ends = [found[0].starts[0], found[0].starts[-1]]
    ax.plot(ends, ends, color=FILLS[2], linewidth=1, label="start")
    ax.set_xlabel("Start")
    ax.set_ylabel("End")
    ax.legend(frameon=False)
    return ax


def _draw(scans: Sequence[Scan], quantity: Callable[[Scan], Any], ax: Axes | None) -> Axes:
    ax = _axes(scans, ax)
    if len({found.loss.name for found in scans}) > 1:
        raise ConfigError(f"scans must be of one loss, got {sorted({found.loss.name for found in scans})}")
    called = labels([found.relaxation for found in scans])
    for found, label, style in zip(scans, called, _styles(len(scans)), strict=True):
        ax.plot(found.cuts, quantity(found), label=label, **style)
    ax.legend(frameon=False)
    return ax


def _axes(scans: Sequence[Scan], ax: Axes | None) -> Axes:
    if not scans:
        raise ConfigError("scans must be at least one, got none")
    ax = plt.gca() if ax is None else ax
    ax.set_xlabel(_CUT)
    ax.set_xlim(scans[0].cuts[0], scans[0].cuts[-1])
    return ax


def _size(found: Scan) -> Any:
    size = np.abs(found.gradients)
    return np.where(size > 0, size, np.nan) / size.max()


def _mark_best(scans: Sequence[Scan], ax: Axes) -> None:
    for found, style in zip(scans, _styles(len(scans)), strict=True):
        ax.axvline(found.cuts[found.best], color=style["color"], linewidth=1, linestyle="dotted")


def _styles(n: int) -> list[dict[str, Any]]:
    return [
        {"color": _COLORS[i % len(_COLORS)], "linestyle": _DASHES[i % len(_DASHES)], "linewidth": 2}
        for i in range(n)
    ]
