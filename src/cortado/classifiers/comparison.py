"""Classifiers side by side, judged on the same events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from cortado.classifiers.performance import (
    BestCut,
    Expectation,
    Measured,
    Predictions,
    Rejection,
    accuracy,
    auc,
    max_significance,
    rejection_at_efficiency,
)
from cortado.classifiers.performance.bootstrap import N_REPLICAS
from cortado.classifiers.performance.expectation import FROM_WEIGHTS
from cortado.classifiers.performance.measured import with_uncertainty
from cortado.classifiers.performance.predictions import Signal
from cortado.errors import ConfigError

EFFICIENCIES = (0.5, 0.99)
_SYMBOLS = {"asimov": "max Z", "s/sqrt(b)": "max S/√B", "s/sqrt(s+b)": "max S/√(S+B)"}


@dataclass(frozen=True)
class ComparisonRow:
    """How good one approach is on some events.

    ``events`` says which, such as "held-out" or "training", ``n_events`` how many. ``kind`` is that of the
    significance; ``rejections`` are by signal efficiency.
    """

    approach: str
    events: str
    n_events: int
    accuracy: Measured
    auc: Measured
    significance: BestCut
    kind: str
    rejections: dict[float, Rejection]

    @property
    def cells(self) -> dict[str, str]:
        """The numbers with their uncertainties in words, by their headings in a table."""
        found = {
            "accuracy": str(self.accuracy),
            "AUC": str(self.auc),
            _SYMBOLS[self.kind]: with_uncertainty(self.significance.value, self.significance.uncertainty),
        }
        for efficiency, rejection in self.rejections.items():
            heading = f"1/ε_B at {100 * efficiency:g} %"
            found[heading] = with_uncertainty(rejection.value, rejection.uncertainty)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def compare(
    predictions: Mapping[str, Predictions],
    *,
    events: str,
    signal: Signal = None,
    expectation: Expectation = FROM_WEIGHTS,
    efficiencies: Sequence[float] = EFFICIENCIES,
    n_replicas: int = N_REPLICAS,
    seed: int = 0,
) -> list[ComparisonRow]:
    """A row for each approach, from what it predicts of the same events.

    Parameters
    ----------
    predictions
        By the name of the approach, in the same order of events.
    events
        Which events these are, as tables say it: "held-out", "training".
    signal
        The classes that are signal; the second of two without it.
    expectation
        Which significance of which yields; the Asimov one of the sums of the weights without it.
    efficiencies
        Of the signal, at which background rejections are given.
    n_replicas, seed
        Of the bootstrap for the uncertainties of significances and rejections. All approaches see the same
        replicas of the events.

    Raises
    ------
    ConfigError
        Without predictions, where approaches are judged on different events, and for wrong arguments.
    InputError
        As :func:`roc_curve` and :func:`max_significance` do.
    """
    if not predictions:
        raise ConfigError("predictions must be of at least one approach, got none")
    first, *others = predictions
    for name in others:
        if not _same_events(predictions[first], predictions[name]):
            raise ConfigError(
                "predictions must be of the same events in the same order, those of "
                f"{first!r} and {name!r} differ"
            )
    bootstrap = {"n_replicas": n_replicas, "seed": seed}
    return [
        ComparisonRow(
            approach=name,
            events=events,
            n_events=len(found),
            accuracy=accuracy(found),
            auc=auc(found, signal),
            significance=max_significance(found, signal, expectation=expectation, **bootstrap),
            kind=expectation.kind,
            rejections={e: rejection_at_efficiency(found, e, signal, **bootstrap) for e in efficiencies},
        )
        for name, found in predictions.items()
    ]


def _same_events(a: Predictions, b: Predictions) -> bool:
    return np.array_equal(a.y, b.y) and np.array_equal(a.weight, b.weight)


def comparison_table(rows: Sequence[ComparisonRow], title: str = "Comparison of classifiers") -> Table:
    """The rows as a rich table; rows of one approach on several kinds of events stand together."""
    table = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption=uncertainties_in_words(rows),
        caption_justify="left",
    )
    headings = check_rows(rows)
    for heading in ("approach", "events", *headings):
        table.add_column(heading, justify="right" if heading in headings else "left", no_wrap=True)
    previous = None
    for row in rows:
        table.add_row(row.approach if row.approach != previous else "", row.events, *row.cells.values())
        previous = row.approach
    return table


def check_rows(rows: Sequence[ComparisonRow]) -> list[str]:
    """What all rows have numbers of; ``ConfigError`` where there are none, or rows of different numbers."""
    headings = [list(row.cells) for row in rows]
    if not headings or any(others != headings[0] for others in headings):
        raise ConfigError(f"rows must be one or more with the same numbers, got {headings}")
    return headings[0]


def uncertainties_in_words(rows: Sequence[ComparisonRow]) -> str:
    """What the uncertainties of rows are, and how many events there are, in a sentence."""
    counts = {row.events: row.n_events for row in rows}
    listed = ", ".join(f"{count} {events}" for events, count in counts.items())
    return (
        f"Of {listed} events. Uncertainties are statistical; approaches that are judged on the same events "
        "share most of them."
    )
