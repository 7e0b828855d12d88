"""The hard categories of a model, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortado.categorizer.rules import ModelRule
from cortado.models import Model
from cortado.objectives import Objective
from cortado.sample import Points


@dataclass(frozen=True, eq=False)
class HardState:
    """Hard categories, their objective without floors, and how far they are below the floors."""

    rule: ModelRule
    value: float
    shortfall: float

    def better_than(self, other: HardState | None) -> bool:
        """Meeting the floors comes first, then the objective."""
        if not np.isfinite(self.value):
            return False
        return other is None or (-self.shortfall, self.value) > (-other.shortfall, other.value)


def evaluate_model(model: Model, points: Points, goal: Objective) -> HardState | None:
    """The hard categories without those that miss a floor; None where the model has no finite hard limit.

    The category that is farthest below goes first, in the way that leaves the largest objective. Where scale
    factors belong to categories none is dropped, and if the rule lacks some the objective is −∞.
    """
    try:
        rule = model.freeze(points)
    except ValueError:
        return None
    if goal.per_category and (missing := model.n_categories - rule.n_categories):
        return HardState(rule, -np.inf, float(missing))
    state, shortfall = _evaluated(rule, points, goal)
    while shortfall.any() and state.rule.n_categories > 1 and not goal.per_category:
        candidates = [_evaluated(r, points, goal) for r in state.rule.without(int(np.argmax(shortfall)))]
        state, shortfall = max(candidates, key=lambda c: (-c[0].shortfall, c[0].value))
    return state


def _evaluated(rule: ModelRule, points: Points, goal: Objective) -> tuple[HardState, np.ndarray]:
    yields = points.yields(rule.assign(points.place), rule.n_categories)
    shortfall = goal.shortfall(yields)
    return HardState(rule, goal.value(yields), float(shortfall.sum())), shortfall
