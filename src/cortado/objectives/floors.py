"""Floors on what a category holds: expected background, and simulated events behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cortado.objectives.arrays import array_namespace
from cortado.objectives.terms import Floor
from cortado.objectives.yields import Yields

# Nothing for any purpose, but the square of any yield can be divided by it, for the gradient twice.
_LEAST = 1e-100


@dataclass(frozen=True)
class MinBackground(Floor):
    """At least ``minimum`` expected background events (at full luminosity) in every category."""

    minimum: float

    def level(self, yields: Yields) -> Any:
        """(K,) expected background."""
        return yields.total(yields.backgrounds)

    def gap(self, yields: Yields) -> Any:
        return _below(self.level(yields), self.minimum)


@dataclass(frozen=True)
class MinEffectiveEvents(Floor):
    """At least ``minimum`` effective simulated background events, (Σw)²/Σw², in every category.

    A yield of 10 can be four events of weight 2.5; the effective number says so. Zero where Σw ≤ 0.
    """

    minimum: float

    def level(self, yields: Yields) -> Any:
        """(K,) effective number of background events."""
        xp = array_namespace(yields.sumw)
        total = xp.maximum(yields.total(yields.backgrounds), 0.0)
        return xp.square(total) / _variance(yields)

    def gap(self, yields: Yields) -> Any:
        return _below(self.level(yields), self.minimum)


@dataclass(frozen=True)
class MinEvents(Floor):
    """At least ``minimum`` simulated background events in every category, whatever their weights."""

    minimum: float

    def level(self, yields: Yields) -> Any:
        """(K,) number of simulated background events."""
        return yields.total(yields.backgrounds, "count")

    def gap(self, yields: Yields) -> Any:
        return _below(self.level(yields), self.minimum)


@dataclass(frozen=True)
class MaxRelativeUncertainty(Floor):
    """At most ``maximum`` for √Σw²/Σw of the background, its relative uncertainty, in every category.

    The gap is 1 − maximum/level. The limit is that of at least 1/maximum² effective events, in other words.
    """

    maximum: float

    def level(self, yields: Yields) -> Any:
        """(K,) relative uncertainty, more than any limit where Σw ≤ 0."""
        xp = array_namespace(yields.sumw)
        total = xp.maximum(yields.total(yields.backgrounds), _LEAST)
        return xp.sqrt(_variance(yields)) / total

    def gap(self, yields: Yields) -> Any:
        return 1 - self.maximum / self.level(yields)


def _variance(yields: Yields) -> Any:
    """(K,) Σw² of the background, kept from 0."""
    xp = array_namespace(yields.sumw2)
    return xp.maximum(yields.total(yields.backgrounds, "sumw2"), _LEAST)


def _below(level: Any, minimum: float) -> Any:
    """1 − level/minimum; never positive for a minimum of 0."""
    return 1 - level / minimum if minimum else level * 0
