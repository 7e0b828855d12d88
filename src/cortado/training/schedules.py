"""Schedules: values as functions of the progress of a training, from 0 at the first step to 1 at the last."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Exponential:
    """From ``first`` to ``last`` by a constant factor a step; both > 0."""

    first: float
    last: float

    def __call__(self, progress: float) -> float:
        return self.first * (self.last / self.first) ** progress


@dataclass(frozen=True)
class Cosine:
    """From ``first`` to ``last`` along half a cosine: slow at both ends."""

    first: float
    last: float

    def __call__(self, progress: float) -> float:
        return self.last + 0.5 * (self.first - self.last) * (1 + math.cos(math.pi * progress))
