"""Schedules: values as functions of the progress of a training, from 0 at the first step to 1 at the last.

Their ``repr`` is the same in every process, so that it can tell one training from another.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from numbers import Real
from typing import Any

from cortado.errors import ConfigError
from cortado.objectives.described import described

Schedule = Callable[[float], float]
"""A value, such as a learning rate, from the progress 0 … 1."""


@dataclass(frozen=True)
class Constant:
    """The same ``value`` all along."""

    value: float

    def __post_init__(self) -> None:
        _check_numbers(self)

    def __call__(self, progress: float) -> float:  # noqa: ARG002  every schedule is a function of it
        return self.value


@dataclass(frozen=True)
class Linear:
    """From ``first`` to ``last`` by a constant difference a step."""

    first: float
    last: float

    def __post_init__(self) -> None:
        _check_numbers(self)

    def __call__(self, progress: float) -> float:
        return self.first * (1 - progress) + self.last * progress


@dataclass(frozen=True)
class Exponential:
    """From ``first`` to ``last`` by a constant factor a step; both > 0."""

    first: float
    last: float

    def __post_init__(self) -> None:
        _check_numbers(self, positive=True)

    def __call__(self, progress: float) -> float:
        return self.first ** (1 - progress) * self.last**progress


@dataclass(frozen=True)
class Cosine:
    """From ``first`` to ``last`` along half a cosine: slow at both ends."""

    first: float
    last: float

    def __post_init__(self) -> None:
        _check_numbers(self)

    def __call__(self, progress: float) -> float:
        return self.last + 0.5 * (self.first - self.last) * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True, init=False, repr=False)
class Joined:
    """Schedules one after the other, each with a progress of its own, 0 … 1, over its stretch.

    ``Joined([Constant(1.0), Exponential(1.0, 0.05)], at=[0.3])`` is 1 for the first 30 % of the steps. Where
    one schedule ends and the next begins, the next one counts; nothing makes the two agree there.

    Parameters
    ----------
    parts
        One schedule or several, functions of one's own included.
    at
        Where each part but the first begins: increasing fractions between 0 and 1, one fewer than ``parts``.
    """

    parts: tuple[Schedule, ...]
    at: tuple[float, ...]

    def __init__(self, parts: Sequence[Schedule], at: Sequence[float]) -> None:
        for part in parts:
            if not callable(part):
                raise ConfigError(f"Joined: parts must be functions of the progress, got {part!r}")
        if not parts or len(at) != len(parts) - 1:
            raise ConfigError(
                "Joined: at must be one number fewer than there are parts, and parts at least one, "
                f"got {len(parts)} parts and at = {list(at)}"
            )
        places = tuple(_number("Joined: at", place) for place in at)
        if not all(a < b for a, b in pairwise((0.0, *places, 1.0))):
            raise ConfigError(f"Joined: at must be increasing numbers between 0 and 1, got {list(at)}")
        object.__setattr__(self, "parts", tuple(parts))
        object.__setattr__(self, "at", places)

    def __repr__(self) -> str:
        return f"Joined({described(self.parts)}, at={self.at})"

    def __call__(self, progress: float) -> float:
        part = bisect_right(self.at, progress)
        begin, end = (0.0, *self.at)[part], (*self.at, 1.0)[part]
        return self.parts[part]((progress - begin) / (end - begin))


def _check_numbers(schedule: Any, *, positive: bool = False) -> None:
    """Make the fields of a schedule floats, so that equal schedules read the same; else ``ConfigError``."""
    for option in fields(schedule):
        what = f"{type(schedule).__name__}: {option.name}"
        value = _number(what, getattr(schedule, option.name))
        if positive and not value > 0:
            raise ConfigError(f"{what} must be > 0, got {value}")
        object.__setattr__(schedule, option.name, value)


def _number(what: str, value: Any) -> float:
    number = float(value) if isinstance(value, Real) else math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{what} must be a finite number, got {value!r}")
    return number
