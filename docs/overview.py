"""The picture and the table of results in the README and these pages, from a finished demo.

    python docs/overview.py demo/results

draws ``docs/images/overview.png`` and rewrites the tables marked ``demo results``. With ``--htautau FOLDER``,
the results of that example, the table in its README is rewritten, too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marked import refresh
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from cortado import Categorizer
from cortado.figures import figure_style
from cortado.plotting import category_map, significance
from cortado.report import SchemeRow

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
SCHEMES = ("learned", "equidistant", "argmax")
EVENTS = ("held-out", "all")
DRAWN = 10  # the number of categories in the picture
RANGES = ((-6.0, 8.0), (-6.0, 6.0))  # of the two log-ratios, where signals and background meet

# What flows, and what makes the next thing out of it.
FLOW = (
    ("ROOT ntuples", "pass 1\ncoffea"),
    ("weighted\ncells", "fit\nTensorFlow"),
    ("categories", "pass 2\ncoffea, numpy"),
    ("templates", "export"),
    ("pyhf workspace,\ndatacard", ""),
)
_BOX: dict[str, Any] = {"boxstyle": "round,pad=0.45", "facecolor": "#e8f1fb", "edgecolor": "#3f90da"}
_ARROW: dict[str, Any] = {"arrowstyle": "-|>", "linewidth": 2.5, "facecolor": "black"}


def read_rows(results: Path) -> dict[int, list[SchemeRow]]:
    """The rows of ``summary.json`` by the number of categories that was asked for."""
    summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    return {r["asked_for"]: [SchemeRow(**row) for row in r["significances"]] for r in summary["results"]}


def table(rows: dict[int, list[SchemeRow]]) -> str:
    """Markdown: the combined significance of each scheme, a row for each K and kind of events."""
    lines = [f"| K | events | {' | '.join(SCHEMES)} |", "|---:|---|" + "---:|" * len(SCHEMES)]
    for n, of_n in rows.items():
        for events in EVENTS:
            found = {row.scheme: row for row in of_n if row.events == events}
            cells = [_number(found[scheme], n) for scheme in SCHEMES]
            lines.append(f"| {n if events == EVENTS[0] else ''} | {events} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(row: SchemeRow, asked_for: int) -> str:
    other = "" if row.n_categories == asked_for else f" ({row.n_categories} bins)"
    return f"{row.combined:.3f} ± {row.combined_uncertainty:.3f}{other}"


def detailed_table(rows: Sequence[SchemeRow]) -> str:
    """Markdown: every row with the significance of each signal."""
    signals = list(rows[0].significances)
    headings = ["", "events", *(f"Z {name}" for name in signals), "combined", "smallest background"]
    lines = [f"| {' | '.join(headings)} |", "|---|---|" + "---:|" * (len(headings) - 2)]
    for index, row in enumerate(rows):
        scheme = row.scheme if index == 0 or row.scheme != rows[index - 1].scheme else ""
        numbers = [f"{row.significances[name]:.2f}" for name in signals]
        combined = f"{row.combined:.2f} ± {row.combined_uncertainty:.2f}"
        lines.append(
            f"| {' | '.join([scheme, row.events, *numbers, combined, f'{row.min_background:.0f}'])} |"
        )
    return "\n".join(lines)


def draw(results: Path, rows: Sequence[SchemeRow], path: Path) -> None:
    """The data flow above; below it the categories of the toy and their significance beside the others'."""
    categorizer = Categorizer.load(results / f"K{DRAWN}" / "categorizer.json")
    with figure_style():
        figure = Figure(figsize=(20, 11))
        FigureCanvasAgg(figure)
        _flow(figure.add_axes((0.0, 0.84, 1.0, 0.16)))
        regions = figure.add_axes((0.08, 0.085, 0.42, 0.67))
        category_map(categorizer, ax=regions, ranges=RANGES, resolution=800)
        regions.set_title(f"{DRAWN} learned categories", loc="left")
        regions.yaxis.labelpad = 14
        bars = figure.add_axes((0.645, 0.085, 0.345, 0.67))
        significance([row for row in rows if row.events in EVENTS], ax=bars)
        bars.xaxis.set_major_locator(MultipleLocator(0.2))
        metadata = {"Software": None}  # nothing that changes from one run to the next
        figure.savefig(path, dpi=80, metadata=metadata, pil_kwargs={"optimize": True})


def _flow(ax: Axes) -> None:
    """Boxes for what flows, arrows for what makes the next thing of it."""
    ax.set_axis_off()
    ax.set_xlim(0, len(FLOW))
    ax.set_ylim(0, 1)
    for index, (thing, step) in enumerate(FLOW):
        ax.text(index + 0.5, 0.4, thing, ha="center", va="center", bbox=_BOX)
        if step:
            ax.annotate("", (index + 1.14, 0.4), (index + 0.86, 0.4), arrowprops=_ARROW)
            ax.text(index + 1.0, 0.55, step, ha="center", va="bottom", fontsize=19, linespacing=1.1)


def main() -> None:
    """Refresh picture and tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="the folder `results` of a finished demo")
    parser.add_argument("--htautau", type=Path, help="the finished output folder of examples/htautau")
    chosen = parser.parse_args()
    rows = read_rows(chosen.results)
    draw(chosen.results, rows[DRAWN], DOCS / "images" / "overview.png")
    for page in (ROOT / "README.md", DOCS / "outputs.md"):
        refresh(page, {"demo results": table(rows)})
    if chosen.htautau:
        found = json.loads((chosen.htautau / "comparison.json").read_text(encoding="utf-8"))
        of_example = [SchemeRow(**row) for row in found]
        page = ROOT / "examples" / "htautau" / "README.md"
        refresh(page, {"htautau results": detailed_table(of_example)})


if __name__ == "__main__":
    main()
