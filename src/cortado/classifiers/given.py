"""What classifiers are given, checked and made into arrays: the same for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.errors import InputError

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Expects:
    """What a classifier takes: the shape of an event's observables, and its classes.

    ``missing`` says whether NaN may stand for an observable that does not exist in an event.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...]
    missing: bool = False

    def observables(self, x: npt.ArrayLike) -> Singles:
        """Observables (n, …) as single precision.

        Images (n, h, w, 1) count as (n, h, w). Raises ``InputError`` for another shape, for what is no
        number, and for numbers that are not finite in single precision.
        """
        try:
            with np.errstate(over="ignore"):
                array = np.asarray(x).astype(np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"x must be an array of numbers: {error}") from error
        if array.shape[1:] == (*self.shape, 1):
            array = array[..., 0]
        if array.ndim != len(self.shape) + 1 or array.shape[1:] != self.shape:
            shape = ", ".join(map(str, ("n", *self.shape)))
            raise InputError(f"x must have shape ({shape}), got {np.shape(x)}")
        bad = np.isinf(array) if self.missing else ~np.isfinite(array)
        if bad.any():
            rows = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1))
            rule = "finite, or NaN where they do not exist" if self.missing else "finite"
            raise InputError(
                f"observables must be {rule}, which {len(rows)} of {len(array)} events break; "
                f"the first is in row {rows[0]}"
            )
        return array

    def events(
        self, x: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> WeightedEvents:
        """Events with their class and weight. Raises ``InputError`` for what does not fit together."""
        observables = self.observables(x)
        n = len(observables)
        number = _array("y", y)
        if number.shape == (n, 1):
            number = number[:, 0]
        if number.shape != (n,) or number.dtype.kind not in "iu":
            raise InputError(
                f"y must be one class number an event, integers of shape ({n},), "
                f"got {number.dtype} of shape {number.shape}"
            )
        if n and (number.min() < 0 or number.max() >= len(self.classes)):
            raise InputError(
                f"y must be 0 … {len(self.classes) - 1}, the numbers of the classes {list(self.classes)}, "
                f"got {number.min()} … {number.max()}"
            )
        weight = np.ones(n) if sample_weight is None else _array("sample_weight", sample_weight)
        if weight.shape != (n,) or weight.dtype.kind not in "fiu" or not np.isfinite(weight).all():
            raise InputError(
                f"sample_weight must be one finite number an event, shape ({n},), "
                f"got {weight.dtype} of shape {weight.shape}"
            )
        return WeightedEvents(observables, number.astype(np.int64), weight.astype(np.float64))

    def training_events(
        self, x: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> WeightedEvents:
        """Events to train on: every class has some, and no weight is negative; else ``InputError``."""
        events = self.events(x, y, sample_weight)
        refuse_negative(events.weight)
        total = np.bincount(events.y, events.weight, minlength=len(self.classes))
        if empty := [name for name, sumw in zip(self.classes, total, strict=True) if sumw <= 0]:
            raise InputError(f"every class must have events with a weight > 0 to train on, {empty} have none")
        return events

    def evaluation_events(
        self, x: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> WeightedEvents:
        """Events to evaluate on: weights of either sign, with a positive sum; else ``InputError``."""
        events = self.events(x, y, sample_weight)
        if not (total := events.weight.sum()) > 0:
            raise InputError(f"weights of events to evaluate on must add up to more than 0, got {total:g}")
        return events

    def validation_events(self, validation_data: Sequence[Any] | None) -> WeightedEvents | None:
        """Events of ``(x, y)`` or ``(x, y, weight)``, if there are any; else ``InputError``."""
        if validation_data is None:
            return None
        if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
            raise InputError("validation_data must be (x, y) or (x, y, weight)")
        x, y, *weight = validation_data
        return self.evaluation_events(x, y, weight[0] if weight else None)


@dataclass(frozen=True, eq=False)
class WeightedEvents:
    """Observables x (n, …) float32, class numbers y (n,) int64 and weights (n,) float64."""

    x: Singles
    y: Integers
    weight: Floats


def _array(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(f"{name} must be one number an event: {error}") from error


def refuse_negative(weight: Floats) -> None:
    """Raise ``InputError`` if a training weight is negative: a loss with such weights has no lower bound."""
    if (weight < 0).any():
        raise InputError(
            f"sample_weight must not be negative to train with, which {np.count_nonzero(weight < 0)} of "
            f"{len(weight)} are: give training weights such as LabelledEvents.balanced_weight(), and keep "
            "the physical ones for evaluation"
        )
