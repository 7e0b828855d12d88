"""Classifiers side by side, judged on the same events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
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
_EVENTS = "events"
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
        """Plain values for JSON; None for a number that is not finite, such as a rejection of everything."""
        return _plain(asdict(self))


def _plain(values: dict[Any, Any]) -> dict[Any, Any]:
    return {
        name: _plain(value)
        if isinstance(value, dict)
        else None
        if isinstance(value, float) and not isfinite(value)
        else value
        for name, value in values.items()
    }


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
    """The rows as a rich table; rows of one approach on several kinds of events stand together.

    Where it is too wide, an uncertainty goes below its number, and no number is cut.
    """
    headings, lines = headings_and_lines(rows)
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
    for heading in headings:
        table.add_column(heading, justify="right" if heading in rows[0].cells else "left", overflow="fold")
    for line in lines:
        table.add_row(*line)
    return table


def headings_and_lines(rows: Sequence[ComparisonRow]) -> tuple[list[str], list[list[str]]]:
    """Headings (m,) and lines of m words for a table; an approach is named in the first of its lines.

    Which events they are is a column where there are several kinds. Raises ``ConfigError`` where there are no
    rows, or rows of different numbers.
    """
    numbers = [list(row.cells) for row in rows]
    if not numbers or any(others != numbers[0] for others in numbers):
        raise ConfigError(f"rows must be one or more with the same numbers, got {numbers}")
    names = [row.approach for row in rows]
    columns = {
        "approach": [n if n != before else "" for before, n in zip([None, *names], names, strict=False)]
    }
    if len({row.events for row in rows}) > 1:
        columns[_EVENTS] = [row.events for row in rows]
    columns |= {heading: [row.cells[heading] for row in rows] for heading in numbers[0]}
    return list(columns), [list(line) for line in zip(*columns.values(), strict=True)]


def uncertainties_in_words(rows: Sequence[ComparisonRow]) -> str:
    """What the uncertainties of rows are, and how many events there are, in a sentence."""
    counts = {row.events: row.n_events for row in rows}
    listed = ", ".join(f"{count} {events}" for events, count in counts.items())
    return (
        f"Of {listed} events. Uncertainties are statistical; approaches that are judged on the same events "
        "share most of them."
    )
