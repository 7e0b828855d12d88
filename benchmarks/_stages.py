"""Where a fit spends its time: seconds of its parts, each without the parts inside it."""

from __future__ import annotations

import pkgutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

import numpy as np

# What to call a part, and the functions that it is made of.
PARTS = {
    "compression": ["cortado.sample:Sample.from_arrays"],
    "points of the folds": ["cortado.sample:Sample.points"],
    "coarser cells": ["cortado.points:Points.coarsened"],
    "smoothing": ["cortado.shares:Shares.smoothed", "cortado.training.fit:shares_of"],
    "partitions": ["cortado.training.starts:partition_start", "cortado.training.starts:_exact_start"],
    "imitation": ["cortado.training.loop:Trainer.begin"],
    "steps": ["cortado.training.loop:Trainer.run"],
    "hard categories": ["cortado.training.run:evaluate_model"],
    "bias": ["cortado.training.run:soft_yields", "cortado.training.run:bias_of"],
}


class Stopwatch:
    """The seconds of every call, by part."""

    def __init__(self) -> None:
        self.calls: dict[str, list[float]] = {name: [] for name in PARTS}
        self._inside: list[float] = []

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            self._inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                seconds = time.perf_counter() - start
                self.calls[part].append(seconds - self._inside.pop())
                if self._inside:
                    self._inside[-1] += seconds

        return wrapper

    def stages(self, seconds: float) -> dict[str, float]:
        """Seconds by part, and what is left of ``seconds``.

        The steps are traced, and maybe compiled, when they are first called: that is the time by which the
        first call exceeds the median of the others.
        """
        sums = {part: sum(calls) for part, calls in self.calls.items()}
        steps = self.calls["steps"]
        usual = float(np.median(steps[1:])) if len(steps) > 1 else 0.0
        sums["tracing"] = max(steps[0] - usual, 0.0) if steps else 0.0
        sums["steps"] -= sums["tracing"]
        return sums | {"other": seconds - sum(sums.values())}


@contextmanager
def watched() -> Iterator[Stopwatch]:
    """A stopwatch that is running in this block."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for part, names in PARTS.items():
            for name in names:
                module, _, path = name.partition(":")
                inside, _, attribute = path.rpartition(".")
                owner = pkgutil.resolve_name(f"{module}:{inside}")  # fit is a module and a function
                timed = watch.timed(part, getattr(owner, attribute))
                stack.enter_context(patch.object(owner, attribute, timed))
        yield watch
