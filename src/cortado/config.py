"""The configuration of the main job: one YAML file, validated whole before anything is read or written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cortado.cells import DEFAULT_CHANNEL
from cortado.coordinates import MANY_COORDINATES, Coordinates, Features
from cortado.errors import ConfigError, InputError, sentences
from cortado.export.combine_datacard import check_names
from cortado.export.fit_input import Layout
from cortado.export.fit_model import FitOptions
from cortado.export.pyhf_workspace import check_parameters
from cortado.export.rates import log_normals
from cortado.objectives import (
    Asimov,
    AsimovWithUncertainty,
    Floor,
    MaxRelativeUncertainty,
    MinBackground,
    MinEffectiveEvents,
    MinEvents,
    Objective,
    Precision,
    ProfiledSignificance,
    Significance,
)
from cortado.observable import Observable
from cortado.sample import DEFAULT_MAX_CELLS
from cortado.templates import DATA

_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"  # names end up in combine datacards, which allow no others
LEARNED, SINGLE_BIN = "learned", "single_bin"
FILLING_KEYS = ("channels",)  # but for their names, they decide nothing before the templates are filled
OUTPUT_KEYS = ("fit_model", "merge")  # they decide the files that a job leaves, and no stage before
# What `events.metadata` has of every chunk, from coffea and from the other keys of a dataset.
_METADATA = {"dataset", "filename", "treename", "entrystart", "entrystop", "fileuuid"}
_METADATA |= {"process", "xsec", "is_mc", "era"}
Name = Annotated[str, Field(pattern=_NAME)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MetadataBranch(_Section):
    """Where a file holds its Σw(generated): a branch of a tree, summed over its entries, once per file."""

    tree: str = "Runs"
    branch: str = "genEventSumw"


class DatasetConfig(_Section):
    """Files of one origin.

    Simulation needs a ``process``; its event weights are complete, or are multiplied by ``xsec`` × luminosity
    / ``sum_of_weights``. Collision data have ``is_data: true`` and neither.
    """

    files: tuple[str, ...] = Field(min_length=1, description="paths, globs or URLs")
    process: Name | None = None
    is_data: bool = False
    xsec: Positive | None = Field(
        default=None, description="cross section, in the inverse unit of the luminosity"
    )
    sum_of_weights: Positive | MetadataBranch | None = None
    era: str | None = None
    tree: str | None = None
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description="what the processor finds in events.metadata, beside process, xsec, is_mc and era",
    )

    @field_validator("metadata")
    @classmethod
    def _none_of_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(set(value) & _METADATA):
            raise ValueError(f"must not name {taken}, which events.metadata has already")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> DatasetConfig:
        simulated = {"process": self.process, "xsec": self.xsec, "sum_of_weights": self.sum_of_weights}
        extra = [f"{key} = {value!r}" for key, value in simulated.items() if value is not None]
        if self.is_data and extra:
            raise ValueError(
                f"collision data (is_data) take no process, xsec or sum_of_weights, got {extra[0]}"
            )
        if not self.is_data and not self.process:
            raise ValueError("simulation needs a process; collision data need is_data: true")
        if self.process == DATA:
            raise ValueError(f"the process name {DATA!r} is kept for collision data")
        if (self.xsec is None) != (self.sum_of_weights is None):
            raise ValueError(
                "xsec and sum_of_weights go together; leave out both where the weight is complete, "
                f"got {extra[-1]} alone"
            )
        return self


class FeatureConfig(_Section):
    """A column of the ntuple, or one that the processor makes, and the value that means it does not exist."""

    name: str
    missing: float | None = None


class ProcessorConfig(_Section):
    """A class that takes the sink and ``options``: ``module:Class`` or ``file.py:Class``, from the config."""

    class_: str = Field(default="cortado.columnar:FlatNtuple", alias="class", pattern=r"^.+:\w+$")
    options: dict[str, Any] = Field(default_factory=dict)


class ChannelConfig(_Section):
    """What the events of a channel are put into: categories, and bins of an observable inside each."""

    categorizer: str = LEARNED
    observable: Observable | None = None

    @field_validator("categorizer")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in (LEARNED, SINGLE_BIN) and not value.endswith(".json"):
            raise ValueError(f"must be {LEARNED}, {SINGLE_BIN} or the path of a categorizer, …json")
        return value

    @property
    def path(self) -> str | None:
        """The file of the categorizer, where it comes from one."""
        return None if self.categorizer in (LEARNED, SINGLE_BIN) else self.categorizer


class Constraints(_Section):
    """What every category must hold: expected background, and simulated background events behind it."""

    min_background: NotNegative = 10.0
    min_effective_events: NotNegative = 10.0
    min_events: NotNegative | None = None
    max_relative_uncertainty: Positive | None = None

    @property
    def floors(self) -> list[Floor]:
        """The floors that are asked for."""
        floors = [MinBackground(self.min_background), MinEffectiveEvents(self.min_effective_events)]
        if self.min_events is not None:
            floors.append(MinEvents(self.min_events))
        if self.max_relative_uncertainty is not None:
            floors.append(MaxRelativeUncertainty(self.max_relative_uncertainty))
        return floors


class FitConfig(_Section):
    """How the categories are trained."""

    model: Literal["gaussian_mixture", "sigmoid_cuts", "max_affine"] = "gaussian_mixture"
    initialisation: Literal["partition", "random"] = "partition"
    smoothing: bool = True
    train_on: Literal["auto", "cells", "events"] = "auto"
    event_steps: int = Field(default=100, ge=1)
    steps: int = Field(default=600, ge=1)
    starts: int = Field(default=4, ge=1)
    seed: int = Field(default=1, ge=0)
    folds: int = Field(default=2, ge=1, description="events are split into so many folds")
    held_out: tuple[int, ...] | None = Field(
        default=None, description="folds not trained on; by default the last"
    )
    sample_cells: int = Field(default=DEFAULT_MAX_CELLS, ge=1, description="cells of the sample, at most")

    @model_validator(mode="after")
    def _folds_exist(self) -> FitConfig:
        held_out = set(self.held_out or ())
        if not held_out <= set(range(self.folds)) or len(held_out) == self.folds:
            raise ValueError(
                f"held_out must be some, but not all, of the folds 0 … {self.folds - 1}, "
                f"got {sorted(held_out)}"
            )
        return self

    @property
    def held_out_folds(self) -> tuple[int, ...]:
        """The folds that are not trained on; empty if there is a single fold."""
        if self.held_out is not None:
            return tuple(sorted(set(self.held_out)))
        return (self.folds - 1,) if self.folds > 1 else ()

    @property
    def training_folds(self) -> tuple[int, ...]:
        """The folds that are trained on."""
        return tuple(f for f in range(self.folds) if f not in self.held_out_folds)


class FitModelConfig(_Section):
    """What becomes of templates in the workspace and the datacard."""

    layout: Layout = "bins"
    rate_uncertainties: dict[Name, Any] = Field(default_factory=dict)  # checked when processes are known
    groups: dict[Name, Annotated[tuple[Name, ...], Field(min_length=1)]] = Field(default_factory=dict)
    fill: Positive | None = None

    @property
    def options(self) -> FitOptions:
        """The options of both exports."""
        return {
            "layout": self.layout,
            "rate_uncertainties": self.rate_uncertainties,
            "fill": self.fill,
        }


class Config(_Section):
    """The whole job. See the documentation for every key."""

    tree: str = "Events"
    schema_: Literal["flat", "nanoaod"] = Field(default="flat", alias="schema")
    luminosity: Positive | None = None
    eras: dict[str, Positive] = Field(default_factory=dict)
    processor: ProcessorConfig = ProcessorConfig()
    datasets: dict[str, DatasetConfig] = Field(min_length=1)
    features: tuple[FeatureConfig, ...] = Field(min_length=1)
    coordinates: tuple[Coordinates, ...] = Field(min_length=1)
    signals: tuple[Name, ...] = Field(min_length=1)
    channels: dict[Name, ChannelConfig] = Field(default_factory=lambda: {DEFAULT_CHANNEL: ChannelConfig()})
    merge: dict[Name, tuple[Name, ...]] = Field(default_factory=dict)
    output: str | None = Field(default=None, description="folder for the results, from that of this file on")
    maximise: Literal[
        "significance", "significance_with_uncertainty", "profiled_significance", "precision"
    ] = "significance"
    combine: Literal["geometric", "quadrature", "minimum", "sum", "determinant"] = "geometric"
    signal_weights: dict[Name, Positive] = Field(default_factory=dict)
    other_signals: Literal["background", "ignored", "floating"] | None = None
    background_uncertainties: dict[Name, NotNegative] = Field(default_factory=dict)
    nuisances: tuple[Name, ...] = ()
    categories: tuple[Annotated[int, Field(ge=2)], ...] = Field(min_length=1)
    constraints: Constraints = Constraints()
    fit: FitConfig = FitConfig()
    fit_model: FitModelConfig = FitModelConfig()

    @field_validator("categories", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, int) else value

    @field_validator("categories", "signals")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"must not repeat a value, got {list(value)}")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        if unknown := [s for s in self.signals if s not in self.processes]:
            raise ValueError(f"signals {unknown} are not among the processes {list(self.processes)}")
        if set(self.processes) <= set(self.signals):
            raise ValueError(
                f"every process is a signal ({list(self.processes)}); at least one must be background"
            )
        if unknown := sorted(set(self.signal_weights) - set(self.signals)):
            raise ValueError(
                f"signal_weights name {unknown}, which are not among the signals {list(self.signals)}"
            )
        if self.signal_weights and self.combine != "sum":
            raise ValueError(f"signal_weights go with combine: sum alone, got combine: {self.combine}")
        if unknown := sorted(set(self.background_uncertainties) - set(self.processes)):
            raise ValueError(
                f"background_uncertainties name {unknown}, which are not among the processes "
                f"{list(self.processes)}"
            )
        if self.background_uncertainties and self.maximise != "significance_with_uncertainty":
            raise ValueError(
                "background_uncertainties go with maximise: significance_with_uncertainty alone, "
                f"got maximise: {self.maximise}"
            )
        if self.nuisances and self.maximise not in ("profiled_significance", "precision"):
            raise ValueError(
                "nuisances go with maximise: profiled_significance or precision, "
                f"got maximise: {self.maximise}"
            )
        if self.nuisances and self.fit.train_on == "events":
            raise ValueError(
                "fit.train_on must be cells or auto with nuisances: events are kept without variations"
            )
        try:
            log_normals(self.fit_model.rate_uncertainties, self.fitted_processes)
            self._check_names()
            _ = self.objective
        except ConfigError as error:
            raise ValueError(str(error)) from error
        try:
            _ = self.discriminant
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _luminosities_are_given(self) -> Config:
        for name, dataset in self.datasets.items():
            if dataset.era is not None and dataset.era not in self.eras:
                raise ValueError(
                    f"datasets.{name}.era must be one of the eras {sorted(self.eras)}, got {dataset.era!r}"
                )
        scaled = [name for name, d in self.datasets.items() if d.xsec is not None and d.era is None]
        if scaled and self.luminosity is None:
            raise ValueError(
                f"datasets {scaled} have a cross section, so luminosity must be given, or an era of theirs"
            )
        return self

    @model_validator(mode="after")
    def _channels_are_usable(self) -> Config:
        if not any(c.categorizer == LEARNED for c in self.channels.values()):
            raise ValueError(
                f"channels need one with the categorizer {LEARNED}, got "
                f"{ {name: c.categorizer for name, c in self.channels.items()} }"
            )
        parts = [name for names in self.merge.values() for name in names]
        backgrounds = [name for name in self.processes if name not in self.signals]
        if unknown := [name for name in parts if name not in backgrounds]:
            raise ValueError(f"merge names {unknown}, which are not among the backgrounds {backgrounds}")
        if len(set(parts)) < len(parts) or not all(self.merge.values()):
            raise ValueError(
                f"merge must name a process at most once, and some for each new one, got {parts}"
            )
        if taken := [n for n, old in self.merge.items() if n in {*self.processes, DATA} - set(old)]:
            raise ValueError(f"merge gives the names {taken}, which other processes have")
        return self

    def _check_names(self) -> None:
        # Which nuisance parameters have variations is known when there are templates.
        groups = self.fit_model.groups
        members = [name for group in groups.values() for name in group]
        named = [*self.fit_model.rate_uncertainties, *members, *self.nuisances]
        check_names([*self.channels], self.fitted_processes, named, groups)
        check_parameters(self.signals, named)

    @property
    def training_channel(self) -> str:
        """The channel that categories are learned from: the first one with learned categories."""
        return next(name for name, c in self.channels.items() if c.categorizer == LEARNED)

    @property
    def discriminant(self) -> Features:
        """The features with their coordinates."""
        names = [f.name for f in self.features]
        missing = {f.name: f.missing for f in self.features if f.missing is not None}
        return Features.declare(names, self.coordinates, missing)

    @property
    def trains_on_events(self) -> bool:
        """Whether the events themselves are trained on, after the cells."""
        many = self.discriminant.dimensions >= MANY_COORDINATES and not self.nuisances
        return self.fit.train_on == "events" or (self.fit.train_on == "auto" and many)

    @property
    def processes(self) -> tuple[str, ...]:
        """Simulated processes, signals first, then in the order of the datasets."""
        named = dict.fromkeys(d.process for d in self.datasets.values() if d.process)
        return tuple(sorted(named, key=lambda p: p not in self.signals))

    @property
    def fitted_processes(self) -> tuple[str, ...]:
        """Simulated processes in templates and fit inputs, of which some may be merged."""
        new_name = {name: new for new, names in self.merge.items() for name in names}
        return tuple(dict.fromkeys(new_name.get(name, name) for name in self.processes))

    @property
    def has_data(self) -> bool:
        """Whether there are collision data."""
        return any(d.is_data for d in self.datasets.values())

    @property
    def objective(self) -> Objective:
        """What the categories are trained for."""
        make: Callable[..., Significance]
        match self.maximise:
            case "significance":
                make = Asimov
            case "significance_with_uncertainty":
                make = partial(AsimovWithUncertainty, relative=self.background_uncertainties)
            case "profiled_significance":
                make = partial(ProfiledSignificance, nuisances=self.nuisances)
            case "precision":
                make = partial(Precision, nuisances=self.nuisances)
        own: dict[str, Any] = {} if self.other_signals is None else {"other_signals": self.other_signals}
        term = make(self.signals, self.combine, weights=self.signal_weights or None, **own)
        return Objective((term, *self.constraints.floors))


def load_config(path: str | Path) -> Config:
    """Read and validate a configuration. Raises ``ConfigError`` with field and value of every mistake."""
    path = Path(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold keys and values, got {type(content).__name__}")
    return parse_config(content, str(path))


def parse_config(content: dict[str, Any], origin: str = "configuration") -> Config:
    """Validate a configuration given as a dictionary. Raises ``ConfigError``."""
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{origin}: {line}" for line in sentences(error))) from error


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice, of which only the last would count."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    # The merge key << may bring in keys again, on purpose.
    nodes = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    keys = [loader.construct_object(key, deep=True) for key in nodes]
    for position, (key, key_node) in enumerate(zip(keys, nodes, strict=True)):
        if key in keys[:position]:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} is given twice", key_node.start_mark
            )
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
