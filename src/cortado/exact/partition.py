"""Hard partition of cells into categories by alternating assignment.

The significance is a convex, degree-1 homogeneous function F of each category's yield vector, so that
F(V) ≥ ⟨∇F(V'), V⟩. With V_k = Σ_{i in k} v_i, giving every cell i to the category with the largest
⟨∇F(V_k), v_i⟩ never lowers a sum of such terms. Other objectives may fall from one round to the next, and
floors may break: such a step is not taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError, TrainingError, checked_integer
from cortado.exact.beginnings import interest, scattered
from cortado.exact.given import points_of
from cortado.exact.prices import Requirement, assigned
from cortado.objectives import Floor, Objective, Yields, array_namespace, as_objective
from cortado.objectives.gradient import ValuesAndGradients
from cortado.points import Points, sums_by_index
from cortado.sample import Sample

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_LEAST_GAIN = 1e-10  # relative; less than that is rounding
_REPAIRS = 20  # steps towards the floors


@dataclass(frozen=True, eq=False)
class Partition:
    """Categories made of whole cells.

    ``category`` (n,) of each cell; ``yields`` (P, K) of the categories, which meet every floor; ``value`` the
    objective of these yields. ``merit`` (n, K) is what a cell is worth to each category, to first order and
    with what it brings towards the floors; but for a few cells it is largest where the cell is. ``history``
    holds the value that each start came to, −∞ where it came to no categories that meet the floors.
    """

    category: Integers
    merit: Floats
    yields: Yields
    value: float
    history: tuple[float, ...]


def hard_partition(
    points: Points | Sample,
    objective: Objective | Callable[[Yields], Any],
    n_categories: int,
    *,
    starts: int = 4,
    hops: int = 20,
    seed: int = 0,
) -> Partition:
    """The best partition of cells into categories that was found, in any number of dimensions.

    From every start the cells are assigned in turns with the gradient of the objective, at prices that keep
    the floors (:mod:`cortado.exact.prices`), and no step is taken that lowers the objective or breaks a
    floor. Where that ends, one category is dissolved and another split in two, and the assignment goes on
    from there; the better of both ends stays.

    The categories need not be connected, and on small cells they follow the fluctuations of the simulation:
    they are something to compare rules with on the same events, and a place to start from.

    Parameters
    ----------
    points
        The cells, or the sample of which they are.
    objective
        A function of :class:`Yields`, of tensors too. Its floors hold in every category.
    n_categories
        Number K of categories. Without floors some may stay empty.
    starts, hops
        Random beginnings, and how often each of them is left for another end.
    seed
        Same seed, same points: same partition.

    Raises
    ------
    ConfigError
        If an argument breaks a rule, or the signals are not among the processes.
    TrainingError
        If no start comes to categories that meet the floors and have a finite objective.
    """
    for name, number, least in (
        ("n_categories", n_categories, 2),
        ("starts", starts, 1),
        ("hops", hops, 0),
        ("seed", seed, 0),
    ):
        checked_integer(name, number, least)
    points = points_of(points)
    if n_categories > len(points.place):
        raise ConfigError(f"{n_categories} categories need as many cells, got {len(points.place)}")
    goal = as_objective(objective)
    if unknown := [name for name in goal.signals if name not in points.processes]:
        raise ConfigError(f"signals {unknown} are not among the processes {list(points.processes)}")
    search = _Search(points, goal, n_categories)
    ends = [search.end(rng, hops) for rng in np.random.default_rng(seed).spawn(starts)]
    best = max(ends, key=lambda end: end.value)
    if not best.allowed:
        raise TrainingError(_nothing_found(points, goal, n_categories))
    yields = points.yields(best.category, n_categories)
    return Partition(
        category=best.category,
        merit=search.assigned(best)[1].T,
        yields=yields,
        value=goal.value(yields),
        history=tuple(float(end.value) for end in ends),
    )


@dataclass(frozen=True, eq=False)
class _State:
    """A partition: category (n,), objective, −∞ if a floor is broken, and its gradient (K, R).

    For each floor ``lacks`` (K,) says how far the categories are from it, and ``slopes`` (K, R) how fast that
    grows.
    """

    category: Integers
    value: float
    gradient: Floats
    lacks: list[Floats]
    slopes: list[Floats]

    @property
    def allowed(self) -> bool:
        return self.value > -np.inf

    def better_than(self, other: _State) -> bool:
        return self.value > other.value + (_LEAST_GAIN * abs(other.value) if other.allowed else 0.0)


class _Search:
    """The search for one objective on one set of points."""

    def __init__(self, points: Points, goal: Objective, n_categories: int) -> None:
        self._points, self._goal, self._n = points, goal, n_categories
        self._interest = interest(points, goal.signals)
        self._columns = points.as_yields.rows
        functions = [partial(goal.soft, strength=0.0), *(partial(_gap, goal, f) for f in goal.floors)]
        self._worth_and_gaps = ValuesAndGradients(points.processes, functions, points.nuisances)

    def end(self, rng: np.random.Generator, hops: int) -> _State:
        """Where a random beginning comes to."""
        beginning = scattered(self._points.place, self._interest, self._n, rng)
        best = self._local_best(beginning)
        for _ in range(hops):
            found = self._local_best(self._perturbed(best, rng))
            best = found if found.better_than(best) else best
        return best

    def assigned(self, state: _State) -> tuple[Integers, Floats]:
        """Where the cells are worth most, (n,), and what they are worth, (K, n), by the present gradients."""
        requirements = [
            self._requirement(state, lack, slope)
            for lack, slope in zip(state.lacks, state.slopes, strict=True)
        ]
        return assigned(self._merit(state.gradient), state.category, requirements)

    def _local_best(self, category: Integers) -> _State:
        """The end of all steps up, or a state that is not allowed."""
        state = self._repaired(self._state(category))
        while state.allowed and (following := self._step_up(state)):
            state = following
        return state

    def _repaired(self, state: _State) -> _State:
        for _ in range(_REPAIRS):
            if state.allowed:
                break
            state = self._state(self.assigned(state)[0])
        return state

    def _step_up(self, state: _State) -> _State | None:
        """All moves that promise a gain, or half of them, the more promising ones, and so on."""
        target, merit = self.assigned(state)
        movers = np.flatnonzero(target != state.category)
        gain = merit[target[movers], movers] - merit[state.category[movers], movers]
        movers = movers[np.argsort(-gain, kind="stable")]
        while len(movers):
            category = state.category.copy()
            category[movers] = target[movers]
            trial = self._state(category)
            if trial.better_than(state):
                return trial
            movers = movers[: len(movers) // 2]
        return None

    def _perturbed(self, state: _State, rng: np.random.Generator) -> Integers:
        """One category dissolved, its cells where they are worth most, and its number for half of another."""
        gone, split = rng.choice(self._n, 2, replace=False)
        merit = self._merit(state.gradient)
        merit[gone] = -np.inf
        category = np.where(state.category == gone, merit.argmax(axis=0), state.category)
        members = np.flatnonzero(category == split)
        if len(members):
            half = scattered(self._points.place[members], self._interest[members], 2, rng)
            category[members[half == 1]] = gone
        return category

    def _state(self, category: Integers) -> _State:
        sums = sums_of(self._columns, category, self._n)
        prepared = self._goal.prepared(Yields.of_rows(self._points.processes, sums.T, self._points.nuisances))
        lacks = [floor.gap(prepared) for floor in self._goal.floors]
        # What closes the gap of a category without events cannot be seen from there.
        filled = [sums + np.clip(lack, 0.0, None)[:, None] * sums.mean(axis=0) for lack in lacks]
        (value, gradient), *gaps = self._worth_and_gaps(sums, *filled)
        met = all((lack <= 0).all() for lack in lacks)
        return _State(
            category,
            value if met and np.isfinite(value) else -np.inf,
            gradient,
            lacks,
            [slope for _, slope in gaps],
        )

    def _requirement(self, state: _State, lack: Floats, slope: Floats) -> Requirement:
        brought = self._merit(-slope)
        of_its_own = brought[state.category, np.arange(len(state.category))]
        return Requirement(brought, lack + np.bincount(state.category, of_its_own, self._n))

    def _merit(self, gradient: Floats) -> Floats:
        """(K, n) ⟨gradient_k, v_i⟩."""
        merit = np.zeros((self._n, self._columns.shape[1]))
        # Not a product of matrices: on so few rows the threads of BLAS wait for each other most of the time.
        for slope, column in zip(np.nan_to_num(gradient).T, self._columns, strict=True):
            if slope.any():
                merit += slope[:, None] * column
        return merit


def _gap(goal: Objective, floor: Floor, yields: Yields) -> Any:
    return array_namespace(yields.sumw).sum(floor.gap(goal.prepared(yields)))


def sums_of(columns: npt.NDArray[Any], category: Integers, n_categories: int) -> Floats:
    """(K, m) sums over categories of m columns (m, n)."""
    return sums_by_index(columns.astype(np.float64, copy=False), category, n_categories).T.copy()


def _nothing_found(points: Points, goal: Objective, n_categories: int) -> str:
    if not goal.floors:
        return "the objective was not finite from any start; check the weights of the points"
    background = [p for p, name in enumerate(points.processes) if name not in goal.signals]
    return (
        f"no {n_categories} categories were found that all meet {', '.join(map(str, goal.floors))}: the "
        f"points hold an expected background of {points.sumw[background].sum():.4g} from "
        f"{points.count[background].sum()} events; lower the floors or simulate more events"
    )
