"""Before a classifier is trained: a sink that computes observables of the selected events and keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from cortado.cells import NOMINAL
from cortado.classifiers.labelled_events import (
    DEFAULT_FOLDS,
    LabelledEvents,
    process_classes,
    refuse_names,
)
from cortado.classifiers.observable_columns import observable_values, rows_of_numbers
from cortado.classifiers.observables import Observables
from cortado.classifiers.parquet import read_columns, write_columns
from cortado.columnar.weights import by_variation
from cortado.coordinates import Features
from cortado.errors import InputError
from cortado.events import checked_weight
from cortado.folds import checked_ids, content_ids
from cortado.normalisation import Normalisation

Columns = Mapping[str, npt.NDArray[Any]]

_FORMAT = "cortado-observables-1"
_WEIGHT, _EVENT = "weight", "event_id"


class Kept(Protocol):
    """What is kept of events: :class:`Observables`, or :class:`JetImages`, whose column has no name."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of observables; none for images."""

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of branches that events have to hold."""

    def columns(self, events: Any) -> Mapping[str, npt.NDArray[Any]]:
        """Values (n, …) of the n events, by name."""


@dataclass(frozen=True, eq=False)
class Rows:
    """n events of one dataset: columns (n,), in memory or in a Parquet file; a digest of what they hold."""

    dataset: str
    n_events: int
    digest: str
    columns: Columns | Path

    def read(self) -> Columns:
        """The columns. Raises ``InputError`` if the file does not hold them."""
        if not isinstance(self.columns, Path):
            return self.columns
        columns = read_columns(self.columns, _FORMAT)[1]
        if _digest(columns) != self.digest:
            raise InputError(f"{self.columns} does not hold the events that were written to it")
        return columns


@dataclass(frozen=True, eq=False)
class ObservedEvents:
    """Observables, weights and identifiers of events, by dataset; adds up by putting them together.

    A file counts if it is part of the sum: a chunk that is tried again leaves another one behind, but is
    added up once.
    """

    observables: tuple[str, ...]
    rows: tuple[Rows, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(sorted(self.rows, key=lambda r: (r.dataset, r.digest))))

    def __add__(self, other: ObservedEvents) -> ObservedEvents:
        if not isinstance(other, ObservedEvents):
            return NotImplemented
        if self.observables != other.observables:
            raise InputError("events with different observables cannot be added")
        return replace(self, rows=self.rows + other.rows)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return sum(r.n_events for r in self.rows)

    def labelled(
        self,
        classes: Mapping[str, Sequence[str]],
        normalisation: Normalisation,
        n_folds: int = DEFAULT_FOLDS,
    ) -> LabelledEvents:
        """The events with their classes and physical weights, in an order that chunks do not change.

        ``classes`` are lists of processes; events of other processes, such as collision data, are left out.
        ``normalisation`` says to which process a dataset belongs, and what its weights are multiplied by
        (:meth:`cortado.columnar.Inventory.normalisation`). Errors as of :meth:`LabelledEvents.from_arrays`.
        """
        class_of = process_classes(classes)
        parts: dict[str, list[Columns]] = {}
        for rows in self.rows:
            process, factor = normalisation.of(rows.dataset)
            if process in class_of:
                columns = rows.read()
                parts.setdefault(process, []).append({**columns, _WEIGHT: columns[_WEIGHT] * factor})
        together = {process: _in_order(_concatenated(found)) for process, found in parts.items()}
        return LabelledEvents.from_arrays(
            {
                process: (observable_values(columns, self.observables), columns[_WEIGHT])
                for process, columns in together.items()
            },
            self.observables or None,
            classes=classes,
            event_ids={process: columns[_EVENT] for process, columns in together.items()},
            n_folds=n_folds,
        )


class ObservableCollector:
    """Computes observables of the nominal events that a processor selects; a sink like ``Collector``.

    Parameters
    ----------
    observables
        What is kept of an event: :class:`Observables`, their names, or :class:`JetImages`.
    folder
        Where the events of every chunk are written to a Parquet file, so that only its path travels; workers
        and whoever reads must see it under the same path. Without one, events travel and stay in memory.
    channel
        The channel whose events are kept; None keeps those of all.
    """

    def __init__(
        self,
        observables: Kept | Sequence[str],
        folder: str | Path | None = None,
        *,
        channel: str | None = None,
    ) -> None:
        kept = Observables(tuple(observables)) if isinstance(observables, Sequence) else observables
        refuse_names((), kept.names)
        self.observables = kept
        self._folder = None if folder is None else Path(folder).absolute()
        self._channel = channel

    @property
    def features(self) -> Features:
        """The observables as features, for processors that ask their sink for them."""
        return Features.declare(self.observables.names)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the branches that events have to hold; objects come from where the schema says."""
        return self.observables.branches

    @property
    def empty(self) -> ObservedEvents:
        """The result without events."""
        return ObservedEvents(self.observables.names)

    def fill(
        self,
        dataset: str,
        features: Any,
        weight: Any,
        *,
        event_id: Any = None,
        variation: str = NOMINAL,
        channel: str = "SR",
    ) -> ObservedEvents:
        """Observables of these n events, to be returned from the processor or added to other parts.

        ``features`` are the events: an awkward record array, or a mapping of arrays; all else as for
        :meth:`Collector.fill`, where ``event_id`` is needed. Systematic variations are left out.

        Raises
        ------
        InputError
            If an observable is not there, lengths differ, or there are no identifiers. Values that are not
            finite are errors once events are given classes.
        """
        nominal = by_variation(weight, variation)
        if variation != NOMINAL or self._channel not in (None, channel):
            return self.empty
        values = self.observables.columns(features)
        n = len(next(iter(values.values())))
        if event_id is None:
            raise InputError("event_id is needed: pass the event number, or cortado.entry_ids(events)")
        columns: dict[str, npt.NDArray[Any]] = {
            **{name: column.astype(np.float32) for name, column in values.items()},
            _WEIGHT: checked_weight(nominal[NOMINAL], n).astype(np.float64),
            _EVENT: checked_ids(event_id, n).astype(np.uint64),
        }
        if n == 0:
            return self.empty
        return ObservedEvents(self.observables.names, (self._kept(dataset, n, columns),))

    def _kept(self, dataset: str, n: int, columns: Columns) -> Rows:
        digest = _digest(columns)
        if self._folder is None:
            return Rows(dataset, n, digest, columns)
        path = self._folder / f"{uuid4().hex}.parquet"
        write_columns(path, _FORMAT, {"dataset": dataset}, columns)
        return Rows(dataset, n, digest, path)


def _digest(columns: Columns) -> str:
    sha = hashlib.sha256()
    for name, column in columns.items():
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(column).tobytes())
    return sha.hexdigest()


def _concatenated(parts: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _in_order(columns: Columns) -> Columns:
    """Events by identifier, and by a hash of their content where it is not unique."""
    ids = columns[_EVENT]
    if len(np.unique(ids)) == len(ids):
        order = np.argsort(ids)
    else:
        content = [rows_of_numbers(column) for name, column in columns.items() if name != _EVENT]
        order = np.lexsort((content_ids(np.column_stack(content)), ids))
    return {name: column[order] for name, column in columns.items()}
