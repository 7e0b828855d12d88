"""What a user should know beside the tables of a job, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cortado.channels import ALL, HELD_OUT, Channels, untrained_folds
from cortado.checks import Finding
from cortado.config import LEARNED, Config
from cortado.report import SchemeRow, limit_in_words, reach_in_words
from cortado.sample import Sample
from cortado.templates import Templates

if TYPE_CHECKING:
    from cortado.exact import Limit, NoLimit, Split

_NOTED_DIFFERENCE = 1e-3  # between objectives on cells and on events
_MOST_OF_A_KIND = 3
_MINOR = ("empty bins", "small signal")  # they are common, and no fit stumbles over them


@dataclass(frozen=True)
class Compared:
    """The objective of hard categories on the training folds, on cells at their centroids and on events."""

    on_cells: float
    on_events: float

    @property
    def difference(self) -> float:
        """Relative to that on events."""
        return self.on_cells / self.on_events - 1 if self.on_events else 0.0


def of_the_limit(
    rows: Mapping[int, SchemeRow], limit: Limit | NoLimit, one_more: Mapping[int, Split]
) -> Iterator[str]:
    """What infinitely many categories would give, and what the learned ones (``rows``) reach of it."""
    from cortado.exact import NoLimit  # scipy only where it is needed

    if isinstance(limit, NoLimit):
        yield str(limit)
        return
    yield limit_in_words(limit)
    for n, split in one_more.items():
        yield reach_in_words(rows[n], limit, split)


def difference_to_all(rows: Sequence[SchemeRow]) -> dict[str, Any] | None:
    """By how much all events would give more than the held-out ones, relative to these: None without these.

    ``combined``, and the ``significances`` of each signal; None for one where the held-out events give 0.
    """
    learned = {row.events: row for row in rows if row.scheme == LEARNED}
    if HELD_OUT not in learned:
        return None
    quoted, everything = learned[HELD_OUT], learned[ALL]
    return {
        "combined": _relative(everything.combined, quoted.combined),
        "significances": {
            signal: _relative(everything.significances[signal], z)
            for signal, z in quoted.significances.items()
        },
    }


def _relative(value: float, reference: float) -> float | None:
    return value / reference - 1 if reference else None


def of_the_events(config: Config, rows: Mapping[int, Sequence[SchemeRow]]) -> Iterator[str]:
    """Which events the fit inputs hold, and what all events would give instead."""
    differences = {n: difference_to_all(r) for n, r in rows.items()}
    listed = [
        f"{100 * d['combined']:+.2g} % (K = {n})"
        for n, d in differences.items()
        if d is not None and d["combined"] is not None
    ]
    if listed:
        quantity = next(iter(rows.values()))[0].quantity
        more = (
            "" if config.maximise == "significance" else ", also as more simulated events are less uncertain"
        )
        yield (
            "The fit inputs hold the events that the categories were not trained on, scaled to the full "
            f"luminosity. All events would give a {quantity} that differs by {', '.join(listed)}{more}; "
            "their templates are in templates_all_events.root."
        )


def of_given_categorizers(channels: Channels) -> Iterator[str]:
    """Where the fit gets events of a channel that its categorizer, from a file, may have been trained on."""
    n_folds = channels.config.fit.folds
    for channel, categorizer in channels.given.items():
        training = categorizer.training
        if training is None or untrained_folds(categorizer, n_folds):
            continue
        if len(training.folds) == training.n_folds:
            reason = "was trained on every fold"
        else:
            reason = f"was trained on some of {training.n_folds} folds, and this job has {n_folds}"
        yield (
            f"The fit inputs hold all events of {channel}, whose categorizer {reason}: if it was trained on "
            "these events, what it promises there is too good."
        )


def of_the_data(channels: Sequence[Templates]) -> Iterator[str]:
    """Where collision data are not in all channels."""
    without = [t.channel for t in channels if t.data is None]
    if 0 < len(without) < len(channels):
        yield (
            f"There are no collision data in {', '.join(without)}, so that the fit inputs have Asimov data "
            "in all channels; templates.root has the data of the others."
        )


def of_the_cells(config: Config, sample: Sample, compared: Mapping[int, Compared]) -> Iterator[str]:
    """What the user should know where cells say something else than the events in them."""
    if config.trains_on_events:
        advice = "the training went on with the events"
    else:
        more = "more cells (fit.sample_cells)" if sample.doublings else "smaller cells"
        # Events are held without their variations.
        on_events = "" if config.nuisances else "training on events (fit.train_on), or "
        advice = f"{on_events}{more} would take it into account"
    for n, c in compared.items():
        if abs(c.difference) > _NOTED_DIFFERENCE:
            yield (
                f"K = {n}: on the training events the objective is {c.on_cells:.4f} as their cells say, and "
                f"{c.on_events:.4f} event by event ({100 * c.difference:+.2g} %); {advice}."
            )


def of_findings(findings: Mapping[int, Sequence[Finding]]) -> Iterator[str]:
    """What the checks found, some of each kind, each once; ``findings`` are by number of categories."""
    by_kind: dict[str, dict[str, list[int]]] = {}
    for n, of_n in findings.items():
        for finding in of_n:
            if finding.kind not in _MINOR:
                by_kind.setdefault(finding.kind, {}).setdefault(finding.message, []).append(n)
    told = dict(item for found in by_kind.values() for item in [*found.items()][:_MOST_OF_A_KIND])
    for message, numbers in told.items():
        everywhere = len(numbers) == len(findings)
        yield f"{message}." if everywhere else f"K = {', '.join(map(str, numbers))}: {message}."
    if more := sum(f.message not in told for of_n in findings.values() for f in of_n):
        yield f"Of the templates, summary.json lists {more} {'more findings' if told else 'minor findings'}."
