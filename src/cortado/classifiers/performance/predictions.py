"""What a classifier says of events, beside what they are: checked once, used by all that judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError, InputError, shown

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Signal = int | Sequence[int] | None

# A softmax of single precision may be so far beyond 1.
_ROUNDING = 1e-6


class MissingEvents(InputError):
    """There are no events, or no positive sum of weights, of a kind that a number is about."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """True classes, probabilities of the classes, and weights of n events.

    Parameters
    ----------
    y
        (n,) or (n, 1) numbers of the true classes, from 0 on.
    probabilities
        (n, n_classes), between 0 and 1.
    weight
        (n,) weights, 1 without it. They may be negative: sums of weights decide. Efficiencies then need not
        grow as a threshold falls, and may leave the range from 0 to 1.

    Raises
    ------
    InputError
        Where shapes do not fit, there are no events, a value is not finite, a probability is not between 0
        and 1, or a class is none of the n_classes.
    """

    y: Integers
    probabilities: Floats
    weight: Floats

    def __init__(self, y: Any, probabilities: Any, weight: Any = None) -> None:
        p = _numbers("probabilities", probabilities)
        if p.ndim != 2 or p.shape[1] < 2:
            raise InputError(f"probabilities must be (n, n_classes) with two classes or more, got {p.shape}")
        if not len(p):
            raise MissingEvents("predictions need at least one event, got none")
        classes = _column("y", y, len(p))
        w = np.ones(len(p)) if weight is None else _column("weight", weight, len(p))
        for name, values in (("probabilities", p), ("y", classes), ("weight", w)):
            _check("must be finite", name, values, np.isfinite(values))
        within = (p >= -_ROUNDING) & (p <= 1 + _ROUNDING)
        _check("must be between 0 and 1", "probabilities", p, within)
        known = (classes >= 0) & (classes < p.shape[1]) & (classes == np.floor(classes))
        _check(f"must be a class, 0 to {p.shape[1] - 1}", "y", classes, known)
        object.__setattr__(self, "y", classes.astype(np.int64))
        object.__setattr__(self, "probabilities", p)
        object.__setattr__(self, "weight", w)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def n_classes(self) -> int:
        """How many classes there are probabilities of."""
        return self.probabilities.shape[1]

    def score(self, signal: Signal = None) -> Floats:
        """(n,) the probability of signal: the sum of those of the signal classes."""
        return self.probabilities[:, signal_classes(signal, self.n_classes)].sum(axis=1)

    def is_signal(self, signal: Signal = None) -> npt.NDArray[np.bool_]:
        """(n,) whether the true class is one of the signal classes."""
        return np.isin(self.y, signal_classes(signal, self.n_classes))


def signal_classes(signal: Signal, n_classes: int) -> list[int]:
    """The numbers of the classes that are signal; without a name, the second of two classes.

    Raises ``ConfigError`` where they are not distinct classes, some but not all, or have to be named.
    """
    if signal is None:
        if n_classes != 2:
            raise ConfigError(f"signal must name the signal classes where there are {n_classes}, got None")
        return [1]
    classes = named_classes(signal)
    if max(classes) >= n_classes or len(classes) == n_classes:
        raise ConfigError(
            f"signal must be some, not all, of the classes 0 to {n_classes - 1}, got {signal!r}"
        )
    return classes


def named_classes(signal: Any) -> list[int]:
    """Numbers of classes as a list; ``ConfigError`` where they are no distinct numbers from 0 on."""
    values: list[Any] = [*signal] if isinstance(signal, Sequence | np.ndarray) else [signal]
    valid = all(not isinstance(v, bool) and isinstance(v, Integral) and int(v) >= 0 for v in values)
    if not values or not valid or len(set(values)) < len(values):
        raise ConfigError(f"signal must be the number of a class, or a list of distinct ones, got {signal!r}")
    return [int(v) for v in values]


def check_positive(what: str, total: float) -> None:
    """Raise ``MissingEvents`` where the sum of the weights of ``what`` is not positive."""
    if not total > 0:
        raise MissingEvents(f"the weights of {what} must have a positive sum, got {total:g}")


def _numbers(name: str, values: Any) -> Floats:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be numbers, got {shown(values)}") from error


def _column(name: str, values: Any, n: int) -> Floats:
    column = _numbers(name, values)
    if column.shape not in ((n,), (n, 1)):
        raise InputError(f"{name} must have one value for each of {n} events, got {column.shape}")
    return column.reshape(n)


def _check(rule: str, name: str, values: Floats, holds: npt.NDArray[np.bool_]) -> None:
    wrong = ~holds.reshape(len(values), -1).all(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"{name} {rule}, but {np.count_nonzero(wrong)} of {len(values)} events have something else, "
            f"the first of them event {first}: {values[first].tolist()}"
        )
