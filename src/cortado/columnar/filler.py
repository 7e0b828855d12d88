"""Pass 2: a processor holds a :class:`TemplateFiller` and gives it the events it selected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cortado.archive import read_archive, write_archive
from cortado.categorizer import Categorizer
from cortado.cells import NOMINAL, Cells, Source
from cortado.coordinates import Features
from cortado.errors import ConfigError, InputError
from cortado.events import CleanEvents, clean, refuse_invalid
from cortado.folds import fold_of
from cortado.normalisation import Normalisation
from cortado.templates import Templates, build_templates

_FORMAT = "cortado-category-sums-1"


@dataclass(frozen=True, eq=False)
class CategorySums:
    """Σw, Σw² and counts per category, dataset, variation and fold, for one or more categorizers; adds up.

    ``cells`` maps the name of a categorizer to sums whose address is the category, −1 for events without one;
    ``n_categories`` to its K. ``invalid`` counts feature values that are not finite, by (dataset, feature).
    """

    n_folds: int
    n_categories: Mapping[str, int]
    cells: Mapping[str, Cells]
    invalid: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def empty(cls, n_folds: int, n_categories: Mapping[str, int]) -> CategorySums:
        """Sums without events: the identity of addition."""
        return cls(n_folds, n_categories, {name: Cells.empty(1) for name in n_categories})

    def __add__(self, other: CategorySums) -> CategorySums:
        if not isinstance(other, CategorySums):
            return NotImplemented
        if self.n_categories != other.n_categories or self.n_folds != other.n_folds:
            raise InputError("sums of different categorizers or folds cannot be added")
        cells = {name: part + other.cells[name] for name, part in self.cells.items()}
        return replace(self, cells=cells, invalid=self.invalid + other.invalid)

    def normalise(self, normalisation: Normalisation) -> CategorySums:
        """Datasets scaled to the luminosity and merged into processes."""
        return replace(self, cells={name: normalisation.apply(part) for name, part in self.cells.items()})

    def checked(self) -> CategorySums:
        """These sums, if every event was usable; else ``InputError`` with the number in each dataset."""
        refuse_invalid(self.invalid)
        return self

    def templates(
        self,
        name: str = "categories",
        *,
        folds: Collection[int] | None = None,
        events: str | None = None,
        channel: str = "SR",
        processes: Sequence[str] | None = None,
    ) -> Templates:
        """Templates of one categorizer from some folds (all by default), scaled to the full luminosity."""
        if name not in self.cells:
            raise ConfigError(f"there is no categorizer {name!r}; there are {sorted(self.cells)}")
        refuse_invalid(self.invalid)
        return build_templates(
            self.cells[name],
            self.n_categories[name],
            n_folds=self.n_folds,
            folds=folds,
            events=events,
            channel=channel,
            processes=processes,
        )

    def save(self, path: str | Path) -> None:
        """Write the sums to an ``.npz`` file, whole or not at all."""
        header = {
            "n_folds": self.n_folds,
            "n_categories": dict(self.n_categories),
            "invalid": [[*k, n] for k, n in sorted(self.invalid.items())],
        }
        write_archive(path, _FORMAT, header, self.cells)

    @classmethod
    def load(cls, path: str | Path) -> CategorySums:
        """Read sums written by :meth:`save`. Raises ``InputError`` if the file does not hold any."""
        header, tables = read_archive(path, _FORMAT)
        invalid = Counter({(d, f): n for d, f, n in header["invalid"]})
        return cls(header["n_folds"], header["n_categories"], tables, invalid)


class TemplateFiller:
    """Turns selected events into sums per category, which add up in any order. Does not import TensorFlow.

    Parameters
    ----------
    categorizers
        A categorizer (its sums are then named "categories"), or several by name.
    n_folds
        Number of folds; by default that of the training.
    """

    def __init__(
        self, categorizers: Categorizer | Mapping[str, Categorizer], *, n_folds: int | None = None
    ) -> None:
        if isinstance(categorizers, Categorizer):
            categorizers = {"categories": categorizers}
        if not categorizers:
            raise ConfigError("a TemplateFiller needs at least one categorizer, got none")
        trained = {c.training.n_folds for c in categorizers.values() if c.training}
        if n_folds is None and len(trained) > 1:
            raise ConfigError(
                f"the categorizers were trained with different numbers of folds: {sorted(trained)}"
            )
        self.categorizers = dict(categorizers)
        self.n_folds = n_folds or (trained.pop() if trained else 1)

    @property
    def features(self) -> Features:
        """The features of the first categorizer."""
        return next(iter(self.categorizers.values())).features

    @property
    def empty(self) -> CategorySums:
        """The sums without events."""
        return CategorySums.empty(self.n_folds, self._n_categories)

    @property
    def _n_categories(self) -> dict[str, int]:
        return {name: c.n_categories for name, c in self.categorizers.items()}

    def fill(
        self,
        dataset: str,
        features: Any,
        weight: Any,
        *,
        event_id: Any = None,
        variation: str = NOMINAL,
        channel: str = "SR",
    ) -> CategorySums:
        """The sums of these n events; arguments and errors as of :meth:`Collector.fill`."""
        source = Source(dataset, channel, variation)
        cleaned: dict[str, CleanEvents] = {}
        cells = {}
        for name, categorizer in self.categorizers.items():
            declared = categorizer.features.model_dump_json(include={"names", "missing"})
            if declared not in cleaned:
                cleaned[declared] = clean(categorizer.features, features, weight)
            events = cleaned[declared]
            fold = fold_of(event_id, len(events.x), self.n_folds)
            category = categorizer.assign(events.x, events.usable)
            kept = events.usable | events.missing
            address = np.stack([fold[kept], category[kept]], axis=1)
            cells[name] = Cells.from_events(source, address, events.weight[kept])
        invalid = Counter({(dataset, f): n for f, n in next(iter(cleaned.values())).invalid.items()})
        return CategorySums(self.n_folds, self._n_categories, cells, invalid)
