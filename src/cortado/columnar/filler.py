"""Pass 2: a processor holds a :class:`TemplateFiller` and gives it the events it selected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.categorizer import Categorizer
from cortado.cells import DEFAULT_CHANNEL, NOMINAL, Cells, Source
from cortado.columnar.binning import Binning
from cortado.columnar.sink import refuse_undeclared
from cortado.columnar.sums import CategorySums
from cortado.columnar.weights import by_variation
from cortado.coordinates import Features
from cortado.errors import ConfigError, InputError
from cortado.events import CleanEvents, by_name, checked_weight, clean, named_column
from cortado.folds import fold_of
from cortado.observable import Observable

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class TemplateFiller:
    """Turns selected events into sums per category, which add up in any order. Does not import TensorFlow.

    Parameters
    ----------
    binnings
        A categorizer or a :class:`Binning` (its sums are then named "categories"), or several by name. A
        categorizer alone takes the events of all channels.
    n_folds
        Number of folds; by default that of the training.
    """

    def __init__(
        self,
        binnings: Categorizer | Binning | Mapping[str, Categorizer | Binning],
        *,
        n_folds: int | None = None,
    ) -> None:
        if isinstance(binnings, Categorizer | Binning):
            binnings = {"categories": binnings}
        if not binnings:
            raise ConfigError("a TemplateFiller needs at least one categorizer, got none")
        self.binnings = {n: Binning(b) if isinstance(b, Categorizer) else b for n, b in binnings.items()}
        categorizers = [b.categorizer for b in self.binnings.values() if b.categorizer]
        trained = {c.training.n_folds for c in categorizers if c.training}
        if n_folds is None and len(trained) > 1:
            raise ConfigError(
                f"the categorizers were trained with different numbers of folds: {sorted(trained)}"
            )
        self.n_folds = n_folds or (trained.pop() if trained else 1)

    @property
    def features(self) -> Features:
        """The features of the first categorizer. Raises ``ConfigError`` if there is none."""
        for binning in self.binnings.values():
            if binning.categorizer:
                return binning.categorizer.features
        raise ConfigError("there are no features where no binning has a categorizer")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features and observables of all binnings, which events have to hold."""
        return tuple(dict.fromkeys(name for b in self.binnings.values() for name in b.columns))

    @property
    def empty(self) -> CategorySums:
        """The sums without events."""
        observables = {n: b.observable for n, b in self.binnings.items() if b.observable}
        return CategorySums.empty(
            self.n_folds, {n: b.n_categories for n, b in self.binnings.items()}, observables
        )

    def fill(
        self,
        dataset: str,
        features: Any,
        weight: Any,
        *,
        event_id: Any = None,
        variation: str = NOMINAL,
        channel: str = DEFAULT_CHANNEL,
    ) -> CategorySums:
        """The sums of these n events; arguments and errors as of :meth:`Collector.fill`.

        Observables are taken from ``features`` by name. Raises ``InputError`` also for a channel that no
        binning takes, and where an observable is not there.
        """
        used = {name: b for name, b in self.binnings.items() if b.takes(channel)}
        if not used:
            refuse_undeclared(channel, {b.channel for b in self.binnings.values() if b.channel})
        _refuse_unnamed(features, used)
        given = by_variation(weight, variation)
        events = _Events(features, next(iter(given.values())), event_id, self.n_folds)
        cells = dict(self.empty.cells)
        for name, binning in used.items():
            address, kept = events.address(binning)
            for varied, values in given.items():
                w = checked_weight(values, len(kept))[kept].astype(np.float64)
                cells[name] = cells[name] + Cells.from_events(Source(dataset, channel, varied), address, w)
        invalid = Counter({(dataset, column): n for column, n in events.invalid.items()})
        return replace(self.empty, cells=cells, invalid=invalid)


def _refuse_unnamed(values: Any, binnings: Mapping[str, Binning]) -> None:
    """Nobody knows whose features the columns of an array are if there are several sets of features."""
    declared = {b.categorizer.features.names for b in binnings.values() if b.categorizer}
    if len(declared) > 1 and not by_name(values):
        raise InputError(
            f"features must be given by name for categorizers of different ones, {sorted(declared)}, "
            "got an array"
        )


class _Events:
    """The n events of one fill: what has been looked up of them is kept for the next binning."""

    def __init__(self, values: Any, weight: Any, event_id: Any, n_folds: int) -> None:
        self._values, self._weight, self._event_id, self._n_folds = values, weight, event_id, n_folds
        self._clean: dict[str, CleanEvents] = {}
        self.invalid: dict[str, int] = {}

    def address(self, binning: Binning) -> tuple[Integers, Bools]:
        """Fold, category and bin of the observable (m, 2 or 3) of the events that are ``kept`` (n,)."""
        category, kept = self._category(binning.categorizer)
        parts = [self._fold, category]
        if binning.observable:
            bins, there = self._bin(binning.observable, kept & (category >= 0))
            kept = kept & there
            parts.append(bins)
        return np.stack(parts, axis=1)[kept], kept

    def _category(self, categorizer: Categorizer | None) -> tuple[Integers, Bools]:
        """Category (n,), −1 for none, of the events that are kept (n,): those without invalid features."""
        if categorizer is None:
            n = len(checked_weight(self._weight))
            return np.zeros(n, np.int64), np.ones(n, bool)
        events = self._of(categorizer.features)
        return categorizer.assign(events.x, events.usable), events.usable | events.missing

    def _bin(self, observable: Observable, needed: Bools) -> tuple[Integers, Bools]:
        """Bin (n,) of the observable where it is ``needed`` (n,), and in which events (n,) it is not invalid.

        It is not needed without a category: where a feature does not exist, it may not exist either.
        """
        values = named_column("observable", observable.name, self._values, len(needed))
        invalid = needed & ~np.isfinite(values)
        if invalid.any():
            self.invalid[observable.name] = int(np.count_nonzero(invalid))
        bins = np.zeros(len(needed), np.int64)
        found = needed & ~invalid
        bins[found] = observable.bin_of(values[found])
        return bins, ~invalid

    @cached_property
    def _fold(self) -> Integers:
        return fold_of(self._event_id, len(checked_weight(self._weight)), self._n_folds)

    def _of(self, features: Features) -> CleanEvents:
        declared = features.model_dump_json(include={"names", "missing"})
        if declared not in self._clean:
            self._clean[declared] = clean(features, self._values, self._weight)
            self.invalid |= self._clean[declared].invalid
        return self._clean[declared]
