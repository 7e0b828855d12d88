"""Floors on what a category holds: expected background, and simulated events behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cortado.objectives.terms import Floor
from cortado.objectives.yields import Yields, array_namespace

# No variance for any purpose, but the square of any yield can be divided by it, for the gradient twice.
_LEAST_VARIANCE = 1e-100


@dataclass(frozen=True)
class MinBackground(Floor):
    """At least ``minimum`` expected background events (at full luminosity) in every category."""

    def level(self, yields: Yields) -> Any:
        """(K,) expected background."""
        return yields.total(yields.backgrounds)


@dataclass(frozen=True)
class MinEffectiveEvents(Floor):
    """At least ``minimum`` effective simulated background events, (Σw)²/Σw², in every category.

    A yield of 10 can be four events of weight 2.5; the effective number says so. Zero where Σw ≤ 0.
    """

    def level(self, yields: Yields) -> Any:
        """(K,) effective number of background events."""
        xp = array_namespace(yields.sumw)
        total = xp.maximum(yields.total(yields.backgrounds), 0.0)
        variance = yields.total(yields.backgrounds, "sumw2")
        return total**2 / xp.maximum(variance, _LEAST_VARIANCE)
