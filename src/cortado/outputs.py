"""What a finished job leaves: files for the fit, figures, and the summary of significances."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cortado import export, notes
from cortado._version import __version__
from cortado.categorizer import Categorizer
from cortado.channels import ALL, HELD_OUT, SCHEMES, Channels, for_a_fit, scheme_name
from cortado.checks import Finding, check_templates
from cortado.columnar import CategorySums
from cortado.config import LEARNED, Config
from cortado.export.combine_datacard import check_names
from cortado.export.pyhf_workspace import check_parameters
from cortado.files import write_text
from cortado.objectives import Yields, overtraining
from cortado.report import SchemeRow, evaluate
from cortado.sample import Sample
from cortado.templates import Templates
from cortado.variations import nuisances_of

if TYPE_CHECKING:
    from cortado.exact import Limit, Split

_FILES = (
    "categorizer.json",
    "templates.root",
    "workspace.json",
    "datacard.txt",
    "datacard.root",
    *(f"{figure}.{kind}" for figure in ("stack", "category_map") for kind in ("png", "pdf")),
)
_ALL_EVENTS = "templates_all_events.root"  # where the fit gets some of them
_SUMMARY = "summary.json"
_CURVE = ("significance.png", "significance.pdf")  # where there are several numbers of categories
_MAP_TAIL = 0.005  # of each process, on either side, lies outside of the map


@dataclass(frozen=True, eq=False)
class JobResult:
    """What a finished job found: rows of significances per number of categories, and where its files are.

    ``uncategorised`` is the yield of each process that has no category in the channel of the training,
    ``n_learned`` how many categories there are for each number asked for, ``findings`` what a fit may stumble
    over, ``notes`` what else the user should know, findings included. ``limit`` is what infinitely many
    categories would give, and ``one_more`` what another would add to each number of them; these are None and
    empty for a sample of a single fold.
    """

    folder: Path
    rows: Mapping[int, list[SchemeRow]]
    uncategorised: Mapping[str, float]
    n_learned: Mapping[int, int]
    notes: tuple[str, ...] = ()
    limit: Limit | None = None
    one_more: Mapping[int, Split] = field(default_factory=dict)
    findings: Mapping[int, list[Finding]] = field(default_factory=dict)


def planned_files(config: Config) -> list[str]:
    """The files that a job writes into its folder; with several K, those of each in a folder of its own."""
    others = [name for name in config.channels if name != config.training_channel]
    stacks = [f"stack_{name}.{kind}" for name in others for kind in ("png", "pdf")]
    each = [*_FILES, *stacks, *([_ALL_EVENTS] if config.fit.held_out_folds else [])]
    files = [str(_place(config, Path(), n) / name) for n in config.categories for name in each]
    return [*files, _SUMMARY, *(_CURVE if len(config.categories) > 1 else ())]


def write_outputs(
    channels: Channels, folder: Path, learned: Mapping[int, Categorizer], sums: CategorySums, sample: Sample
) -> JobResult:
    """Write categorizers, templates, figures, summary and fit inputs: the files of :func:`planned_files`.

    ``learned`` maps the K asked for to its categorizer; ``sums`` are normalised and hold the binnings of
    ``channels``. Names that make no fit are refused before anything is written, templates that make none
    last, when all else is.
    """
    from cortado.exact import NoLimit, best_split, limit_or_reason  # scipy only where it is needed
    from cortado.figures import (  # matplotlib only where pictures are drawn
        write_curve,
        write_figures,
        write_stacks,
    )

    config = channels.config
    ranges = sample.points().ranges(_MAP_TAIL)
    fits = {n: channels.templates(sums, n, c) for n, c in learned.items()}
    everything = {n: channels.templates(sums, n, c, all_events=True) for n, c in learned.items()}
    for of_fit in fits.values():
        _check_names(config, of_fit)
    rows = {n: _scheme_rows(config, sums, n) for n in learned}
    for n, categorizer in learned.items():
        place = _place(config, folder, n)
        categorizer.save(place / "categorizer.json")
        export.root(fits[n], place / "templates.root")
        if config.fit.held_out_folds:
            export.root(everything[n], place / _ALL_EVENTS)
        write_figures(place, _of_training(config, fits[n]), config.signals, categorizer, ranges)
        others = [templates for templates in fits[n] if templates.channel != config.training_channel]
        write_stacks(place, others, config.signals)
    some = _of_training(config, next(iter(everything.values())))
    uncategorised = dict(zip(some.processes, some.uncategorised[:, 0].tolist(), strict=True))
    compared = _compared(config, learned, sample, sums)
    rates = config.fit_model.rate_uncertainties
    findings = {
        n: check_templates(of_fit, config.signals, rate_uncertainties=rates) for n, of_fit in fits.items()
    }
    found = limit_or_reason(sample, config.objective)
    limit = None if isinstance(found, NoLimit) else found
    one_more = {n: best_split(sample, config.objective, c.rule) for n, c in learned.items() if limit}
    if len(learned) > 1:
        write_curve(folder, [row for n in learned for row in _on_folds(rows[n])], limit)
    results = [
        _result(n, categorizer, rows[n], compared[n])
        | _reached(rows[n], limit, one_more.get(n))
        | {"difference_to_all_events": notes.difference_to_all(rows[n])}
        | {"channels": {t.channel: _channel(t) for t in fits[n]}}
        | {"findings": [found.as_dict() for found in findings[n]]}
        for n, categorizer in learned.items()
    ]
    summary = _summary(config, results, uncategorised) | {"limit": limit and limit.as_dict()}
    write_text(folder / _SUMMARY, json.dumps(summary, indent=1) + "\n")
    for n, of_fit in fits.items():
        _write_fit_inputs(config, _place(config, folder, n), for_a_fit(of_fit))
    told = (
        *notes.of_the_limit({n: _on_folds(r)[-1] for n, r in rows.items()}, found, one_more),
        *notes.of_the_events(config, rows),
        *notes.of_given_categorizers(channels),
        *notes.of_the_data(next(iter(fits.values()))),
        *_overtraining_notes(config, sums),
        *notes.of_the_cells(config, sample, compared),
        *notes.of_findings(findings),
    )
    n_learned = {n: c.n_categories for n, c in learned.items()}
    return JobResult(folder, rows, uncategorised, n_learned, told, limit, one_more, findings)


def _check_names(config: Config, channels: Sequence[Templates]) -> None:
    """Raise ``ConfigError`` for names of variations that a fit cannot have, and groups of unknown ones."""
    varied = nuisances_of(variation for templates in channels for variation in templates.variations)
    nuisances = tuple(dict.fromkeys([*config.fit_model.rate_uncertainties, *varied]))
    check_names([*config.channels], config.fitted_processes, nuisances, config.fit_model.groups)
    check_parameters(config.signals, nuisances)


def _write_fit_inputs(config: Config, place: Path, channels: Sequence[Templates]) -> None:
    chosen, signals, card = config.fit_model, config.signals, place / "datacard.txt"
    export.pyhf(channels, signals=signals, path=place / "workspace.json", **chosen.options)
    export.combine(channels, signals=signals, path=card, groups=chosen.groups, **chosen.options)


def _of_training(config: Config, channels: Sequence[Templates]) -> Templates:
    """The templates of the channel that was learned from."""
    return next(t for t in channels if t.channel == config.training_channel)


def _compared(
    config: Config, learned: Mapping[int, Categorizer], sample: Sample, sums: CategorySums
) -> dict[int, notes.Compared]:
    folds, value = config.fit.training_folds, config.objective.value
    points = sample.points(folds, nuisances=config.nuisances)
    compared, whole = {}, sums.with_flow("fold")  # as the sample has events beyond the edges, too
    for n, categorizer in learned.items():
        on_cells = points.yields(categorizer.rule.assign(points.place), categorizer.n_categories)
        on_events = _yields(config, whole.templates(scheme_name(LEARNED, n), folds=folds))
        compared[n] = notes.Compared(value(on_cells), value(on_events))
    return compared


def _place(config: Config, folder: Path, n: int) -> Path:
    return folder if len(config.categories) == 1 else folder / f"K{n}"


def _on_folds(rows: Sequence[SchemeRow]) -> list[SchemeRow]:
    """What was learned: the row on training events and the other one on held-out events, if there are any."""
    return [row for row in rows if row.scheme == LEARNED and row.events in ("training", HELD_OUT)]


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


def _overtraining_notes(config: Config, sums: CategorySums) -> list[str]:
    fit, objective = config.fit, config.objective
    if not fit.held_out_folds:
        return []
    told = []
    for n in config.categories:
        training, held_out = (
            _yields(config, sums.templates(scheme_name(LEARNED, n), folds=folds))
            for folds in (fit.training_folds, fit.held_out_folds)
        )
        compared = overtraining(objective.value, training, held_out, seed=fit.seed)
        if compared.is_significant:
            told.append(f"K = {n}: {compared.in_words}.")
    return told


def _scheme_rows(config: Config, sums: CategorySums, n: int) -> list[SchemeRow]:
    """The significance of each scheme on training, held-out and all events; in bins, too, if learned."""
    fit = config.fit
    selections: list[tuple[str, tuple[int, ...] | None]] = [("training", fit.training_folds)]
    if fit.held_out_folds:
        selections.append((HELD_OUT, fit.held_out_folds))
    selections.append((ALL, None))
    rows = []
    for scheme in SCHEMES:
        if (name := scheme_name(scheme, n)) in sums.cells:
            of_scheme = [(e, sums.templates(name, folds=folds, events=e)) for e, folds in selections]
            rows += [evaluate(scheme, e, _yields(config, t), config.objective) for e, t in of_scheme]
            if scheme == LEARNED and (observable := of_scheme[0][1].observable) is not None:
                binned = f"{LEARNED}, {observable.name}"
                rows += [
                    evaluate(binned, e, t.yields(nuisances=config.nuisances), config.objective)
                    for e, t in of_scheme
                ]
    return rows


def _yields(config: Config, templates: Templates) -> Yields:
    """What the objective is a function of: the categories as a whole."""
    return templates.without_observable.yields(nuisances=config.nuisances)


def _result(
    n: int, categorizer: Categorizer, rows: Sequence[SchemeRow], compared: notes.Compared
) -> dict[str, Any]:
    return {
        "asked_for": n,
        "n_categories": categorizer.n_categories,
        "categorizer": categorizer.digest,
        "significances": [row.as_dict() for row in rows],
        "objective_on_cells": compared.on_cells,
        "objective_on_events": compared.on_events,
    }


def _channel(templates: Templates) -> dict[str, Any]:
    """What the fit gets of a channel."""
    observable = templates.observable
    return {
        "events": templates.events,
        "observable": observable and {"name": observable.name, "edges": observable.edges.tolist()},
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
