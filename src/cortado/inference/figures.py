"""Figures of pulls and rankings, drawn by cabinetry, with names that can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cortado.figures import write_figure
from cortado.inference.expected import Findings
from cortado.inference.nuisances import Impact, Pull

_STATISTICS = re.compile(r"staterror_(.+)\[(\d+)\]")
_MOST_PULLS = 40
_BANDS = ("#fdf3c4", "#d3ebcd")  # of two standard deviations, and of one


def write_fit_figures(folder: str | Path, findings: Findings) -> list[Path]:
    """Write ``pulls`` and ``ranking_<strength>`` into ``folder``, as PNG and PDF.

    Without nuisance parameters there is nothing to draw. Returns the paths. Raises ``OutputError`` where a
    file cannot be written.
    """
    written = []
    if findings.pulls:
        with _cabinetry():
            written += write_figure(pulls_figure(findings.pulls), Path(folder) / "pulls")
    for strength, signal in findings.signals.items():
        if signal.ranking:
            with _cabinetry():
                figure = ranking_figure(strength, signal.ranking, findings.pulls)
                written += write_figure(figure, Path(folder) / f"ranking_{strength}")
    return written


def pulls_figure(pulls: Mapping[str, Pull]) -> Any:
    """The pulls of the parameters that the fit knows most about, in their own order."""
    from cabinetry import visualize
    from matplotlib.collections import PolyCollection

    shown = sorted(pulls, key=lambda name: _dull(pulls[name]))[:_MOST_PULLS]
    names = [name for name in pulls if name in shown]
    figure = visualize.plot_result.pulls(
        np.array([pulls[name].value for name in names]),
        np.array([pulls[name].uncertainty for name in names]),
        [in_words(name) for name in names],
    )
    (ax,) = figure.axes
    bands = (part for part in ax.collections if isinstance(part, PolyCollection))
    for band, colour in zip(bands, _BANDS, strict=True):
        band.set_color(colour)
    _show_all(ax, pulls, names)
    ax.set_xlabel(r"$(\hat{\theta} - \theta_0)\ /\ \Delta\theta$")
    return figure


def ranking_figure(strength: str, ranking: Mapping[str, Impact], pulls: Mapping[str, Pull]) -> Any:
    """The ranking of nuisance parameters by their impact on a strength, with their pulls."""
    from cabinetry import visualize

    impacts = ranking.values()
    figure = visualize.plot_result.ranking(
        np.array([pulls[name].value for name in ranking]),
        np.array([pulls[name].uncertainty for name in ranking]),
        [in_words(name) for name in ranking],
        np.array([impact.prefit_up for impact in impacts]),
        np.array([impact.prefit_down for impact in impacts]),
        np.array([impact.up for impact in impacts]),
        np.array([impact.down for impact in impacts]),
    )
    _show_all(figure.axes[0], pulls, list(ranking))
    figure.axes[1].set_xlabel(f"change of {strength}")
    return figure


def _show_all(ax: Any, pulls: Mapping[str, Pull], names: Sequence[str]) -> None:
    """Make the axis of pulls as wide as the largest of them, where that is wider than it is."""
    reach = 1.1 * max(abs(pulls[name].value) + pulls[name].uncertainty for name in names)
    if reach > ax.get_xlim()[1]:
        ax.set_xlim(-reach, reach)


def in_words(parameter: str) -> str:
    """The name of a parameter as a figure shows it."""
    if found := _STATISTICS.fullmatch(parameter):
        return f"simulation, {found[1]} bin {found[2]}"
    return parameter


def _dull(pull: Pull) -> float:
    """How near a parameter is to where it was before the fit, which had an uncertainty of 1."""
    return pull.uncertainty - abs(pull.value)


@contextmanager
def _cabinetry() -> Iterator[None]:
    """Cabinetry sets its style for good, and leaves its figures with pyplot."""
    import matplotlib.pyplot as plt

    before = set(plt.get_fignums())
    with plt.style.context("default"):
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)
