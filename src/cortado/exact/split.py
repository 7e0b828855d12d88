"""What one more category adds: the best split of one of those that there are into two.

The parts of a category are again where one of two tangent planes of the significance is higher
(:mod:`cortado.exact.partition`). For one signal that is a threshold on s/b, and all of them are tried. For
several signals the best threshold on s/b of any of them is the beginning, and cells change sides in turns
with the tangent planes, as long as that helps. In each fold s/b is what the others say, and the gain in a
fold is that of a split which is chosen from the events of the others: it is not one of fluctuations. (A fold
has a part in the s/b of these others, which matters in second order only.)

It is what the next category adds while all others stay: a new training of K + 1 may find more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.categorizer import Categorizer
from cortado.categorizer.rules.base import BaseRule
from cortado.errors import ConfigError
from cortado.exact.crossed import MAX_CELLS, doubled_cells, joined, others, points_by_fold
from cortado.exact.one_dimension import columns
from cortado.exact.ratio import ratios
from cortado.exact.roles import Roles, only_asimov
from cortado.objectives import Objective, Yields, as_objective, simulation_uncertainty
from cortado.objectives.asimov import tangent
from cortado.points import Points
from cortado.sample import Sample

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

_ROUNDS = 20


@dataclass(frozen=True)
class Split:
    """What the best split of one category into two adds to the significance.

    ``gain`` is its mean over folds, each split by what the others say and at the full luminosity; 0 where the
    floors allow none. ``uncertainty`` is its standard deviation from the finite simulation.
    """

    gain: float
    uncertainty: float


def best_split(
    sample: Sample,
    objective: Objective | Callable[[Yields], Any],
    categories: BaseRule | Categorizer,
    *,
    max_cells: int = MAX_CELLS,
) -> Split:
    """What one more category would add to those that there are, split off from one of them.

    Parameters
    ----------
    sample
        Normalised sample of at least two folds.
    objective
        An :class:`Asimov`, and floors that both parts have to meet on the events that the split comes from.
    categories
        A :class:`Categorizer` for the features of the sample, or its rule from coordinates to categories.
    max_cells
        Where more cells have events, they are doubled in size before.

    Raises
    ------
    ConfigError
        If the sample has a single fold, the objective is another one, its scales are not one number each, or
        the categories are those of other features.
    """
    goal = as_objective(objective)
    asimov = only_asimov(goal)
    parts = points_by_fold(sample, goal, max_cells)
    scaled = replace(goal, scales=())  # as the points are
    sizes = doubled_cells(parts[0].key)
    roles = Roles.of(asimov, parts[0].processes)
    rule = _rule(categories, parts[0])
    category = rule.assign(parts[0].place)
    ratio = [ratios(others(parts, fold), roles, sizes)[0] for fold in range(len(parts))]
    gains, variances = [0.0], [0.0]
    for fold, part in enumerate(parts):
        rest = [k for k in range(len(parts)) if k != fold]
        search = _Search(
            joined([parts[k] for k in rest]),
            scaled,
            _Densities(roles, np.concatenate([ratio[k] for k in rest], axis=1)),
        )
        found = search.best(np.tile(category, len(rest)), rule.n_categories)
        if found is not None:
            inside = (category == found.category) & found.plane.above(_Densities(roles, ratio[fold]))
            yields = part.yields(np.where(inside, rule.n_categories, category), rule.n_categories + 1)
            gain = _Gain(scaled, found.category)
            gains.append(gain(yields))
            variances.append(simulation_uncertainty(gain, yields) ** 2)
    return Split(float(np.sum(gains)) / len(parts), float(np.sqrt(np.sum(variances))) / len(parts))


def _rule(categories: BaseRule | Categorizer, points: Points) -> BaseRule:
    """The rule of some categories, if it is one for these points."""
    if isinstance(categories, Categorizer) and categories.features != points.features:
        raise ConfigError(
            f"categories must be those of the features of the sample, {list(points.features.labels)}, "
            f"got those of {list(categories.features.labels)}"
        )
    rule = categories.rule if isinstance(categories, Categorizer) else categories
    if not isinstance(rule, BaseRule):
        raise ConfigError(f"categories must be a Categorizer or a rule, got {type(rule).__name__}")
    if rule.dimensions != points.place.shape[1]:
        raise ConfigError(
            f"categories must be of the {points.place.shape[1]} coordinates of the sample, "
            f"got a rule of {rule.dimensions}"
        )
    return rule


@dataclass(frozen=True, eq=False)
class _Gain:
    """The objective of yields whose last category is a part of another, minus that of both together."""

    objective: Objective
    category: int

    def __call__(self, yields: Yields) -> float:
        def merged(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
            whole = table[:, :-1].copy()
            whole[:, self.category] += table[:, -1]
            return whole

        return self.objective.value(yields) - self.objective.value(yields.mapped(merged))


@dataclass(frozen=True, eq=False)
class _Densities:
    """s and b of every signal (S, n), up to a factor for each cell, where s/b is ``ratio`` (S, n)."""

    roles: Roles
    ratio: Floats

    @property
    def background(self) -> Floats:
        """In units of what is the same for all signals: all processes together, or the background."""
        return (
            1 / (1 + self.ratio)
            if self.roles.asimov.other_signals == "background"
            else np.ones_like(self.ratio)
        )

    def some(self, which: Integers) -> _Densities:
        return replace(self, ratio=self.ratio[:, which])


@dataclass(frozen=True, eq=False)
class _Plane:
    """What divides a category: the part where Σ alpha s − beta b is not negative, (S,) each."""

    alpha: Floats
    beta: Floats

    def above(self, densities: _Densities) -> Booleans:
        """(n,) whether cells are in that part."""
        height = (self.alpha[:, None] * densities.ratio - self.beta[:, None]) * densities.background
        inside: Booleans = height.sum(axis=0) >= 0
        return inside


@dataclass(frozen=True, eq=False)
class _Found:
    """A category, what divides it, and what that gains."""

    category: int
    plane: _Plane
    gain: float


class _Search:
    """The search for a split on some events."""

    def __init__(self, points: Points, objective: Objective, densities: _Densities) -> None:
        self._points, self._objective, self._densities = points, objective, densities
        self._roles = densities.roles

    def best(self, category: Integers, n_categories: int) -> _Found | None:
        """The split that pays most; None if none does."""
        z2 = self._squares(self._points.yields(category, n_categories))
        importance = self._roles.importance(z2.sum(axis=1))
        found = None
        for k in range(n_categories):
            members = np.flatnonzero(category == k)
            part = _Search(self._points.some(members), self._objective, self._densities.some(members))
            if (cut := part._cut(importance)) is None:
                continue
            plane, merit = part._turned(*cut, importance)
            gain = merit - float(importance @ z2[:, k])
            if gain > (found.gain if found else 0.0):
                found = _Found(k, plane, gain)
        return found

    def _squares(self, yields: Yields) -> Floats:
        """(S, K) Z² of each signal in each category."""
        return self._roles.squares_and_bias(yields.sumw, yields.sumw2)[0]

    def _merits(self, lower: Yields, upper: Yields, importance: Floats) -> Floats:
        """(m,) what m pairs of parts are worth; −∞ where one misses a floor."""
        merits = importance @ (self._squares(lower) + self._squares(upper))
        missed = self._objective.shortfall(lower) + self._objective.shortfall(upper) > 0
        return np.where(missed, -np.inf, merits)

    def _cut(self, importance: Floats) -> tuple[_Plane, float] | None:
        """The best threshold on s/b of any signal, and its merit; None where none is allowed."""
        best = None
        for ratio, signal in zip(self._densities.ratio, np.eye(len(importance)), strict=True):
            values, index = np.unique(ratio, return_inverse=True)
            if len(values) < 2:
                continue
            merits = self._merits(*_below_and_above(self._points.yields(index, len(values))), importance)
            at = int(np.argmax(merits))
            if merits[at] > (best[1] if best else -np.inf):
                best = _Plane(signal, signal * values[at + 1]), float(merits[at])
        return best

    def _turned(self, plane: _Plane, merit: float, importance: Floats) -> tuple[_Plane, float]:
        """The plane that comes of the tangents at both parts, again and again as long as that pays."""
        for _ in range(_ROUNDS if len(importance) > 1 else 0):
            s, b = self._roles.split(self._parts(plane).sumw)
            if not ((s >= 0) & (b > 0)).all():
                break
            slopes = [importance * np.diff(slope)[:, 0] for slope in tangent(s / b)]
            other = _Plane(*slopes)
            parts = self._parts(other)
            worth = self._merits(columns(parts, np.array([0])), columns(parts, np.array([1])), importance)[0]
            if not worth > merit:
                break
            plane, merit = other, float(worth)
        return plane, merit

    def _parts(self, plane: _Plane) -> Yields:
        """Yields (P, 2) of what is below and above the plane."""
        return self._points.yields(plane.above(self._densities).astype(np.int64), 2)


def _below_and_above(cells: Yields) -> tuple[Yields, Yields]:
    """Yields (P, n − 1) of all cells up to each of n but the last, and of all others.

    Each is added up from its own end: differences would leave rounding in the place of nothing.
    """

    def below(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.cumsum(table, axis=1)[:, :-1]

    def above(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.cumsum(table[:, ::-1], axis=1)[:, -2::-1]

    return cells.mapped(below), cells.mapped(above)
