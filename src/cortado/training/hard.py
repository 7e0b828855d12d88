"""The hard categories of a model, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortado.categorizer.rules import ModelRule
from cortado.models import Model
from cortado.objectives import Objective, Yields
from cortado.points import Points

Floats = npt.NDArray[np.float64]
YieldsOf = Callable[[ModelRule], Yields]


@dataclass(frozen=True, eq=False)
class HardState:
    """Hard categories, their objective without floors, and how far they are below the floors.

    ``variables`` are those of the model that they are the hard limit of.
    """

    rule: ModelRule
    value: float
    shortfall: float
    variables: dict[str, Floats]

    def better_than(self, other: HardState | None) -> bool:
        """Meeting the floors comes first, then the objective."""
        if not np.isfinite(self.value):
            return False
        return other is None or (-self.shortfall, self.value) > (-other.shortfall, other.value)


def yields_on(points: Points) -> YieldsOf:
    """A function that gives the yields of a rule on cells."""
    return lambda rule: points.yields(rule.assign(points.place), rule.n_categories)


def evaluate_model(model: Model, points: Points, goal: Objective, yields_of: YieldsOf) -> HardState | None:
    """The hard categories without those that miss a floor; None where the model has no finite hard limit.

    The category that is farthest below goes first, in the way that leaves the largest objective. Where scale
    factors belong to categories none is dropped, and if the rule lacks some the objective is −∞. A model that
    is frozen as a table gets the cells of ``points``.
    """
    try:
        rule = model.freeze(points)
    except ValueError:
        return None
    if goal.per_category and (missing := model.n_categories - rule.n_categories):
        return HardState(rule, -np.inf, float(missing), model.state)
    state, shortfall = _evaluated(rule, goal, yields_of, model.state)
    while shortfall.any() and state.rule.n_categories > 1 and not goal.per_category:
        fewer = state.rule.without(int(np.argmax(shortfall)))
        candidates = [_evaluated(r, goal, yields_of, state.variables) for r in fewer]
        state, shortfall = max(candidates, key=lambda c: (-c[0].shortfall, c[0].value))
    return state


def _evaluated(
    rule: ModelRule, goal: Objective, yields_of: YieldsOf, variables: dict[str, Floats]
) -> tuple[HardState, Floats]:
    yields = yields_of(rule)
    shortfall = goal.shortfall(yields)
    return HardState(rule, goal.value(yields), float(shortfall.sum()), variables), shortfall
