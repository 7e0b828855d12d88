"""The figures of a finished job as PNG and PDF files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import mplhep
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cortado.categorizer import Categorizer
from cortado.files import write_whole
from cortado.plotting import category_map, significance_curve, stack
from cortado.plotting.stack import show_edges
from cortado.report import SchemeRow
from cortado.templates import Templates

if TYPE_CHECKING:
    from cortado.exact import Limit

_OWN_STYLE: dict[str, Any] = {
    # Names may hold any letter: what the first font lacks, the second has.
    "font.family": ["sans-serif", "DejaVu Sans"],
    "font.size": 22,
    "legend.fontsize": 17,
    "legend.handlelength": 1.5,
    "legend.labelspacing": 0.35,
    "figure.facecolor": "white",
}
# Nothing that changes from one run to the next.
_METADATA: dict[str, dict[str, Any]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}}


@contextmanager
def figure_style() -> Iterator[None]:
    """The style of cortado's figures, for as long as the context lasts."""
    with plt.style.context([mplhep.style.ROOT, _OWN_STYLE]):
        yield


def write_figures(
    folder: str | Path,
    templates: Templates,
    signals: Sequence[str],
    categorizer: Categorizer,
    ranges: Sequence[tuple[float, float]],
    fixed: Sequence[float] | None = None,
) -> list[Path]:
    """Write the stacked plot of the categories and their map into ``folder``, each as PNG and PDF.

    ``ranges`` are the (low, high) of the coordinates: of the first two, which the map shows, or of all;
    ``fixed`` the values of the third and later ones (default: the middle of their ranges). Returns the paths.
    Raises ``OutputError`` where a file cannot be written; a file is written whole or not at all.
    """
    with figure_style():
        figures = {
            "stack": stack_figure(templates, signals),
            "category_map": map_figure(categorizer, ranges, fixed),
        }
        return [
            path for name, figure in figures.items() for path in write_figure(figure, Path(folder) / name)
        ]


def write_stacks(folder: str | Path, channels: Sequence[Templates], signals: Sequence[str]) -> list[Path]:
    """Write the stacked plot of every channel into ``folder``, ``stack_<channel>`` as PNG and PDF.

    Returns the paths. Raises ``OutputError`` as :func:`write_figures` does.
    """
    with figure_style():
        figures = {f"stack_{templates.channel}": stack_figure(templates, signals) for templates in channels}
        return [
            path for name, figure in figures.items() for path in write_figure(figure, Path(folder) / name)
        ]


def write_curve(folder: str | Path, rows: Sequence[SchemeRow], limit: Limit | None = None) -> list[Path]:
    """Write the significance against the number of categories into ``folder``, as PNG and PDF.

    Returns the paths. Raises ``OutputError`` as :func:`write_figures` does.
    """
    with figure_style():
        figure = _figure(10, 7.5)
        significance_curve(rows, limit, ax=figure.add_subplot())
        return write_figure(figure, Path(folder) / "significance")


def stack_figure(templates: Templates, signals: Sequence[str]) -> Figure:
    """The stacked plot of the categories, with data over background below where there are data.

    Categories are shown as a whole. A single one with an observable is shown in the bins of that, all of them
    equally wide, with their edges below.
    """
    binned = templates.observable if templates.n_categories == 1 else None
    shown = templates.without_observable if binned is None else templates.unrolled
    if templates.data is None:
        figure = _figure(10, 7.5)
        stack(shown, signals, ax=figure.add_subplot())
    else:
        figure = _figure(10, 9)
        upper, lower = figure.subplots(2, sharex=True, gridspec_kw={"height_ratios": [3, 1], "hspace": 0.08})
        stack(shown, signals, ax=upper, ratio_ax=lower)
        figure.align_ylabels([upper, lower])
    if binned is not None:
        show_edges(figure.axes[-1], binned)
    return figure


def map_figure(
    categorizer: Categorizer, ranges: Sequence[tuple[float, float]], fixed: Sequence[float] | None = None
) -> Figure:
    """The map of the categories."""
    figure = _figure(10, 9 if categorizer.features.dimensions > 1 else 3)
    category_map(categorizer, ax=figure.add_subplot(), ranges=ranges, fixed=fixed, resolution=600)
    return figure


def _figure(width: float, height: float) -> Figure:
    """A figure that no list of pyplot knows: it works without a display and is freed like any object."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def write_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as ``<stem>.png`` and ``<stem>.pdf``, each whole or not at all; the paths."""
    paths = []
    for kind, metadata in _METADATA.items():
        path = stem.with_name(f"{stem.name}.{kind}")
        with write_whole(path) as partial:
            figure.savefig(partial, format=kind, dpi=150, bbox_inches="tight", metadata=metadata)
        paths.append(path)
    return paths
