"""The events themselves, each with its place and weight, for training where cells are too coarse.

Rows of d coordinates and a weight, float64, are kept apart by dataset and fold: in memory, or in ``.npy``
files that are read piece by piece, so that memory does not grow with the number of events.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.coordinates import Coordinates, Features
from cortado.errors import InputError
from cortado.events import clean, refuse_invalid
from cortado.files import write_text, write_whole
from cortado.folds import chosen_folds, fold_of
from cortado.in_memory import declared_arrays, identifiers
from cortado.normalisation import Normalisation

Floats = npt.NDArray[np.float64]

_FORMAT = "cortado-events-1"
_HEADER = "events.json"
_PIECE = 1 << 17  # rows that are read and written at a time


@dataclass(frozen=True, eq=False)
class Stream:
    """The events of one dataset and fold.

    Attributes
    ----------
    dataset
        Name of the dataset; of the process once normalised.
    fold
        The fold that they are all in.
    rows
        (n, d + 1) coordinates and weight, float64; or the ``.npy`` file that holds them.
    n_events, sumw
        Number n and sum of the weights as they stand in ``rows``.
    digest
        A hash of the rows.
    factor
        What the weights are multiplied by.
    """

    dataset: str
    fold: int
    rows: Floats | Path
    n_events: int
    sumw: float
    digest: str
    factor: float = 1.0

    @classmethod
    def of(cls, dataset: str, fold: int, rows: Floats) -> Stream:
        """Events in memory."""
        return cls(dataset, fold, rows, len(rows), float(rows[:, -1].sum()), _digest([rows]))

    def read(self, start: int, stop: int) -> tuple[Floats, Floats]:
        """Coordinates (m, d) and weights (m,) of some of the events.

        Raises ``InputError`` if the file cannot be read or does not hold them.
        """
        some = self._some(start, stop)
        return some[:, :-1], some[:, -1] * self.factor

    def written(self, path: Path, *others: Stream) -> Stream:
        """These events, and others after them, in a file."""
        streams = (self, *others)
        n_events = sum(s.n_events for s in streams)
        pieces = (piece for s in streams for piece in s._pieces())
        digest = _write_rows(path, (n_events, self._some(0, 0).shape[1]), pieces)
        return replace(self, rows=path, n_events=n_events, sumw=sum(s.sumw for s in streams), digest=digest)

    def _pieces(self) -> Iterator[Floats]:
        """The rows, some at a time."""
        for start in range(0, self.n_events, _PIECE):
            yield self._some(start, start + _PIECE)

    def _some(self, start: int, stop: int) -> Floats:
        if isinstance(self.rows, np.ndarray):
            return self.rows[start:stop]
        # A copy: mapped, a file takes no memory afterwards.
        return np.array(_rows_of(self.rows, self.n_events)[start:stop])


@dataclass(frozen=True, eq=False)
class EventSample:
    """Coordinates and weights of single events, by dataset and fold: what a :class:`Sample` is the sum of.

    Only nominal events of one channel are kept. Events add up like samples, by putting them together.

    Attributes
    ----------
    features
        What the discriminant is.
    n_folds
        Into how many folds events were split.
    streams
        The events, in an order that depends on nothing but them.
    """

    features: Features
    n_folds: int
    streams: tuple[Stream, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "streams", tuple(sorted(self.streams, key=_order)))

    @classmethod
    def from_arrays(
        cls,
        processes: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
        coordinates: str | Sequence[Coordinates | Mapping[str, Any]] = "identity",
        *,
        names: Sequence[str] | None = None,
        missing: Mapping[str, float] | None = None,
        n_folds: int = 2,
        event_ids: Mapping[str, npt.ArrayLike] | None = None,
    ) -> EventSample:
        """Events in memory; arguments, folds and errors are those of :meth:`Sample.from_arrays`."""
        features, arrays = declared_arrays(processes, coordinates, names, missing)
        sample = cls(features, n_folds)
        invalid: Counter[tuple[str, str]] = Counter()
        for process, (x, w) in arrays.items():
            event_id = identifiers(process, x, w, event_ids)
            found = EventRows.of(features, n_folds, x, w, event_id)
            invalid.update({(process, name): n for name, n in found.invalid.items()})
            streams = (Stream.of(process, fold, rows) for fold, rows in found.by_fold())
            sample = replace(sample, streams=(*sample.streams, *streams))
        refuse_invalid(invalid)
        return sample

    def __add__(self, other: EventSample) -> EventSample:
        if not isinstance(other, EventSample):
            return NotImplemented
        if self.features != other.features or self.n_folds != other.n_folds:
            raise InputError("events of different features, coordinates or folds cannot be added")
        return replace(self, streams=self.streams + other.streams)

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the processes (of the datasets, before :meth:`normalise`), sorted."""
        return tuple(sorted({s.dataset for s in self.streams}))

    @property
    def n_events(self) -> int:
        """Number of events."""
        return sum(s.n_events for s in self.streams)

    @property
    def digest(self) -> str:
        """A hash of all events and what is known about them."""
        known = [(s.dataset, s.fold, s.n_events, s.digest, s.factor) for s in self.streams]
        return hashlib.sha256(repr((self.n_folds, known)).encode()).hexdigest()

    def normalise(self, normalisation: Normalisation) -> EventSample:
        """Datasets scaled to the luminosity and called by their processes.

        Raises ``ConfigError`` for an unknown dataset.
        """
        return replace(
            self,
            streams=tuple(
                replace(s, dataset=process, factor=s.factor * factor)
                for s in self.streams
                for process, factor in [normalisation.of(s.dataset)]
            ),
        )

    def in_folds(self, folds: Collection[int]) -> tuple[Stream, ...]:
        """The events of some folds. Raises ``ConfigError`` for folds that do not exist."""
        chosen = chosen_folds(folds, self.n_folds)
        return tuple(s for s in self.streams if s.fold in chosen)

    def save(self, folder: str | Path) -> EventSample:
        """Write the events to files, one for each dataset and fold, and return them as they are there.

        What tells that the folder is complete, ``events.json``, is written last.
        """
        streams = []
        for number, (_, group) in enumerate(groupby(self.streams, key=_kept_apart)):
            first, *others = group
            streams.append(first.written(Path(folder).absolute() / f"{number:04d}.npy", *others))
        saved = replace(self, streams=tuple(streams))
        header = {
            "format": _FORMAT,
            "features": self.features.model_dump(mode="json"),
            "n_folds": self.n_folds,
            "streams": [{**vars(s), "rows": Path(str(s.rows)).name} for s in saved.streams],
        }
        write_text(Path(folder) / _HEADER, json.dumps(header, indent=1) + "\n")
        return saved

    @classmethod
    def load(cls, folder: str | Path) -> EventSample:
        """Events written by :meth:`save`; they stay in their files.

        Raises ``InputError`` if the folder does not hold any.
        """
        folder = Path(folder).absolute()  # the workers of a cluster may live in another one
        try:
            header = json.loads((folder / _HEADER).read_text(encoding="utf-8"))
            if header["format"] != _FORMAT:
                raise ValueError(f"format must be {_FORMAT!r}, got {header['format']!r}")
            streams = tuple(Stream(**{**s, "rows": folder / s["rows"]}) for s in header["streams"])
            return cls(Features.model_validate(header["features"]), header["n_folds"], streams)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} does not hold events: {error}") from error


@dataclass(frozen=True, eq=False)
class EventRows:
    """The usable events of one fill: rows (n, d + 1), their folds (n,), and how many values were invalid."""

    rows: Floats
    fold: npt.NDArray[np.int64]
    invalid: dict[str, int]

    @classmethod
    def of(cls, features: Features, n_folds: int, x: Any, weight: Any, event_id: Any) -> EventRows:
        """Arguments and errors as of :meth:`Sample.from_events`."""
        events = clean(features, x, weight)
        fold = fold_of(event_id, len(events.x), n_folds)
        u = features.forward(events.x[events.usable])
        rows = np.column_stack([u, events.weight[events.usable]])
        return cls(rows, fold[events.usable], events.invalid)

    def by_fold(self) -> Iterator[tuple[int, Floats]]:
        """The rows of each fold that has some."""
        for fold in np.unique(self.fold):
            yield int(fold), self.rows[self.fold == fold]


def _write_rows(path: Path, shape: tuple[int, int], pieces: Iterable[Floats]) -> str:
    """Write rows that come in pieces to a ``.npy`` file, whole or not at all; return their digest."""

    def written(file: Any) -> Iterator[Floats]:
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, "<f8").tobytes())
            yield piece

    with write_whole(path) as partial, partial.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        return _digest(written(file))


def _digest(pieces: Iterable[Floats]) -> str:
    sha = hashlib.sha256()
    for piece in pieces:
        sha.update(np.ascontiguousarray(piece, "<f8").tobytes())
    return sha.hexdigest()


def _rows_of(path: Path, n_events: int) -> Floats:
    """The rows of a file, mapped into memory."""
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot read events from {path}: {error}") from error
    if rows.ndim != 2 or len(rows) != n_events:
        raise InputError(f"{path} must hold {n_events} events, got an array of shape {rows.shape}")
    return rows


def _kept_apart(stream: Stream) -> tuple[str, int, float]:
    return stream.dataset, stream.fold, stream.factor


def _order(stream: Stream) -> tuple[Any, ...]:
    return *_kept_apart(stream), stream.digest
