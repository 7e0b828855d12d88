"""The order of categories: by position in one dimension, otherwise by significance, the least first."""

from __future__ import annotations

import numpy as np

from cortado.categorizer.rules import ModelRule
from cortado.objectives import Asimov, Objective
from cortado.sample import Points


def ordered_rule(rule: ModelRule, points: Points, objective: Objective) -> ModelRule:
    """The rule without categories that hold no point, the others put in order."""
    category = rule.assign(points.place)
    occupied = np.unique(category)
    if points.place.shape[1] == 1:
        rank = [points.place[category == k, 0].mean() for k in occupied]
    else:
        rank = list(_importance(rule, points, objective)[occupied])
    order = occupied[np.argsort(rank, kind="stable")]
    return rule.select([int(k) for k in order])


def _importance(rule: ModelRule, points: Points, objective: Objective) -> np.ndarray:
    """(K,) share of each category in the Z² of every signal, summed over the signals."""
    yields = points.yields(rule.assign(points.place), rule.n_categories)
    prepared = objective.prepared(yields)
    terms = [t for t in objective.terms if isinstance(t, Asimov)]
    shares = [z2 / max(z2.sum(), 1e-300) for t in terms for z2 in t.per_category(prepared).values()]
    return np.sum(shares, axis=0) if shares else yields.sumw.sum(axis=0)
