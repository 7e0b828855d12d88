"""The order of categories: by position in one dimension, otherwise by significance, the least first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cortado.categorizer.rules import GridRule, ModelRule
from cortado.categorizer.rules.intervals import Intervals
from cortado.objectives import Asimov, InCategories, Objective
from cortado.points import Points

Floats = npt.NDArray[np.float64]


def ordered_rule(rule: ModelRule, points: Points, objective: Objective) -> ModelRule:
    """The rule without categories that hold no point, the others put in order.

    In one dimension every interval that holds a point keeps its category, and one that holds none falls to a
    neighbour.
    """
    if points.place.shape[1] == 1:
        rule = _known_intervals(rule, points.place[:, 0])
    category = rule.assign(points.place)
    occupied = np.unique(category)
    if points.place.shape[1] == 1:
        rank = [points.place[category == k, 0].mean() for k in occupied]
    else:
        rank = list(_importance(rule, points, objective)[occupied])
    order = occupied[np.argsort(rank, kind="stable")]
    return rule.select([int(k) for k in order])


def _known_intervals(rule: ModelRule, u: Floats) -> ModelRule:
    """The rule, or one of intervals that takes nothing from where no point u (n,) is.

    A mixture's widest component is the most probable one in both tails, where it can be far from its own.
    """
    intervals = rule.boundaries()
    held = np.unique(np.searchsorted(intervals.edges, u, side="right"))
    if len(held) == len(intervals.categories):
        return rule
    nearest = np.clip(np.searchsorted(held, np.arange(len(intervals.categories)), side="right") - 1, 0, None)
    known = Intervals.joined(intervals.edges, intervals.categories[held[nearest]])
    _, categories = np.unique(known.categories, return_inverse=True)
    return GridRule(edges=(tuple(known.edges.tolist()),), categories=tuple(categories.tolist()))


def _importance(rule: ModelRule, points: Points, objective: Objective) -> np.ndarray:
    """(K,) share of each category in the Z² of every signal, summed over the signals."""
    yields = points.yields(rule.assign(points.place), rule.n_categories)
    prepared = objective.prepared(yields)
    terms = [t for t in objective.terms if isinstance(t, InCategories)]
    if objective.signals and not terms:
        terms = [Asimov(objective.signals)]
    shares = [z2 / max(z2.sum(), 1e-300) for t in terms for z2 in t.per_category(prepared).values()]
    return np.sum(shares, axis=0) if shares else yields.sumw.sum(axis=0)
