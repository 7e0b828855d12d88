"""Which relaxation of a cut, which loss, and where gradients die; what the choice does to learned bins.

    python examples/softcuts/softcuts.py OUT

writes figures, the scans as Parquet and CSV, and the tables of the pages as ``tables.json`` into OUT.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from rich.console import Console
from scipy.special import logit

import cortado as ct
from cortado import plotting, toys
from cortado.exact import optimal_boundaries
from cortado.figures import figure_style, write_figure
from cortado.files import write_text
from cortado.softcuts import (
    RELAXATIONS,
    Arrivals,
    CutEvents,
    Diagnosis,
    ErrorFunction,
    LinearRamp,
    Sigmoid,
    StraightThrough,
    arrivals,
    arrivals_table,
    diagnose,
    diagnosis_table,
    matched_relaxations,
    matched_width,
    scan_table,
    write_scans,
)
from cortado.softcuts.diagnostics import cells
from cortado.training import Constant, Exponential, Joined

K = 5
SEEDS = (1, 2, 3)
LOSSES = ("s/sqrt(b)", "cross entropy", "squares")
WIDTHS = {"narrow": Exponential(0.3, 0.05), "annealed": Exponential(3.0, 0.05)}
SCHEDULES = {
    "constant": None,
    "annealed from 8": Joined([Exponential(8.0, 1.0), Constant(1.0)], at=[0.7]),
}


def events() -> CutEvents:
    """A narrow signal beside a broad background, as in the notebook book that the numbers come from."""
    random = np.random.RandomState(19680801)
    signal = random.normal(5, 1, 10_000)
    return CutEvents(signal, random.normal(0, 4, 10_000))


def learned(shape: str, sample: ct.Sample, objective: Any, **options: Any) -> tuple[float, list[float]]:
    """The objective of the hard bins that are learned with a relaxation, and their boundaries."""
    model = ct.SigmoidCuts(K, relaxation=shape)
    result = ct.fit(model, sample, objective, starts=1, steps=300, **options)
    return float(objective(result.training)), model.boundaries().tolist()


def fits() -> dict[str, Any]:
    """Bins of the toy with one score: of every relaxation from random starts and from partitions."""
    made = toys.one_dimensional(seed=1, n_signal=20_000, n_background=200_000)
    sample = ct.Sample.from_arrays(toys.arrays(made), "logit", names=["score"], n_folds=1)
    objective = ct.Asimov("signal1")
    best = optimal_boundaries(sample.points(), objective, n_categories=K)
    found: dict[str, Any] = {"best": float(best.values[-1]), "edges": logit(best.feature_edges(K).ravel())}
    random = {"initialisation": "random", "learning_rate": Exponential(0.05, 0.003)}
    for shape in RELAXATIONS:
        runs = {
            name: [
                learned(shape, sample, objective, seed=seed, temperature=width, **random) for seed in SEEDS
            ]
            for name, width in WIDTHS.items()
        }
        found[shape] = {**runs, "partition": [learned(shape, sample, objective, seed=1)]}
    return found


def figure(draw: Callable[..., Axes], groups: list[Any]) -> Figure:
    """One panel a group, side by side."""
    made = Figure(figsize=(9 * len(groups), 7.5), layout="constrained")
    for axes, group in zip(np.ravel(made.subplots(1, len(groups))), groups, strict=True):
        draw(group, ax=axes)
    return made


def boundaries_figure(found: dict[str, Any]) -> Figure:
    """Boundaries of every relaxation from random starts, beside the best possible ones."""
    made = Figure(figsize=(18, 7.5), layout="constrained")
    for axes, width in zip(made.subplots(1, 2, sharey=True), WIDTHS, strict=True):
        for edge in found["edges"]:
            axes.axvline(edge, color="#717581", linestyle="dotted")
        for row, shape in enumerate(RELAXATIONS):
            for run, (_, edges) in enumerate(found[shape][width]):
                axes.plot(edges, np.full(len(edges), row + 0.2 * (run - 1)), "s^o"[run], color="#0b2a6f")
        axes.set_yticks(range(len(RELAXATIONS)), list(RELAXATIONS))
        axes.set_xlabel("Boundaries, logit of the score")
        axes.set_title(width)
        axes.set_xlim(found["edges"][0] - 13, found["edges"][-1] + 3)
        axes.yaxis.set_minor_locator(NullLocator())
    made.axes[0].invert_yaxis()
    return made


def diagnosis_rows(found: list[Diagnosis]) -> str:
    """Markdown: one row a relaxation and loss."""
    lines = [
        "| relaxation | loss | best cut | bias | S/√B kept | dead | zero in float32 | leads to it |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [f"| {d.relaxation} | {d.loss.symbol} | {' | '.join(cells(d))} |" for d in found]
    return "\n".join(lines)


def arrival_rows(found: list[Arrivals]) -> str:
    """Markdown: shares of the starts that arrive, a column for each optimizer and schedule."""
    ways = list(dict.fromkeys((a.optimizer, a.schedule) for a in found))
    lines = [
        "| relaxation | loss | " + " | ".join(f"{o}, {s}" for o, s in ways) + " |",
        "|---|---|" + "--:|" * len(ways),
    ]
    for pair in dict.fromkeys((a.relaxation, a.loss.symbol) for a in found):
        shares = {(a.optimizer, a.schedule): a.share for a in found if (a.relaxation, a.loss.symbol) == pair}
        row = " | ".join(f"{100 * shares[way]:.0f} %" for way in ways)
        lines.append(f"| {pair[0]} | {pair[1]} | {row} |")
    return "\n".join(lines)


def fit_rows(found: dict[str, Any]) -> str:
    """Markdown: objectives relative to the best possible ones, medians and ranges over the seeds."""
    lines = ["| relaxation | narrow | annealed | from the best partition |", "|---|--:|--:|--:|"]
    for shape in RELAXATIONS:
        shares = []
        for way in (*WIDTHS, "partition"):
            values = [value / found["best"] for value, _ in found[shape][way]]
            spread = f" ({min(values):.3f} … {max(values):.3f})" if len(values) > 1 else ""
            shares.append(f"{median(values):.3f}{spread}")
        lines.append(f"| {shape} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    """Everything, into the folder that is the argument."""
    out, console = Path(sys.argv[1]), Console(width=130)
    given = events()
    unit, narrow = ErrorFunction(), Sigmoid()
    units = diagnose(given, [unit, narrow], LOSSES)
    matched = diagnose(given, matched_relaxations(unit), LOSSES)
    scans = {loss: {d.relaxation.NAME: d.scan for d in matched if d.loss.name == loss} for loss in LOSSES}
    wide = {loss: {d.relaxation.NAME: d.scan for d in units if d.loss.name == loss} for loss in LOSSES}
    console.print(scan_table([*wide["cross entropy"].values()]))
    console.print(diagnosis_table([*units, *matched]))
    for found in units:
        console.print(str(found))
    for suffix in ("csv", "parquet"):
        write_scans(out / f"scans.{suffix}", [d.scan for d in [*units, *matched]])

    equal = Sigmoid(matched_width(Sigmoid, unit))
    arrived = arrivals(given, [unit, equal, narrow], LOSSES[:2], schedules=SCHEDULES, steps=300)
    console.print(arrivals_table(arrived))
    bins = fits()

    tables = {
        "unit": diagnosis_rows(units),
        "matched": diagnosis_rows(matched),
        "arrivals": arrival_rows(arrived),
        "fits": fit_rows(bins),
    }
    write_text(out / "tables.json", json.dumps(tables, ensure_ascii=False, indent=1) + "\n")
    chosen = [ErrorFunction.NAME, Sigmoid.NAME, LinearRamp.NAME, StraightThrough.NAME]
    driven = [a for a in arrived if a.optimizer == "Adam" and a.loss.name == "cross entropy"]
    with figure_style():
        figures = {
            "weights": figure(plotting.scan_weights, [[*scans["squares"].values()]]),
            "losses": figure(plotting.scan_losses, [[scans[loss][n] for n in chosen] for loss in LOSSES[:2]]),
            "gradients": figure(
                plotting.scan_gradients, [[scans[loss][n] for n in chosen[:3]] for loss in LOSSES[:2]]
            ),
            "gradient_sizes": figure(
                plotting.scan_gradient_sizes, [[*wide[loss].values()] for loss in LOSSES]
            ),
            "ends": figure(plotting.descent_ends, [driven[:2], driven[4:]]),
            "boundaries": boundaries_figure(bins),
        }
        for name, made in figures.items():
            write_figure(made, out / name)


if __name__ == "__main__":
    main()
