"""The main job: inspect, collect (pass 1), fit, fill (pass 2), write. Each stage leaves a file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
from coffea.nanoevents import BaseSchema, NanoAODSchema
from coffea.processor.executor import ExecutorBase

from cortado import export
from cortado._version import __version__
from cortado.categorizer import Categorizer, argmax_projections, equidistant
from cortado.columnar import (
    CategorySums,
    Collector,
    Dataset,
    Inventory,
    TemplateFiller,
    run_processor,
    take_inventory,
)
from cortado.columnar.probe import Probe, set_widths
from cortado.columnar.running import DEFAULT_CHUNK_SIZE
from cortado.config import Config, MetadataBranch, resolve_files
from cortado.errors import ConfigError, InputError
from cortado.files import write_text
from cortado.jobfolder import JobFolder
from cortado.normalisation import Normalisation, weight_factor
from cortado.report import SchemeRow, evaluate
from cortado.sample import Sample
from cortado.templates import DATA, Templates

if TYPE_CHECKING:
    from cortado.training.fit import Progress

LEARNED, EQUIDISTANT, ARGMAX = "learned", "equidistant", "argmax"


class Display:
    """What the job tells while it runs; this one is silent."""

    def stage(self, title: str) -> None:
        """A stage begins."""

    def skipped(self, title: str) -> None:
        """A stage was finished by an earlier run."""

    def loading(self) -> AbstractContextManager[None]:
        """A context for the import of TensorFlow, which takes seconds and writes to the terminal."""
        return nullcontext()

    def fitting(self, n_categories: int) -> AbstractContextManager[Progress | None]:
        """A context that gives the fit's progress function."""
        del n_categories
        return nullcontext(None)


@dataclass(frozen=True)
class Job:
    """A configuration bound to its files: what the stages work from."""

    config: Config
    datasets: tuple[Dataset, ...]
    processor_class: type
    description: dict[str, Any]

    @property
    def schema(self) -> type[BaseSchema]:
        """How coffea reads the files."""
        return NanoAODSchema if self.config.schema_ == "nanoaod" else BaseSchema

    @property
    def simulated(self) -> list[str]:
        """Names of the datasets that are not collision data."""
        return [name for name, d in self.config.datasets.items() if not d.is_data]

    def processor(self, sink: Any) -> Any:
        """The user's processor with its sink. Raises ``ConfigError`` if it does not take the options."""
        options = self.config.processor.options
        try:
            return self.processor_class(sink, **options)
        except Exception as error:  # a user's code can raise anything
            raise ConfigError(
                f"processor.options: {self.processor_class.__name__} cannot be made with {options}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def normalisation(self, inventory: Inventory) -> Normalisation:
        """Process and weight factor of each dataset, once Σw(generated) is known."""
        factors = {}
        for name, dataset in self.config.datasets.items():
            if dataset.xsec is None or dataset.sum_of_weights is None or self.config.luminosity is None:
                factors[name] = 1.0
                continue
            from_files = isinstance(dataset.sum_of_weights, MetadataBranch)
            total = inventory.sum_of_weights(name) if from_files else float(dataset.sum_of_weights)  # type: ignore[arg-type]
            if not total > 0:
                raise ConfigError(f"datasets.{name}.sum_of_weights: must be positive, the files give {total}")
            factors[name] = weight_factor(dataset.xsec, self.config.luminosity, total)
        processes = {name: d.process or DATA for name, d in self.config.datasets.items()}
        return Normalisation(processes, factors)


@dataclass(frozen=True, eq=False)
class JobResult:
    """What a finished job found: rows of significances per number of categories, and where its files are."""

    folder: Path
    rows: Mapping[int, list[SchemeRow]]
    uncategorised: Mapping[str, float]
    n_learned: Mapping[int, int]
    files: list[Path] = field(default_factory=list)


def prepare(config: Config, config_folder: Path, base: Path | None = None) -> Job:
    """Find the files and the processor. Relative paths start from ``base``, or else from the config's folder.

    Raises ``ConfigError`` for the processor and its options, ``InputError`` for files.
    """
    start = (base or config_folder).absolute()  # the workers of a cluster may live in another folder
    datasets = []
    for name, d in config.datasets.items():
        location = d.sum_of_weights
        datasets.append(
            Dataset(
                name,
                resolve_files(name, d.files, start),
                d.tree or config.tree,
                {"process": d.process or DATA, "is_mc": not d.is_data, "xsec": d.xsec},
                (location.tree, location.branch) if isinstance(location, MetadataBranch) else None,
            )
        )
    _refuse_double_counting(datasets)
    processor_class, source = load_processor(config.processor.class_, config_folder)
    description: dict[str, Any] = {
        "cortado": __version__,
        "config": config.model_dump(mode="json", by_alias=True),
        "processor": source,
        "files": {d.name: [_identify(d.name, path) for path in d.files] for d in datasets},
    }
    job = Job(config, tuple(datasets), processor_class, description)
    job.processor(Probe(config.discriminant))  # whether it takes the options, before anything is written
    return job


def run_job(
    job: Job,
    folder: Path,
    executor: ExecutorBase,
    *,
    force: bool = False,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    display: Display | None = None,
) -> JobResult:
    """Do the whole job, or what an interrupted run of it has left to do, into ``folder``.

    Raises ``OutputError`` if the folder is taken, and what the stages raise.
    """
    display = display or Display()
    claimed = JobFolder.claim(folder, job.description, force=force)
    stages = _Stages(job, claimed, executor, chunk_size, display)
    inventory = stages.inspect()
    normalisation = job.normalisation(inventory)
    sample = stages.collect(inventory, normalisation)
    learned = {n: stages.fit(n, sample) for n in job.config.categories}
    sums = stages.fill(inventory, sample, learned).normalise(normalisation)
    display.stage("Output")
    result = write_outputs(job, folder, learned, sums, sample)
    claimed.finish(job.description, result.files)
    return result


@dataclass(frozen=True)
class _Stages:
    """The stages, each skipped where its file exists."""

    job: Job
    folder: JobFolder
    executor: ExecutorBase
    chunk_size: int
    display: Display

    def inspect(self) -> Inventory:
        self.display.stage("Input files")
        features = self.job.config.discriminant
        return take_inventory(self.job.datasets, self.executor, self.job.processor(Probe(features)))

    def collect(self, inventory: Inventory, normalisation: Normalisation) -> Sample:
        """Pass 1: the normalised sample of all simulated datasets."""
        path = self.folder.stage_file("sample.npz")
        if path.exists():
            self.display.skipped("Pass 1")
            return Sample.load(path)
        self.display.stage("Pass 1: collecting the sample")
        job = self.job
        features = set_widths(
            job.config.discriminant, job.processor, inventory, self.executor, job.simulated, job.schema
        )
        collector = Collector(features, n_folds=job.config.fit.folds)
        part = run_processor(
            job.processor(collector),
            inventory.chunks(self.chunk_size, job.simulated),
            self.executor,
            schema=job.schema,
            description="Pass 1",
            returns=Sample,
        )
        raw = (collector.empty if part is None else part).checked(job.simulated)
        sample: Sample = raw.normalise(normalisation)
        sample.save(path)
        return sample

    def fit(self, n_categories: int, sample: Sample) -> Categorizer:
        """Train, or read what was trained."""
        path = self.folder.stage_file(f"categorizer-{n_categories}.json")
        title = f"Fit: {n_categories} categories"
        if path.exists():
            self.display.skipped(title)
            return Categorizer.load(path)
        self.display.stage(title)
        with self.display.loading():  # TensorFlow is imported here, not before
            from cortado.models import GaussianMixture
            from cortado.training import fit

        options = self.job.config.fit
        with self.display.fitting(n_categories) as progress:
            result = fit(
                GaussianMixture(n_categories),
                sample,
                self.job.config.objective,
                seed=options.seed,
                held_out=options.held_out_folds,
                steps=options.steps,
                starts=options.starts,
                progress=progress,
            )
        result.categorizer.save(path)
        return result.categorizer

    def fill(self, inventory: Inventory, sample: Sample, learned: Mapping[int, Categorizer]) -> CategorySums:
        """Pass 2: sums per category of every event, for the learned categories and the baselines."""
        path = self.folder.stage_file("sums.npz")
        if path.exists():
            self.display.skipped("Pass 2")
            return CategorySums.load(path)
        self.display.stage("Pass 2: filling the templates")
        ranges = feature_ranges(sample)
        categorizers: dict[str, Categorizer] = {}
        for n, categorizer in learned.items():
            baselines = {
                EQUIDISTANT: equidistant(sample.features, n, ranges),
                ARGMAX: argmax_projections(sample.features, n),
            }
            named = {LEARNED: categorizer} | {k: c for k, c in baselines.items() if c is not None}
            categorizers |= {f"{scheme}-{n}": c for scheme, c in named.items()}
        filler = TemplateFiller(categorizers, n_folds=self.job.config.fit.folds)
        part = run_processor(
            self.job.processor(filler),
            inventory.chunks(self.chunk_size),
            self.executor,
            schema=self.job.schema,
            description="Pass 2",
            returns=CategorySums,
        )
        sums: CategorySums = (filler.empty if part is None else part).checked()
        sums.save(path)
        return sums


def write_outputs(
    job: Job, folder: Path, learned: Mapping[int, Categorizer], sums: CategorySums, sample: Sample
) -> JobResult:
    """Write categorizers, templates, fit inputs, figures and summary; with several K, a folder for each."""
    from cortado.figures import write_figures  # matplotlib only where pictures are drawn

    config = job.config
    order = [*config.processes, *([DATA] if config.has_data else [])]
    files: list[Path] = []
    rows: dict[int, list[SchemeRow]] = {}
    results = []
    uncategorised: dict[str, float] = {}
    for n, categorizer in learned.items():
        place = folder if len(learned) == 1 else folder / f"K{n}"
        templates = sums.templates(f"{LEARNED}-{n}", processes=order)
        rows[n] = _scheme_rows(job, sums, n)
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
        files += write_figures(place, templates, config.signals, categorizer, coordinate_ranges(sample))
    summary = folder / "summary.json"
    write_text(summary, json.dumps(_summary(job, results, uncategorised), indent=1) + "\n")
    n_learned = {n: c.n_categories for n, c in learned.items()}
    return JobResult(folder, rows, uncategorised, n_learned, [*files, summary])


def _scheme_rows(job: Job, sums: CategorySums, n: int) -> list[SchemeRow]:
    fit = job.config.fit
    selections: list[tuple[str, tuple[int, ...] | None]] = [("training", fit.training_folds)]
    if fit.held_out_folds:
        selections.append(("held-out", fit.held_out_folds))
    selections.append(("all", None))
    rows = []
    for scheme in (LEARNED, EQUIDISTANT, ARGMAX):
        name = f"{scheme}-{n}"
        if name in sums.cells:
            for events, folds in selections:
                templates = sums.templates(name, folds=folds, events=events)
                rows.append(evaluate(scheme, events, templates.yields(), job.config.objective))
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
    job: Job, results: Sequence[Mapping[str, Any]], uncategorised: Mapping[str, float]
) -> dict[str, Any]:
    return {
        "format": "cortado-summary",
        "version": 1,
        "written_by": f"cortado {__version__}",
        "signals": list(job.config.signals),
        "combine": job.config.combine,
        "luminosity": job.config.luminosity,
        "uncategorised": dict(uncategorised),
        "results": list(results),
        "configuration": job.description["config"],
    }


def coordinate_ranges(sample: Sample) -> list[tuple[float, float]]:
    """Per coordinate, the range that holds the central 99 % of every process."""
    points = sample.points()
    ranges = []
    for u in points.place.T:
        order = np.argsort(u, kind="stable")
        low, high = np.inf, -np.inf
        for weight in np.clip(points.sumw, 0, None):
            share = np.cumsum(weight[order]) / weight.sum()
            low = min(low, float(u[order][np.searchsorted(share, 0.005)]))
            high = max(high, float(u[order][min(np.searchsorted(share, 0.995), len(u) - 1)]))
        ranges.append((low, high) if low < high else (low - 0.5, high + 0.5))
    return ranges


def feature_ranges(sample: Sample) -> dict[str, tuple[float, float]]:
    """The ranges of the features whose coordinates are the features themselves."""
    spans = dict(zip(sample.features.labels, coordinate_ranges(sample), strict=True))
    return {
        name: spans[name] for g in sample.features.coordinates if g.kind == "identity" for name in g.features
    }


def load_processor(name: str, config_folder: Path) -> tuple[type, str]:
    """The class ``module:Class`` or ``file.py:Class``, and a hash of its file.

    A class from a file is sent to the workers by value, since they cannot import it.
    Raises ``ConfigError`` if it cannot be had.
    """
    where, _, class_name = name.rpartition(":")
    try:
        module = (
            _module_from_file(config_folder / where)
            if where.endswith(".py")
            else importlib.import_module(where)
        )
    except Exception as error:  # importing a user's file runs their code
        raise ConfigError(
            f"processor.class: cannot import {where}: {type(error).__name__}: {error}"
        ) from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise ConfigError(f"processor.class: {where} has no class {class_name!r}")
    if not callable(getattr(found, "process", None)):
        raise ConfigError(
            f"processor.class: {class_name} in {where} has no method 'process', so it is no processor"
        )
    source = Path(str(module.__file__)).read_bytes() if module.__file__ else b""
    return found, hashlib.sha256(source).hexdigest()


def _module_from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"cortado_user_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module


def _identify(dataset: str, path: str) -> list[Any]:
    """What tells that a local file is still the same; nothing but its address for a remote one."""
    if "://" in path:
        return [path]
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise InputError(f"dataset {dataset!r}: cannot read {path}: {error.strerror}") from error
    return [path, stat.st_size, stat.st_mtime_ns]


def _refuse_double_counting(datasets: list[Dataset]) -> None:
    owner: dict[str, str] = {}
    for dataset in datasets:
        for path in dataset.files:
            file = path if "://" in path else str(Path(path).resolve())
            if file in owner:
                raise ConfigError(
                    f"datasets.{dataset.name}.files: {path} is in dataset {owner[file]!r} already; "
                    "its events would count twice"
                )
            owner[file] = dataset.name
