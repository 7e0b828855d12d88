"""What a finished job leaves: files for the fit, figures, and the summary of significances."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortado import export
from cortado._version import __version__
from cortado.categorizer import Categorizer
from cortado.columnar import CategorySums
from cortado.config import Config
from cortado.files import write_text
from cortado.report import SchemeRow, evaluate
from cortado.sample import Sample
from cortado.templates import DATA, Templates

LEARNED, EQUIDISTANT, ARGMAX = "learned", "equidistant", "argmax"
_MAP_TAIL = 0.005  # of each process, on either side, lies outside of the map


def scheme_name(scheme: str, n_categories: int) -> str:
    """The name of the sums of a scheme: learned, equidistant or argmax, for so many categories."""
    return f"{scheme}-{n_categories}"


@dataclass(frozen=True, eq=False)
class JobResult:
    """What a finished job found: rows of significances per number of categories, and where its files are."""

    folder: Path
    rows: Mapping[int, list[SchemeRow]]
    uncategorised: Mapping[str, float]
    n_learned: Mapping[int, int]
    files: list[Path] = field(default_factory=list)


def write_outputs(
    config: Config, folder: Path, learned: Mapping[int, Categorizer], sums: CategorySums, sample: Sample
) -> JobResult:
    """Write categorizers, templates, fit inputs, figures and summary; with several K, a folder for each.

    ``learned`` maps the K asked for to its categorizer; ``sums`` are normalised and hold, for each K, the
    schemes by :func:`scheme_name`.
    """
    from cortado.figures import write_figures  # matplotlib only where pictures are drawn

    ranges = sample.points().ranges(_MAP_TAIL)
    order = [*config.processes, *([DATA] if config.has_data else [])]
    files: list[Path] = []
    rows: dict[int, list[SchemeRow]] = {}
    results = []
    uncategorised: dict[str, float] = {}
    for n, categorizer in learned.items():
        place = folder if len(learned) == 1 else folder / f"K{n}"
        templates = sums.templates(scheme_name(LEARNED, n), processes=order)
        rows[n] = _scheme_rows(config, sums, n)
        results.append(_result(n, categorizer, rows[n], templates))
        uncategorised = dict(zip(templates.processes, templates.uncategorised[:, 0].tolist(), strict=True))
        categorizer.save(place / "categorizer.json")
        export.root(templates, place / "templates.root")
        export.pyhf(templates, signals=config.signals, path=place / "workspace.json")
        export.combine(templates, signals=config.signals, path=place / "datacard.txt")
        files += [
            place / f
            for f in ("categorizer.json", "templates.root", "workspace.json", "datacard.txt", "datacard.root")
        ]
        files += write_figures(place, templates, config.signals, categorizer, ranges)
    summary = folder / "summary.json"
    write_text(summary, json.dumps(_summary(config, results, uncategorised), indent=1) + "\n")
    n_learned = {n: c.n_categories for n, c in learned.items()}
    return JobResult(folder, rows, uncategorised, n_learned, [*files, summary])


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
                rows.append(evaluate(scheme, events, templates.yields(), config.objective))
    return rows


def _result(
    n: int, categorizer: Categorizer, rows: Sequence[SchemeRow], templates: Templates
) -> dict[str, Any]:
    return {
        "asked_for": n,
        "n_categories": categorizer.n_categories,
        "categorizer": categorizer.digest,
        "significances": [row.as_dict() for row in rows],
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
        "configuration": config.model_dump(mode="json", by_alias=True),
    }
