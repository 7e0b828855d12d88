"""The main job: inspect, collect (pass 1), fit, fill (pass 2), write. Each stage leaves a file."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coffea.nanoevents import BaseSchema, NanoAODSchema
from coffea.processor.executor import ExecutorBase

from cortado._version import __version__
from cortado.categorizer import Categorizer, argmax_projections, equidistant
from cortado.categorizer.baselines import even_factors
from cortado.channels import ARGMAX, EQUIDISTANT, Channels
from cortado.columnar import (
    CategorySums,
    Collected,
    Collector,
    Dataset,
    EventCollector,
    Inventory,
    TemplateFiller,
    run_processor,
    take_inventory,
)
from cortado.columnar.datasets import DEFAULT_CHUNK_SIZE, resolve_files
from cortado.columnar.loading import load_processor
from cortado.columnar.probe import Probe, set_widths
from cortado.config import FILLING_KEYS, LEARNED, OUTPUT_KEYS, Config, MetadataBranch
from cortado.coordinates import Features
from cortado.errors import ConfigError, InputError, TrainingError
from cortado.event_sample import EventSample
from cortado.jobfolder import JobFolder
from cortado.normalisation import Normalisation
from cortado.outputs import JobResult, planned_files, write_outputs
from cortado.sample import Sample

if TYPE_CHECKING:
    from cortado.models import Model
    from cortado.training.fit import Progress

# What decides nothing but some stages or none: by key of the description of a job, the files of these stages.
_SUMS = "sums.npz"
_LATE = {"filling": (_SUMS,), "output": ()}
_BASELINE_TAIL = 0.05  # of each process, on either side, lies in the outer equidistant bins


class Display:
    """What the job tells while it runs; this one is silent."""

    def stage(self, title: str) -> None:
        """A stage begins."""

    def skipped(self, title: str) -> None:
        """A stage was finished by an earlier run."""

    def warn(self, message: str) -> None:
        """Something needs attention."""

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
    channels: Channels
    datasets: tuple[Dataset, ...]
    processor_class: type
    description: dict[str, Any]

    @property
    def schema(self) -> type[BaseSchema]:
        """How coffea reads the files."""
        return NanoAODSchema if self.config.schema_ == "nanoaod" else BaseSchema

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
                tree=d.tree or config.tree,
                sum_of_weights=(location.tree, location.branch)
                if isinstance(location, MetadataBranch)
                else location,
                process=d.process,
                xsec=d.xsec,
                is_data=d.is_data,
                era=d.era,
                metadata=d.metadata,
            )
        )
    _refuse_double_counting(datasets)
    processor_class, source = load_processor(config.processor.class_, config_folder)
    paths = {name: config_folder / c.path for name, c in config.channels.items() if c.path}
    channels = Channels(config, {name: Categorizer.load(path) for name, path in paths.items()})
    content = config.model_dump(mode="json", by_alias=True, exclude={"output"})
    description: dict[str, Any] = {
        "cortado": __version__,
        "config": {key: value for key, value in content.items() if key not in (*FILLING_KEYS, *OUTPUT_KEYS)},
        "channels": {name: name == config.training_channel for name in config.channels},
        "processor": source,
        "files": {d.name: [_identify(d.name, path) for path in d.files] for d in datasets},
        "filling": {key: content[key] for key in FILLING_KEYS}
        | {"categorizers": {n: hashlib.sha256(path.read_bytes()).hexdigest() for n, path in paths.items()}},
        "output": {key: content[key] for key in OUTPUT_KEYS},
    }
    job = Job(config, channels, tuple(datasets), processor_class, description)
    # Whether it takes the options, before anything is written; and what it reads beside the events.
    processor = job.processor(Probe(config.discriminant, channels.columns))
    digest = getattr(processor, "digest", None)
    return job if digest is None else replace(job, description=description | {"processor_reads": digest})


def run_job(
    job: Job,
    folder: Path,
    executor: ExecutorBase,
    *,
    force: bool = False,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    display: Display | None = None,
) -> JobResult:
    """Do the whole job, or what an earlier run of it has left to do, into ``folder``.

    Raises ``OutputError`` if the folder is taken, and what the stages raise.
    """
    display = display or Display()
    planned = planned_files(job.config)
    claimed = JobFolder.claim(folder, job.description, planned, late=_LATE, force=force)
    stages = _Stages(job, claimed, executor, chunk_size, display)
    inventory = stages.inspect()
    normalisation = inventory.normalisation(job.config.luminosity, job.config.eras)
    sample = stages.collect(inventory, normalisation)
    events = stages.events(normalisation)
    learned = {n: stages.fit(n, sample, events) for n in job.config.categories}
    sums = stages.fill(inventory, sample, learned).normalise(normalisation)
    display.stage("Output")
    result = write_outputs(job.channels, folder, learned, sums, sample)
    claimed.finish(job.description, planned)
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
        probe = Probe(self.job.config.discriminant, self.job.channels.columns)
        return take_inventory(self.job.datasets, self.executor, self.job.processor(probe))

    def collect(self, inventory: Inventory, normalisation: Normalisation) -> Sample:
        """Pass 1: the normalised sample of all simulated datasets, in the channel to learn from."""
        path = self.folder.stage_file("sample.npz")
        if path.exists():
            self.display.skipped("Pass 1")
            return Sample.load(path)
        self.display.stage("Pass 1: collecting the sample")
        job = self.job
        channel = job.config.training_channel
        features = set_widths(
            job.config.discriminant,
            job.processor,
            inventory,
            self.executor,
            inventory.simulated,
            job.schema,
            channel,
        )
        fit = job.config.fit
        collector = Collector(
            features,
            n_folds=fit.folds,
            max_cells=fit.sample_cells,
            channel=channel,
            declared=tuple(job.config.channels),
        )
        if job.config.trains_on_events:
            raw = self._with_events(collector, inventory)
        else:
            raw = self._pass_1(collector, inventory, Sample)
        if not raw.cells.sources:
            raise InputError(
                f"no event with all features was selected in channel {channel!r}, "
                "from which categories are learned"
            )
        # A background may be there for other channels alone.
        expected = job.config.processes if len(job.config.channels) == 1 else job.config.signals
        sample = raw.normalise(normalisation).checked(expected)
        sample.save(path)
        return sample

    def _pass_1(self, sink: Any, inventory: Inventory, returns: type) -> Any:
        part = run_processor(
            self.job.processor(sink),
            inventory.chunks(self.chunk_size, inventory.simulated),
            self.executor,
            schema=self.job.schema,
            description="Pass 1",
            returns=returns,
        )
        return sink.empty if part is None else part

    def _with_events(self, collector: Collector, inventory: Inventory) -> Sample:
        """The sample; the events behind it are left in files of the stage."""
        parts, whole = self.folder.stage_file(".parts"), self.folder.stage_file("events")
        for left_behind in (parts, whole):
            shutil.rmtree(left_behind, ignore_errors=True)
        try:
            sink = EventCollector(collector, parts, self.job.config.training_channel)
            collected: Collected = self._pass_1(sink, inventory, Collected)
            collected.events.save(whole)
        finally:
            shutil.rmtree(parts, ignore_errors=True)
        return collected.sample

    def events(self, normalisation: Normalisation) -> EventSample | None:
        """The events to train on, if that is to be."""
        if not self.job.config.trains_on_events:
            return None
        return EventSample.load(self.folder.stage_file("events")).normalise(normalisation)

    def fit(self, n_categories: int, sample: Sample, events: EventSample | None) -> Categorizer:
        """Train, or read what was trained."""
        path = self.folder.stage_file(f"categorizer-{n_categories}.json")
        title = f"Fit: {n_categories} categories"
        if path.exists():
            self.display.skipped(title)
            return Categorizer.load(path)
        self.display.stage(title)
        with self.display.loading():  # TensorFlow is imported here, not before
            from cortado.training import OvertrainingWarning, TrainingWarning, fit

        options = self.job.config.fit
        model = _model(options.model, n_categories, sample.features)
        checkpoint = self.folder.stage_file(f"training-{n_categories}.npz")
        with self.display.fitting(n_categories) as progress, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", TrainingWarning)
            warnings.simplefilter("ignore", OvertrainingWarning)  # the summary says so from whole events
            try:
                result = fit(
                    model,
                    sample,
                    self.job.config.objective,
                    seed=options.seed,
                    held_out=options.held_out_folds,
                    steps=options.steps,
                    starts=options.starts,
                    initialisation=options.initialisation,
                    smoothing=options.smoothing,
                    progress=progress,
                    checkpoint=checkpoint,
                    events=events,
                    event_steps=options.event_steps,
                    client=getattr(self.executor, "client", None) if events else None,
                )
            except TrainingError:
                checkpoint.unlink(missing_ok=True)  # it came to its end: there is nothing to go on with
                raise
        for warning in caught:
            self.display.warn(str(warning.message))
        result.categorizer.save(path)
        checkpoint.unlink(missing_ok=True)
        return result.categorizer

    def fill(self, inventory: Inventory, sample: Sample, learned: Mapping[int, Categorizer]) -> CategorySums:
        """Pass 2: sums per category of every event, for the learned categories and the baselines."""
        path = self.folder.stage_file(_SUMS)
        if path.exists():
            self.display.skipped("Pass 2")
            return CategorySums.load(path)
        self.display.stage("Pass 2: filling the templates")
        ranges = dict(zip(sample.features.labels, sample.points().ranges(_BASELINE_TAIL), strict=True))
        schemes: dict[int, dict[str, Categorizer]] = {}
        for n, categorizer in learned.items():
            baselines = {
                EQUIDISTANT: equidistant(sample.features, n, ranges),
                ARGMAX: argmax_projections(sample.features, n),
            }
            schemes[n] = {LEARNED: categorizer} | {k: c for k, c in baselines.items() if c is not None}
        binnings = self.job.channels.binnings(schemes)
        filler = TemplateFiller(binnings, n_folds=self.job.config.fit.folds)
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


def _model(kind: str, n_categories: int, features: Features) -> Model:
    from cortado import models

    if kind == "sigmoid_cuts":
        return models.SigmoidCuts(even_factors(n_categories, features.dimensions))
    return {"gaussian_mixture": models.GaussianMixture, "max_affine": models.MaxAffine}[kind](n_categories)


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
    """``ConfigError`` for a file in two datasets, unless their metadata tell the processor what to select."""
    owner: dict[tuple[str, str], str] = {}
    for dataset in datasets:
        told = json.dumps(dict(dataset.metadata), sort_keys=True)
        for path in dataset.files:
            file = path if "://" in path else str(Path(path).resolve())
            if (file, told) in owner:
                raise ConfigError(
                    f"datasets.{dataset.name}.files: {path} is in dataset {owner[file, told]!r} already; its "
                    "events would count twice (with other metadata, a processor may select others of it)"
                )
            owner[file, told] = dataset.name
