"""Scale factors on the yields of backgrounds, for estimates that do not come from simulation alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortado.errors import ConfigError
from cortado.objectives.described import described
from cortado.objectives.yields import Yields

Factor = float | tuple[float, ...] | Callable[[Yields], Any]


@dataclass(frozen=True, repr=False)
class Scale:
    """Yields of some processes times a factor: Σw by f, Σw² by f², counts unchanged.

    Parameters
    ----------
    processes
        One name or several.
    factor
        A number > 0, a sequence of K of them, one for each category, or a function of the unscaled yields
        that gives one or (K,), such as data over simulation in a sideband; its derivatives are followed.
    """

    processes: tuple[str, ...]
    factor: Factor

    def __init__(self, processes: str | tuple[str, ...], factor: Any) -> None:
        names = (processes,) if isinstance(processes, str) else tuple(processes)
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"processes to scale must be distinct names, at least one, got {list(names)}")
        object.__setattr__(self, "processes", names)
        object.__setattr__(self, "factor", factor if callable(factor) else _numbers(names, factor))

    def __repr__(self) -> str:
        return f"Scale({self.processes!r}, {described(self.factor)})"

    @property
    def per_category(self) -> bool:
        """Whether the factors are numbers in the order of the categories."""
        return isinstance(self.factor, tuple)

    def __call__(self, yields: Yields, unscaled: Yields) -> Yields:
        """``yields`` with these processes scaled; functions are given ``unscaled``."""
        factor = self.factor(unscaled) if callable(self.factor) else self.factor
        return yields.scaled(factor, self.processes)


def _numbers(names: tuple[str, ...], factor: Any) -> float | tuple[float, ...]:
    try:
        numbers = np.asarray(factor, np.float64)
    except (TypeError, ValueError):
        numbers = np.array(np.nan)
    if numbers.ndim > 1 or not numbers.size or not np.all((numbers > 0) & np.isfinite(numbers)):
        raise ConfigError(
            f"scale factors of {list(names)} must be a finite number > 0, one for each category, "
            f"or a function of yields, got {factor!r}"
        )
    return tuple(numbers.tolist()) if numbers.ndim else float(numbers)
