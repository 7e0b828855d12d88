"""Objectives are sums of terms, each a function of yields; larger is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError
from cortado.objectives.yields import Yields, array_namespace


class Term:
    """Base of the terms that come with cortado: gives them ``+``. A plain function is a term, too."""

    def __call__(self, yields: Yields) -> Any:
        """A scalar, larger for better categories."""
        raise NotImplementedError

    def __add__(self, other: Callable[[Yields], Any]) -> Objective:
        return Objective((self,)) + other

    def __radd__(self, other: Callable[[Yields], Any]) -> Objective:
        return Objective((other, self))


@dataclass(frozen=True)
class Objective:
    """A sum of terms. The signals are those of the one term that names them."""

    terms: tuple[Callable[[Yields], Any], ...]

    def __post_init__(self) -> None:
        for term in self.terms:
            if not callable(term):
                raise ConfigError(f"the terms of an objective must be functions of yields, got {term!r}")
        named = set(self._named_signals())
        if len(named) > 1:
            raise ConfigError(f"the terms of one objective must name the same signals, got {sorted(named)}")

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signal processes; empty if no term names any."""
        return next(iter(self._named_signals()), ())

    def _named_signals(self) -> list[tuple[str, ...]]:
        return [tuple(signals) for term in self.terms if (signals := getattr(term, "signals", ()))]

    @property
    def floors(self) -> tuple[Floor, ...]:
        """The terms that every category must satisfy."""
        return tuple(t for t in self.terms if isinstance(t, Floor))

    def __call__(self, yields: Yields) -> Any:
        """The sum of the terms."""
        named = replace(yields, signals=self.signals)
        return sum(term(named) for term in self.terms)

    def value(self, yields: Yields) -> float:
        """The objective without its floors, of hard categories: what is quoted."""
        named = replace(yields, signals=self.signals)
        return float(sum(term(named) for term in self.terms if not isinstance(term, Floor)))

    def shortfall(self, yields: Yields) -> npt.NDArray[np.float64]:
        """(K,) how far each category is below its floors: 0 where all are met, 1 a floor if it is empty."""
        named = replace(yields, signals=self.signals)
        gaps = [np.clip(floor.gap(named), 0.0, None) for floor in self.floors]
        return np.sum(gaps, axis=0) if gaps else np.zeros(np.shape(yields.sumw)[1])

    def __add__(self, other: Callable[[Yields], Any]) -> Objective:
        more = other.terms if isinstance(other, Objective) else (other,)
        return Objective((*self.terms, *more))

    def __radd__(self, other: Callable[[Yields], Any]) -> Objective:
        return Objective((other, *self.terms))


@dataclass(frozen=True)
class Floor(Term):
    """A minimum that every category has to reach: a penalty while training, a rule afterwards.

    The penalty is −strength · Σ_k g²/(1 + g²) for g = 1 − value/minimum > 0: smooth, and bounded for
    categories that are empty or negative.
    """

    minimum: float
    strength: float = 10.0

    def __post_init__(self) -> None:
        if not self.minimum >= 0 or not np.isfinite(self.minimum):
            raise ConfigError(
                f"{type(self).__name__}: minimum must be a finite number ≥ 0, got {self.minimum}"
            )
        if not 0 < self.strength < float("inf"):
            raise ConfigError(
                f"{type(self).__name__}: strength must be a finite number > 0, got {self.strength}"
            )

    def level(self, yields: Yields) -> Any:
        """(K,) the quantity that has to reach the minimum."""
        raise NotImplementedError

    def gap(self, yields: Yields) -> Any:
        """(K,) 1 − level/minimum: positive where a category is below the minimum."""
        return 1 - self.level(yields) / self.minimum if self.minimum else self.level(yields) * 0

    def __call__(self, yields: Yields) -> Any:
        xp = array_namespace(yields.sumw)
        gap = xp.maximum(self.gap(yields), 0.0)
        return -self.strength * xp.sum(gap**2 / (1 + gap**2))


def as_objective(function: Objective | Callable[[Yields], Any]) -> Objective:
    """An :class:`Objective` from one, from a term, or from a plain function of yields."""
    return function if isinstance(function, Objective) else Objective((function,))
