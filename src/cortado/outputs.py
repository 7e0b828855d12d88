"""What a finished job leaves: files for the fit, figures, and the summary of significances."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cortado import export
from cortado._version import __version__
from cortado.categorizer import Categorizer
from cortado.cells import NOMINAL
from cortado.columnar import CategorySums
from cortado.config import Config
from cortado.files import write_text
from cortado.objectives import Yields, overtraining
from cortado.report import SchemeRow, evaluate, limit_in_words, reach_in_words
from cortado.sample import Sample
from cortado.templates import DATA, Templates
from cortado.variations import nuisances_of, sides_of

if TYPE_CHECKING:
    from cortado.exact import Limit, Split

LEARNED, EQUIDISTANT, ARGMAX = "learned", "equidistant", "argmax"
_FILES = (
    "categorizer.json",
    "templates.root",
    "workspace.json",
    "datacard.txt",
    "datacard.root",
    *(f"{figure}.{kind}" for figure in ("stack", "category_map") for kind in ("png", "pdf")),
)
_SUMMARY = "summary.json"
_NOTED_DIFFERENCE = 1e-3  # between objectives on cells and on events
_CURVE = ("significance.png", "significance.pdf")  # where there are several numbers of categories
_MAP_TAIL = 0.005  # of each process, on either side, lies outside of the map


def scheme_name(scheme: str, n_categories: int) -> str:
    """The name of the sums of a scheme: learned, equidistant or argmax, for so many categories."""
    return f"{scheme}-{n_categories}"


@dataclass(frozen=True, eq=False)
class JobResult:
    """What a finished job found: rows of significances per number of categories, and where its files are.

    ``uncategorised`` is the yield of each process that has no category, ``n_learned`` how many categories
    there are for each number asked for, ``notes`` what else the user should know. ``limit`` is what
    infinitely many categories would give, and ``one_more`` what another would add to each number of them;
    these are None and empty for a sample of a single fold.
    """

    folder: Path
    rows: Mapping[int, list[SchemeRow]]
    uncategorised: Mapping[str, float]
    n_learned: Mapping[int, int]
    notes: tuple[str, ...] = ()
    limit: Limit | None = None
    one_more: Mapping[int, Split] = field(default_factory=dict)


def planned_files(config: Config) -> list[str]:
    """The files that a job writes into its folder; with several K, those of each in a folder of its own."""
    files = [str(_place(config, Path(), n) / name) for n in config.categories for name in _FILES]
    return [*files, _SUMMARY, *(_CURVE if len(config.categories) > 1 else ())]


def write_outputs(
    config: Config, folder: Path, learned: Mapping[int, Categorizer], sums: CategorySums, sample: Sample
) -> JobResult:
    """Write categorizers, templates, figures, summary and fit inputs: the files of :func:`planned_files`.

    ``learned`` maps the K asked for to its categorizer; ``sums`` are normalised and hold, for each K, the
    schemes by :func:`scheme_name`. Templates that make no fit are refused last, when all else is written.
    """
    from cortado.exact import best_split, limit_or_none  # scipy only where it is needed
    from cortado.figures import write_curve, write_figures  # matplotlib only where pictures are drawn

    ranges = sample.points().ranges(_MAP_TAIL)
    order = [*config.processes, *([DATA] if config.has_data else [])]
    all_events = {n: sums.templates(scheme_name(LEARNED, n), processes=order) for n in learned}
    rows = {n: _scheme_rows(config, sums, n) for n in learned}
    for n, templates in all_events.items():
        place = _place(config, folder, n)
        learned[n].save(place / "categorizer.json")
        export.root(templates, place / "templates.root")
        write_figures(place, templates, config.signals, learned[n], ranges)
    some = next(iter(all_events.values()))
    uncategorised = dict(zip(some.processes, some.uncategorised[:, 0].tolist(), strict=True))
    compared = _compared(config, learned, sample, sums)
    limit = limit_or_none(sample, config.objective)
    one_more = {n: best_split(sample, config.objective, c.rule) for n, c in learned.items() if limit}
    if len(learned) > 1:
        write_curve(folder, [row for n in learned for row in _learned(rows[n])], limit)
    results = [
        _result(n, learned[n], rows[n], templates, compared[n]) | _reached(rows[n], limit, one_more.get(n))
        for n, templates in all_events.items()
    ]
    summary = _summary(config, results, uncategorised) | {"limit": limit and limit.as_dict()}
    write_text(folder / _SUMMARY, json.dumps(summary, indent=1) + "\n")
    for n, templates in all_events.items():
        place = _place(config, folder, n)
        chosen = config.fit_model
        export.pyhf(templates, signals=config.signals, path=place / "workspace.json", **chosen.options)
        card = place / "datacard.txt"
        export.combine(templates, signals=config.signals, path=card, groups=chosen.groups, **chosen.options)
    n_learned = {n: c.n_categories for n, c in learned.items()}
    notes = (
        *_limit_notes(rows, limit, one_more),
        *_notes(some),
        *_overtraining_notes(config, sums),
        *_compression_notes(config, sample, compared),
    )
    return JobResult(folder, rows, uncategorised, n_learned, notes, limit, one_more)


@dataclass(frozen=True)
class _Compared:
    """The objective of hard categories on the training folds, on cells at their centroids and on events."""

    on_cells: float
    on_events: float

    @property
    def difference(self) -> float:
        """Relative to that on events."""
        return self.on_cells / self.on_events - 1 if self.on_events else 0.0


def _compared(
    config: Config, learned: Mapping[int, Categorizer], sample: Sample, sums: CategorySums
) -> dict[int, _Compared]:
    folds, value = config.fit.training_folds, config.objective.value
    points = sample.points(folds)
    compared = {}
    for n, categorizer in learned.items():
        on_cells = points.yields(categorizer.rule.assign(points.place), categorizer.n_categories)
        on_events = sums.templates(scheme_name(LEARNED, n), folds=folds, events="training").yields()
        compared[n] = _Compared(value(on_cells), value(on_events))
    return compared


def _compression_notes(config: Config, sample: Sample, compared: Mapping[int, _Compared]) -> Iterator[str]:
    """What the user should know where cells say something else than the events in them."""
    if config.trains_on_events:
        advice = "the training went on with the events"
    elif sample.doublings:
        advice = (
            "training on events (fit.train_on), or more cells (fit.sample_cells), would take it into account"
        )
    else:
        advice = "training on events (fit.train_on), or smaller cells, would take it into account"
    for n, c in compared.items():
        if abs(c.difference) > _NOTED_DIFFERENCE:
            yield (
                f"K = {n}: on the training events the objective is {c.on_cells:.4f} as their cells say, and "
                f"{c.on_events:.4f} event by event ({100 * c.difference:+.2g} %); {advice}."
            )


def _place(config: Config, folder: Path, n: int) -> Path:
    return folder if len(config.categories) == 1 else folder / f"K{n}"


def _notes(templates: Templates) -> tuple[str, ...]:
    varied = [variation for variation in templates.variations if variation != NOMINAL]
    alone = [n for n in nuisances_of(varied) if not {*sides_of(n, varied)} <= {*varied}]
    if not alone:
        return ()
    return (
        f"Only one side of {', '.join(alone)} was filled: in the fit inputs, the other is its mirror image.",
    )


def _learned(rows: Sequence[SchemeRow]) -> list[SchemeRow]:
    """What was learned: the row on training events and the other one on held-out events, if there are any."""
    return [row for row in rows if row.scheme == LEARNED and row.events in ("training", "held-out")]


def _limit_notes(
    rows: Mapping[int, Sequence[SchemeRow]], limit: Limit | None, one_more: Mapping[int, Split]
) -> Iterator[str]:
    if limit is not None:
        yield limit_in_words(limit)
        for n, split in one_more.items():
            yield reach_in_words(_learned(rows[n])[-1], limit, split)


def _reached(rows: Sequence[SchemeRow], limit: Limit | None, one_more: Split | None) -> dict[str, Any]:
    """What the summary says about the limit for one number of categories."""
    if limit is None or one_more is None:
        return {"of_limit": None, "one_more": None}
    fractions = {row.events: limit.fraction(row.combined) for row in rows if row.scheme == LEARNED}
    return {
        "of_limit": {
            events: [least, most if np.isfinite(most) else None]
            for events, (least, most) in fractions.items()
        },
        "one_more": asdict(one_more),
    }


def _overtraining_notes(config: Config, sums: CategorySums) -> Iterator[str]:
    fit, objective = config.fit, config.objective
    if not fit.held_out_folds:
        return
    for n in config.categories:
        training, held_out = (
            _yields(config, sums.templates(scheme_name(LEARNED, n), folds=folds, events=events))
            for events, folds in (("training", fit.training_folds), ("held-out", fit.held_out_folds))
        )
        compared = overtraining(objective.value, training, held_out, seed=fit.seed)
        if compared.is_significant:
            yield f"K = {n}: {compared.in_words}."


def _scheme_rows(config: Config, sums: CategorySums, n: int) -> list[SchemeRow]:
    fit = config.fit
    selections: list[tuple[str, tuple[int, ...] | None]] = [("training", fit.training_folds)]
    if fit.held_out_folds:
        selections.append(("held-out", fit.held_out_folds))
    selections.append(("all", None))
    rows = []
    for scheme in (LEARNED, EQUIDISTANT, ARGMAX):
        name = scheme_name(scheme, n)
        if name in sums.cells:
            for events, folds in selections:
                templates = sums.templates(name, folds=folds, events=events)
                rows.append(evaluate(scheme, events, _yields(config, templates), config.objective))
    return rows


def _yields(config: Config, templates: Templates) -> Yields:
    """What the objective is a function of."""
    return templates.yields(nuisances=config.nuisances)


def _result(
    n: int, categorizer: Categorizer, rows: Sequence[SchemeRow], templates: Templates, compared: _Compared
) -> dict[str, Any]:
    return {
        "asked_for": n,
        "n_categories": categorizer.n_categories,
        "categorizer": categorizer.digest,
        "significances": [row.as_dict() for row in rows],
        "objective_on_cells": compared.on_cells,
        "objective_on_events": compared.on_events,
        "yields": {process: templates.values(process).tolist() for process in templates.processes},
    }


def _summary(
    config: Config, results: Sequence[Mapping[str, Any]], uncategorised: Mapping[str, float]
) -> dict[str, Any]:
    return {
        "format": "cortado-summary",
        "version": 1,
        "written_by": f"cortado {__version__}",
        "signals": list(config.signals),
        "combine": config.combine,
        "luminosity": config.luminosity,
        "uncategorised": dict(uncategorised),
        "results": list(results),
        "configuration": config.model_dump(mode="json", by_alias=True, exclude={"output"}),
    }
