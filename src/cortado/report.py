"""Results in words and numbers: the significance of sets of categories, on which events, how uncertain."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from cortado.objectives import (
    MinEffectiveEvents,
    Objective,
    Significance,
    Term,
    Yields,
    as_objective,
    simulation_uncertainty,
)

if TYPE_CHECKING:
    from cortado.exact import Limit, Split

_WORTH_MENTION = 0.1
_MOST_CATEGORIES = 10


@dataclass(frozen=True)
class SchemeRow:
    """The significance of one set of categories on one set of events.

    ``events`` says which: "training", "held-out" or "all"; the former two are scaled to the full luminosity.
    ``combined`` is the objective without floors, ``combined_uncertainty`` its standard deviation from the
    finite simulation. ``symbol`` says what the numbers of the signals are: significances Z, or what else the
    objective is made of. ``without_background`` lists categories whose background is not positive; they
    contribute nothing.
    """

    scheme: str
    n_categories: int
    events: str
    significances: dict[str, float]
    combined: float
    combined_uncertainty: float
    min_background: float
    min_effective_events: float
    without_background: list[int]
    symbol: str = "Z"

    @property
    def quantity(self) -> str:
        """What the numbers of the signals are, in words."""
        return "significance" if self.symbol == "Z" else "precision"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def evaluate(scheme: str, events: str, yields: Yields, objective: Objective) -> SchemeRow:
    """Significances of hard categories from their yields (float64)."""
    named = objective.prepared(yields)
    background = named.total(named.backgrounds)
    effective = MinEffectiveEvents(0).level(named)
    return SchemeRow(
        scheme=scheme,
        n_categories=len(background),
        events=events,
        significances=significances(yields, objective),
        combined=objective.value(yields),
        combined_uncertainty=simulation_uncertainty(objective.value, yields),
        min_background=float(background.min()),
        min_effective_events=float(effective.min()),
        without_background=[int(k) for k in np.flatnonzero(background <= 0)],
        symbol=next((t.SYMBOL for t in objective.terms if isinstance(t, Significance)), "Z"),
    )


def significances(yields: Yields, objective: Objective) -> dict[str, float]:
    """The significance of each signal, from the yields of hard categories (float64)."""
    named = objective.prepared(yields)
    terms = [term for term in objective.terms if isinstance(term, Significance)]
    return {name: z for term in terms for name, z in term.each(named).items()}


def combination(objective: Objective) -> str:
    """In words, how the objective makes one significance of several."""
    kinds = [_words(t) for t in objective.terms if isinstance(t, Significance) and len(t.signals) > 1]
    return kinds[0] if len(kinds) == 1 else "combined"


def _words(term: Significance) -> str:
    words = {
        "geometric": "geometric mean",
        "quadrature": "quadrature sum",
        "minimum": "minimum",
        "sum": "sum",
        "determinant": "determinant",
    }
    return "weighted sum" if term.weights else words.get(str(term.combine), "combined")


def significance_table(rows: Sequence[SchemeRow], title: str, combined: str = "combined") -> Table:
    """The rows as a rich table.

    ``combined`` heads the column of the combined significance. The last columns are the smallest background
    and the smallest effective number of simulated background events, (Σw)²/Σw², of any category.
    """
    signals = list(rows[0].significances)
    # 80 columns are enough for two signals.
    table = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    headings = (
        "scheme",
        "K",
        "events",
        *(f"{rows[0].symbol} {name}" for name in signals),
        combined,
        "min B",
        "n_eff",
    )
    for heading in headings:
        table.add_column(
            heading, justify="left" if heading in ("scheme", "events") else "right", no_wrap=True
        )
    previous = None
    for row in rows:
        if previous is not None and row.scheme != previous:
            table.add_section()
        table.add_row(
            row.scheme if row.scheme != previous else "",
            str(row.n_categories) if row.scheme != previous else "",
            row.events,
            *(f"{row.significances[name]:.4f}" for name in signals),
            f"{row.combined:.4f} ± {row.combined_uncertainty:.4f}",
            _rounded(row.min_background),
            _rounded(row.min_effective_events),
        )
        previous = row.scheme
    if empty := [
        f"{r.scheme} ({r.events}): {_some(r.without_background)}" for r in rows if r.without_background
    ]:
        table.caption = "Without background, so without significance: " + "; ".join(empty)
    return table


def objectives_table(yields: Mapping[str, Yields], objectives: Mapping[str, Objective | Term]) -> Table:
    """A rich table of every objective, without floors, of every set of yields, both by their names.

    The yields hold the variations that the objectives ask for.
    """
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("categories")
    for name in objectives:
        table.add_column(name, justify="right")
    for name, found in yields.items():
        table.add_row(name, *(f"{as_objective(o).value(found):.4f}" for o in objectives.values()))
    return table


def _some(categories: Sequence[int]) -> str:
    shown = ", ".join(map(str, categories[:_MOST_CATEGORIES]))
    more = len(categories) - _MOST_CATEGORIES
    return f"[{shown}, … and {more} more]" if more > 0 else f"[{shown}]"


def _rounded(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def fit_rows(
    training: Yields, held_out: Yields | None, objective: Objective, counted: str = "cells"
) -> list[SchemeRow]:
    """Rows for the yields of a fit, on the cells of its sample or what else was ``counted``."""
    rows = [evaluate("learned", f"training {counted}", training, objective)]
    if held_out is not None:
        rows.append(evaluate("learned", f"held-out {counted}", held_out, objective))
    return rows


def limit_in_words(limit: Limit) -> str:
    """The bracket in a sentence, and what is not known about it."""
    would_give = f"Infinitely many categories would give {limit}"
    if not np.isfinite(limit.upper):
        return (
            f"{would_give}: simulated background is too rare to say how the ratio of signal to background "
            "varies; simulate more background."
        )
    rare = f"; up to {100 * limit.unresolved:.0f} % of Z² is where simulated background is too rare to see it"
    return (
        f"{would_give}. The upper bound assumes that each halving of the cells gains at most half as much as "
        f"the one before{rare if limit.unresolved >= _WORTH_MENTION else ''}."
    )


def reach_in_words(row: SchemeRow, limit: Limit, one_more: Split) -> str:
    """What some categories reach of the limit, and what one more would add, in a sentence."""
    least, most = (f"{100 * fraction:.1f}" for fraction in limit.fraction(row.combined))
    reached = f"{least} to {most} %" if np.isfinite(limit.upper) else f"at most {most} %"
    gain = f"{one_more.gain:.5f} ± {one_more.uncertainty:.5f}"
    more = (
        f"one more, split off from one of them, would add {gain}"
        if one_more.gain > 0
        else f"no split of one of them pays ({gain} on events that it was not chosen from)"
    )
    return (
        f"{row.n_categories} categories reach {reached} of that ({row.events}); {more}; a new training may "
        "find more."
    )


def limit_table(limit: Limit) -> Table:
    """The numbers behind a limit as a rich table, a row for each size of the cells."""
    table = Table(
        title="Limit of infinitely many categories",
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for heading in ("width", "cells", "cross-fitted", "corrected", "plug-in", "unresolved"):
        table.add_column(heading, justify="right", no_wrap=True)
    for size in limit.sizes:
        table.add_row(
            " × ".join(f"{width:g}" for width in size.widths),
            str(size.n_cells),
            f"{size.cross_fitted:.4f} ± {size.cross_fitted_uncertainty:.4f}",
            f"{size.corrected:.4f}",
            f"{size.plug_in:.4f} ± {size.plug_in_uncertainty:.4f}",
            f"{100 * size.unresolved:.1f} %",
        )
    table.caption = f"The limit is {limit}."
    return table


def to_text(table: Table, width: int = 120) -> str:
    """A rich table as plain text."""
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None).print(table)
    return buffer.getvalue().rstrip()
