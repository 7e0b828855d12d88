"""Events with their class, for training classifiers and for judging them.

Weights are physical: those of the full luminosity, with their sign, which every evaluation uses.
Trainings use :meth:`LabelledEvents.balanced_weight`.

Parts of events are chosen by a hash of each event's identifier, never by their order. The fold is that of
:func:`cortado.folds.assign_folds`, as in the sinks of both passes, so that a classifier and categories can
leave out the same events. Shares of a :meth:`LabelledEvents.split` come from another hash of the same
identifier.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.classifiers.observable_columns import (
    observable_columns,
    observable_values,
    rows_of_numbers,
)
from cortado.classifiers.parquet import read_columns, write_columns
from cortado.classifiers.training_weights import NegativeWeights, weights_of_processes
from cortado.errors import ConfigError, InputError, checked_integer
from cortado.folds import assign_folds, checked_ids, chosen_folds, content_ids, mix

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

DEFAULT_FOLDS = 5

# One row an event.
_KINDS: Mapping[str, type[np.generic]] = MappingProxyType(
    {"x": np.float32, "y": np.int64, "weight": np.float64, "event_id": np.uint64, "process": np.str_}
)
_FORMAT = "cortado-labelled-events-1"
_RESERVED = ("class", "process", "weight", "event_id", "image")
_SPLIT = np.uint64(0x9E3779B97F4A7C15)  # sets the hash of a split apart from that of folds


@dataclass(frozen=True)
class Split:
    """Three parts that have no event in common."""

    train: LabelledEvents
    validation: LabelledEvents
    test: LabelledEvents


@dataclass(frozen=True)
class FoldParts(Split):
    """The parts in which fold number ``fold`` is the test part: a classifier of the others scores it."""

    fold: int


@dataclass(frozen=True, eq=False)
class LabelledEvents:
    """n events of K classes. Raises ``InputError`` for arrays that do not fit, or values that are not finite.

    Attributes
    ----------
    x
        (n, d) observables or (n, h, w) images, float32.
    y
        (n,) numbers of the classes, 0 … K − 1.
    weight
        (n,) physical weights, float64; they may be negative.
    event_id
        (n,) identifiers, uint64, whose hash decides about folds and splits.
    classes
        K names; the last of two is the signal where nothing else is said.
    observables
        d names; none for images.
    process
        (n,) the process of each event.
    n_folds
        Into how many folds events are split.
    """

    x: npt.NDArray[np.float32]
    y: Integers
    weight: Floats
    event_id: npt.NDArray[np.uint64]
    classes: tuple[str, ...]
    observables: tuple[str, ...]
    process: npt.NDArray[Any]
    n_folds: int = DEFAULT_FOLDS

    def __post_init__(self) -> None:
        checked_integer("n_folds", self.n_folds, 1)
        for name, kind in _KINDS.items():
            object.__setattr__(self, name, _as(kind, getattr(self, name)))
        n = len(self.y)
        refuse_names(self.classes, self.observables)
        if self.x.ndim not in (2, 3) or self.is_images == bool(self.observables):
            raise InputError(
                "x must have shape (n, d) with the names of d observables, or (n, h, w) without any, got "
                f"{self.x.shape} and {list(self.observables)}"
            )
        if not self.is_images and self.x.shape[1] != len(self.observables):
            raise InputError(
                f"observables must be one a column of x, {self.x.shape[1]}, got {list(self.observables)}"
            )
        for name in _KINDS:
            shape = getattr(self, name).shape
            if shape[:1] != (n,) or (name != "x" and len(shape) != 1):
                raise InputError(f"{name} must have one row an event, {n}, got shape {shape}")
        if n and not 0 <= self.y.min() <= self.y.max() < len(self.classes):
            raise InputError(
                f"y must be numbers of classes, 0 to {len(self.classes) - 1}, got {self.y.min()} to "
                f"{self.y.max()}"
            )
        self._refuse_not_finite()

    @classmethod
    def from_arrays(
        cls,
        processes: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
        observables: Sequence[str] | None = None,
        *,
        classes: Mapping[str, Sequence[str]] | None = None,
        event_ids: Mapping[str, npt.ArrayLike] | None = None,
        n_folds: int = DEFAULT_FOLDS,
    ) -> LabelledEvents:
        """Events given as arrays.

        Parameters
        ----------
        processes
            By process, observables (n, d) or images (n, h, w), and physical weights (n,).
        observables
            Names of the d observables, by default x0, x1 …
        classes
            By class, the processes that belong to it; others are left out. By default every process is a
            class of its own. Classes are numbered in the order in which they stand here.
        event_ids
            By process, integers (n,) that identify the events; by default a hash of their values.
        n_folds
            Into how many folds events are split.

        Raises
        ------
        ConfigError
            For a process in two classes, or names that are not allowed.
        InputError
            For a process that is not there, a class without events, arrays whose shapes do not fit, and
            values or weights that are not finite.
        """
        grouped = {name: (name,) for name in processes} if classes is None else classes
        class_of = process_classes(grouped)
        if absent := [name for name in class_of if name not in processes]:
            raise InputError(f"there are no events of {absent}; there are {sorted(processes)}")
        parts = [
            _part(p, *processes[p], grouped, class_of[p], observables, event_ids, n_folds) for p in class_of
        ]
        return concatenated(parts).with_all_classes("the events")

    @property
    def is_images(self) -> bool:
        """Whether events are images."""
        return self.x.ndim == 3

    @cached_property
    def fold(self) -> Integers:
        """(n,) the fold of each event, 0 … n_folds − 1."""
        return assign_folds(self.event_id, self.n_folds)

    def __len__(self) -> int:
        return len(self.y)

    def __add__(self, other: LabelledEvents) -> LabelledEvents:
        if not isinstance(other, LabelledEvents):
            return NotImplemented
        return concatenated([self, other])

    def select(self, chosen: Any) -> LabelledEvents:
        """Some of the events, by a mask (n,), their numbers or a slice. Raises ``InputError`` for others."""
        try:
            rows = np.arange(len(self))[chosen]
        except IndexError as error:
            raise InputError(f"chosen must be a mask of {len(self)} events, or numbers: {error}") from error
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in _KINDS}
        return replace(self, **arrays)

    def in_folds(self, folds: Collection[int]) -> LabelledEvents:
        """The events of some folds. Raises ``ConfigError`` for folds that do not exist."""
        return self.select(np.isin(self.fold, list(chosen_folds(folds, self.n_folds))))

    def split(self, train: float = 0.6, validation: float = 0.2, test: float = 0.2, seed: int = 0) -> Split:
        """Three parts of about these shares, by a hash of identifier and seed.

        An event is in the same part whatever other events there are. Raises ``ConfigError`` unless the
        shares are positive and add up to 1, ``InputError`` if a part has no events of a class.
        """
        shares = np.array([train, validation, test], np.float64)
        if not (shares > 0).all() or abs(shares.sum() - 1) > 1e-9:
            raise ConfigError(f"train, validation and test must be positive and add up to 1, got {shares}")
        salt = mix(np.array([checked_integer("seed", seed, 0)], np.uint64) + _SPLIT)
        uniform = (mix(mix(self.event_id) ^ salt) >> np.uint64(11)) * 2.0**-53
        part = np.searchsorted(np.cumsum(shares)[:2], uniform, side="right")
        names = ("train", "validation", "test")
        return Split(*(self.select(part == i).with_all_classes(f"part {n!r}") for i, n in enumerate(names)))

    def k_fold(self) -> Iterator[FoldParts]:
        """For each fold that has events, a test part of it, a validation part of the next, and the others.

        A classifier that is trained on ``train``, and stopped by ``validation``, has not seen ``test``.
        Raises ``InputError`` for fewer than three folds with events, or if a part has no events of a class.
        """
        folds = [int(fold) for fold in np.unique(self.fold)]
        if len(folds) < 3:
            raise InputError(f"training, validation and test need at least 3 folds, got events of {folds}")
        for test, validation in zip(folds, folds[1:] + folds[:1], strict=True):
            others = set(folds) - {test, validation}
            yield FoldParts(self._folds(others), self._folds({validation}), self._folds({test}), test)

    def out_of_fold(self, predictions: Mapping[int, npt.ArrayLike]) -> npt.NDArray[Any]:
        """Predictions for the test part of each fold, (n_fold, …), put back into the order of events (n, …).

        Raises ``InputError`` unless there are as many as events of every fold.
        """
        folds, counts = np.unique(self.fold, return_counts=True)
        given = {fold: np.asarray(values) for fold, values in predictions.items()}
        expected = dict(zip(folds.tolist(), counts.tolist(), strict=True))
        if {fold: len(values) for fold, values in given.items()} != expected:
            raise InputError(
                f"predictions must be for as many events as every fold has, {expected}, got "
                f"{ {fold: len(values) for fold, values in given.items()} }"
            )
        order = np.argsort(self.fold, kind="stable")
        result = np.concatenate([given[fold] for fold in sorted(given)])
        return result[np.argsort(order, kind="stable")]

    def balanced_weight(
        self,
        negative: NegativeWeights = "absolute",
        *,
        process_factors: Mapping[str, float] | None = None,
    ) -> Floats:
        """(n,) weights for training, none of them negative; those of each class add up to n / K.

        Every class matters as much as any other then, and the mean weight is 1. Within a class, processes
        keep their shares of the physical weights, times ``process_factors`` where given.

        A loss that is to fall for some events and rise for others has no lower bound, and trees and networks
        become unstable, so negative weights w do not reach a training:

        ``"absolute"``
            \\|w\\|, scaled for each process so that its Σw stays. All events are used. Where a share f(x) of
            the events at x is negative, a process looks denser by a factor proportional to 1 / (1 − 2f(x)):
            a discriminant is less than the best possible one only as far as f varies with x.
        ``"drop"``
            0 for them, and positive ones scaled likewise. The factor is proportional to (1 − f) / (1 − 2f),
            which varies less, and fewer events are used.
        ``"refuse"``
            ``InputError``.

        Neither is a bias of results: these are evaluated with physical weights. Raises ``InputError`` if the
        physical weights of a process do not have a positive sum, or a class has no events; ``ConfigError``
        for another treatment, an unknown process, and a factor that is not positive.
        """
        scaled = weights_of_processes(self.weight, self.process, negative, process_factors or {})
        sums = np.bincount(self.y, scaled, minlength=len(self.classes))
        self.with_all_classes("the events")
        return scaled * (len(self) / len(self.classes) / sums)[self.y]

    def with_all_classes(self, what: str) -> LabelledEvents:
        """These events, if every class has some; else ``InputError``, in which they are called ``what``."""
        counts = np.bincount(self.y, minlength=len(self.classes))
        if without := [c for c, n in zip(self.classes, counts, strict=True) if n == 0]:
            raise InputError(
                f"every class needs events, and {what} ({len(self)} events) has none of {without}"
            )
        return self

    def save(self, path: str | Path) -> None:
        """Write the events to a Parquet file, whole or not at all.

        Its columns are the observables by their names, or ``image`` with all pixels row by row, and
        ``class``, ``process``, ``weight`` and ``event_id``.
        """
        header = {
            "classes": self.classes,
            "observables": self.observables,
            "n_folds": self.n_folds,
        }
        known = {
            "class": np.array(self.classes, np.str_)[self.y],
            "process": self.process,
            "weight": self.weight,
            "event_id": self.event_id,
        }
        write_columns(path, _FORMAT, header, observable_columns(self.x, self.observables) | known)

    @classmethod
    def load(cls, path: str | Path) -> LabelledEvents:
        """Events written by :meth:`save`. Raises ``InputError`` if the file does not hold any."""
        header, columns = read_columns(path, _FORMAT)
        try:
            number = {name: i for i, name in enumerate(header["classes"])}
            if unknown := sorted(set(columns["class"]) - set(number)):
                raise InputError(f"classes {unknown} are not among {list(number)}")
            observables = tuple(header["observables"])
            return cls(
                observable_values(columns, observables),
                np.array([number[name] for name in columns["class"]], np.int64),
                columns["weight"],
                columns["event_id"],
                tuple(number),
                observables,
                columns["process"],
                header["n_folds"],
            )
        except KeyError as error:
            raise InputError(f"{path}: {error} is not there") from error
        except (ValueError, TypeError) as error:
            raise InputError(f"{path} does not hold events with their class: {error}") from error

    def _folds(self, folds: Collection[int]) -> LabelledEvents:
        return self.in_folds(folds).with_all_classes(f"the events of folds {sorted(folds)}")

    def _refuse_not_finite(self) -> None:
        unusable = ~np.isfinite(self.weight)
        if unusable.any():
            raise InputError(
                f"weights must be finite, {unusable.sum()} are not, the first {self._place(unusable)}"
            )
        bad = ~np.isfinite(self.x)
        if not bad.any():
            return
        if self.is_images:
            place = self._place(np.any(bad, axis=(1, 2)))
            raise InputError(f"images must be finite, {bad.sum()} pixels are not, the first {place}")
        column = int(np.argmax(bad.any(axis=0)))
        raise InputError(
            f"observable {self.observables[column]!r} must be finite, {bad[:, column].sum()} values are not, "
            f"the first {self._place(bad[:, column])}; declare the value that it has where it does not exist"
        )

    def _place(self, bad: npt.NDArray[np.bool_]) -> str:
        row = int(np.argmax(bad))
        return f"in row {row}, of {str(self.process[row])!r}"


def concatenated(parts: Sequence[LabelledEvents]) -> LabelledEvents:
    """Events one after the other. Raises ``InputError`` if classes, observables or folds are not the same."""
    first, *others = parts
    for other in others:
        for name in ("classes", "observables", "n_folds"):
            if getattr(first, name) != getattr(other, name):
                raise InputError(
                    f"events that are put together need the same {name}, got {getattr(first, name)} and "
                    f"{getattr(other, name)}"
                )
        if first.x.shape[1:] != other.x.shape[1:]:
            raise InputError(
                f"events that are put together need the same shape, got {first.x.shape[1:]} and "
                f"{other.x.shape[1:]}"
            )
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _KINDS
    }
    return replace(first, **arrays)


def process_classes(classes: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The number of the class of each process. Raises ``ConfigError`` for a process that is in two."""
    class_of: dict[str, int] = {}
    for number, (name, members) in enumerate(classes.items()):
        if isinstance(members, str) or not members:
            raise ConfigError(f"class {name!r} must have a list of processes, got {members!r}")
        for process in members:
            if process in class_of:
                raise ConfigError(f"process {process!r} must be in one class, and is in two")
            class_of[process] = number
    if len(classes) < 2:
        raise ConfigError(f"there must be at least two classes, got {list(classes)}")
    return class_of


def _part(
    process: str,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    classes: Mapping[str, Sequence[str]],
    number: int,
    observables: Sequence[str] | None,
    event_ids: Mapping[str, npt.ArrayLike] | None,
    n_folds: int,
) -> LabelledEvents:
    """The events of one process."""
    values, w = (_numbers(process, array) for array in (x, weight))
    n = len(values) if values.ndim else 0
    if values.ndim not in (2, 3) or w.shape != (n,):
        raise InputError(
            f"process {process!r}: observables must have shape (n, d) or images (n, h, w), weights (n,), "
            f"got {values.shape} and {w.shape}"
        )
    if values.ndim == 3 and observables is not None:
        raise InputError(
            f"process {process!r}: images (n, h, w) have no observables, got {list(observables)}"
        )
    names = [f"x{i}" for i in range(values.shape[1])] if observables is None else observables
    if event_ids is None:
        identifiers = content_ids(np.column_stack([rows_of_numbers(values), w]))
    elif process in event_ids:
        identifiers = checked_ids(event_ids[process], n, f"event_ids[{process!r}]").astype(np.uint64)
    else:
        raise InputError(
            f"event_ids must have those of every process, got {sorted(event_ids)} without {process!r}"
        )
    return LabelledEvents(
        _as(np.float32, values),
        np.full(n, number, np.int64),
        w,
        identifiers,
        tuple(classes),
        () if values.ndim == 3 else tuple(names),
        np.full(n, process),
        n_folds,
    )


def _numbers(process: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Numbers as they are."""
    try:
        array = np.asarray(values)
        return array if array.dtype.kind in "fiub" else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"process {process!r}: observables and weights must be numbers: {error}") from error


def _as(kind: type[np.generic], values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Values of one kind; a number that single precision does not hold becomes infinite, to be found so."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(kind, copy=False)


def refuse_names(classes: Sequence[str], observables: Sequence[str]) -> None:
    """Raise ``ConfigError`` for names of classes or observables that files of events could not hold."""
    for what, names in (("classes", classes), ("observables", observables)):
        if len(set(names)) < len(names):
            raise ConfigError(f"{what} must differ, got {list(names)}")
    if reserved := sorted(set(observables) & set(_RESERVED)):
        raise ConfigError(
            f"{reserved} cannot be observables, as files of events have columns of these names for "
            "what a classifier must not see"
        )
