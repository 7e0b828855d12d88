"""Laws of hard partitions: steps go up, floors are met, little is better where all can be tried."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from cortado import toys
from cortado.coordinates import Features
from cortado.errors import ConfigError, TrainingError
from cortado.exact import Partition, hard_partition, optimal_boundaries
from cortado.exact.beginnings import interest, scattered
from cortado.exact.partition import sums_of
from cortado.exact.prices import Requirement, assigned
from cortado.objectives import (
    Asimov,
    MaxRelativeUncertainty,
    MinBackground,
    MinEffectiveEvents,
    MinEvents,
    Objective,
    Yields,
    array_namespace,
    as_objective,
)
from cortado.objectives.gradient import ValuesAndGradients
from cortado.points import Points
from cortado.sample import Sample

PROCESSES = ("s1", "s2", "b1", "b2")
SIGNALS = ("s1", "s2")
FLOORS = {
    "background": (MinBackground(25.0),),
    "effective events": (MinEffectiveEvents(100.0),),
    "events": (MinEvents(60),),
    "uncertainty": (MaxRelativeUncertainty(0.1),),
    "several": (MinBackground(25.0), MinEffectiveEvents(60.0), MinEvents(100)),
}


def points_of(place: Any, sumw: Any, sumw2: Any = None, count: Any = None) -> Points:
    """Points of two signals and two backgrounds at places (n, 2), with weights (4, n)."""
    features = Features.declare(
        ("x", "y"), [{"kind": "identity", "features": ("x", "y"), "width": (1.0, 1.0)}]
    )
    place, sumw = np.asarray(place, np.float64), np.asarray(sumw, np.float64)
    return Points(
        features,
        PROCESSES,
        place,
        sumw,
        np.square(sumw) if sumw2 is None else sumw2,
        np.ones(sumw.shape, np.int64) if count is None else count,
        np.floor(place).astype(np.int64),
        np.ones(2),
        np.abs(sumw).sum(axis=0),
    )


def random_points(n: int, seed: int) -> Points:
    random = np.random.default_rng(seed)
    sumw = random.gamma(1.0, 1.0, (4, n)) * [[0.3], [0.3], [1.0], [1.0]]
    place = np.stack([np.arange(n) % 3, np.arange(n) // 3], axis=1) + random.random((n, 2))
    return points_of(place, sumw, sumw**2 * random.uniform(0.1, 1.0, (4, n)), random.integers(1, 9, (4, n)))


def in_order(points: Points, order: Any) -> Points:
    tables = {name: getattr(points, name)[:, order] for name in ("sumw", "sumw2", "count")}
    rows = {name: getattr(points, name)[order] for name in ("place", "key", "mass")}
    return replace(points, **tables, **rows)


@pytest.fixture(scope="module")
def toy() -> Points:
    arrays = toys.arrays(toys.three_class(seed=1, n_signal=2000, n_background=20_000))
    sample = Sample.from_arrays(arrays, "logratio", names=toys.SCORES, n_folds=1)
    return sample.points().coarsened(300)


@pytest.fixture(scope="module")
def partition(toy: Points) -> Partition:
    return hard_partition(toy, Asimov(toys.SIGNALS) + MinBackground(25.0), 5, starts=3, hops=4, seed=1)


# --- steps ---


@pytest.mark.parametrize("seed", range(4))
def test_alternation_never_lowers_a_quadrature_sum(seed: int) -> None:
    points = random_points(60, seed)
    objective = Asimov(SIGNALS, "quadrature", other_signals="ignored") + MinBackground(0.0)
    function = ValuesAndGradients(PROCESSES, [objective])
    columns = np.concatenate([points.sumw, points.sumw2, points.count])
    category = np.random.default_rng(seed).integers(0, 4, 60)
    met = []
    for _ in range(5):
        ((value, gradient),) = function(sums_of(columns, category, 4))
        assert value == pytest.approx(objective.value(points.yields(category, 4)), rel=1e-12)
        met.append(value)
        category = (gradient @ columns).argmax(axis=0)
    assert np.all(np.diff(met) >= -1e-12)
    assert met[-1] > met[0]


def test_gradients_are_those_of_the_value() -> None:
    objective = Asimov(SIGNALS) + MinEffectiveEvents(5.0)
    random = np.random.default_rng(0)
    sums = random.gamma(5.0, 1.0, (3, 12))
    function = ValuesAndGradients(PROCESSES, [objective])
    ((value, gradient),) = function(sums)
    sumw, sumw2, count = np.split(sums.T, 3)
    assert value == pytest.approx(float(objective(Yields(PROCESSES, sumw, sumw2, count))))
    for index in np.ndindex(3, 12):
        step = np.zeros((3, 12))
        step[index] = 1e-5
        slope = (function(sums + step)[0][0] - function(sums - step)[0][0]) / 2e-5
        assert gradient[index] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_a_function_that_ignores_the_yields_has_no_gradient() -> None:
    ((value, gradient),) = ValuesAndGradients(PROCESSES, [lambda _: 2.0])(np.ones((3, 12)))
    assert value == 2.0
    assert not gradient.any()


# --- prices ---


@pytest.mark.parametrize("seed", range(20))
def test_prices_find_the_best_assignment(seed: int) -> None:
    """With one unit from every cell the problem is one of slots, which has an exact solver."""
    random = np.random.default_rng(seed)
    n, k = 30, 4
    merit = random.normal(size=(k, n)) + random.normal(size=(k, 1))
    needed = random.multinomial(random.integers(0, n + 1), np.full(k, 1 / k)).astype(np.float64)
    target, priced = assigned(merit, random.integers(0, k, n), [Requirement(np.ones((k, n)), needed)])
    assert np.all(np.bincount(target, minlength=k) >= needed)
    slots = np.concatenate(
        [np.repeat(merit, needed.astype(int), axis=0), np.tile(merit.max(axis=0), (n - int(needed.sum()), 1))]
    )
    best = slots[linear_sum_assignment(slots, maximize=True)].sum()
    assert merit[target, np.arange(n)].sum() == pytest.approx(best)
    assert np.all(priced[target, np.arange(n)] >= priced.max(axis=0) - 1e-12)


def test_without_needs_cells_go_where_they_are_worth_most_and_stay_where_nothing_is_better() -> None:
    merit = np.array([[1.0, 2.0, 3.0, 0.0], [1.0, 2.0, 4.0, -1.0]])
    target, priced = assigned(merit, np.array([0, 1, 0, 1]), [])
    np.testing.assert_array_equal(target, [0, 1, 1, 0])
    np.testing.assert_array_equal(priced, merit)


def test_several_needs_are_met_together() -> None:
    random = np.random.default_rng(5)
    brought = random.random((2, 3, 60))
    needed = np.array([[8.0, 0.0, 4.0], [2.0, 9.0, 3.0]])
    needs = [Requirement(b, r) for b, r in zip(brought, needed, strict=True)]
    target, _ = assigned(random.normal(size=(3, 60)), np.zeros(60, np.int64), needs)
    for b, r in zip(brought, needed, strict=True):
        assert np.all([b[k, target == k].sum() for k in range(3)] >= r)


def test_what_takes_away_leaves() -> None:
    merit = np.array([[5.0, 5.0, 5.0], [0.0, 3.0, 4.0]])
    need = Requirement(np.array([[3.0, -2.0, -2.0], [0.0, 0.0, 0.0]]), np.array([1.0, 0.0]))
    np.testing.assert_array_equal(assigned(merit, np.zeros(3, np.int64), [need])[0], [0, 0, 1])


def test_what_cannot_be_had_is_no_error() -> None:
    need = Requirement(np.ones((2, 3)), np.array([5.0, 0.0]))
    target, _ = assigned(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), np.ones(3, np.int64), [need])
    np.testing.assert_array_equal(target, 0)


# --- beginnings ---


def test_beginnings_lie_where_the_signals_are_and_apart() -> None:
    place = np.repeat([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [99.0, 99.0]], 5, axis=0)
    weight = np.repeat([1.0, 1.0, 1.0, 0.0], 5)
    category = scattered(place, weight, 3, np.random.default_rng(0))
    groups = category.reshape(4, 5)
    assert np.all(groups == groups[:, :1])
    assert len(set(groups[:3, 0])) == 3


@pytest.mark.parametrize(("places", "weight"), [(1, 1.0), (4, 1.0), (4, 0.0)])
def test_beginnings_at_one_place_or_without_weight_are_no_error(places: int, weight: float) -> None:
    category = scattered(np.ones((places, 2)), np.full(places, weight), 3, np.random.default_rng(0))
    np.testing.assert_array_equal(category, 0)


def test_signals_interest_alike_whatever_their_yields() -> None:
    points = points_of([[0, 0], [1, 0]], [[100.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(interest(points, SIGNALS), [1.0, 1.0])
    np.testing.assert_allclose(interest(points, ()), [2.0, 2.0])


# --- whole searches ---


def by_trial(points: Points, objective: Objective, k: int) -> float:
    """The best value of all assignments that meet the floors; which category is which does not matter."""
    best = -np.inf
    for rest in product(range(k), repeat=len(points.place) - 1):
        yields = points.yields(np.array((0, *rest)), k)
        if not objective.shortfall(yields).any():
            best = max(best, objective.value(yields))
    return best


@pytest.mark.parametrize(
    "objective",
    [
        Asimov(SIGNALS, "quadrature") + MinBackground(1.0),
        Asimov(SIGNALS) + MinBackground(2.0),
        Asimov(SIGNALS) + MinEffectiveEvents(3.0) + MinEvents(8),
        Asimov("s1").with_scales({"b1": 2.0}) + MaxRelativeUncertainty(0.6) + MinBackground(2.0),
    ],
    ids=str,
)
def test_little_is_better_than_what_is_found(objective: Objective) -> None:
    ratios = []
    for seed in range(4):
        points = random_points(7, seed)
        found = hard_partition(points, objective, 3, starts=2, hops=4)
        ratios.append(found.value / by_trial(points, objective, 3))
    assert max(ratios) < 1 + 1e-12
    assert min(ratios) > 0.97
    assert np.isclose(ratios, 1, rtol=1e-9).sum() >= 3


@pytest.mark.parametrize("floors", FLOORS.values(), ids=FLOORS)
@pytest.mark.parametrize("combine", ["geometric", "quadrature"])
def test_floors_are_met_and_the_value_is_that_of_the_yields(
    toy: Points, floors: tuple[Any, ...], combine: str
) -> None:
    objective = sum(floors, as_objective(Asimov(toys.SIGNALS, combine)))
    found = hard_partition(toy, objective, 6, starts=2, hops=1)
    yields = toy.yields(found.category, 6)
    assert not objective.shortfall(yields).any()
    np.testing.assert_array_equal(yields.sumw, found.yields.sumw)
    assert found.value == objective.value(yields) == pytest.approx(max(found.history), rel=1e-12)
    assert np.mean(found.merit.argmax(axis=1) == found.category) > 0.9


def test_a_category_without_background_gets_some() -> None:
    """From signal alone, the gradient of the effective number of events is zero."""
    place = [[i, 0] for i in range(8)]
    signal = [5.0, 4.0, 3.0, 5.0, 0.0, 0.0, 0.0, 0.0]
    background = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    points = points_of(place, [signal, background, background, background])
    objective = Asimov("s1") + MinEffectiveEvents(2.0)
    for seed in range(5):
        found = hard_partition(points, objective, 3, starts=1, hops=0, seed=seed)
        assert not objective.shortfall(points.yields(found.category, 3)).any()


def test_cells_of_negative_background_are_no_trouble(toy: Points) -> None:
    random = np.random.default_rng(0)
    sign = np.where(random.random(toy.sumw.shape) < 0.1, -1.0, 1.0)
    negative = replace(toy, sumw=toy.sumw * sign)
    objective = Asimov(toys.SIGNALS) + MinBackground(25.0) + MinEffectiveEvents(20.0)
    found = hard_partition(negative, objective, 4, starts=1, hops=2)
    assert not objective.shortfall(negative.yields(found.category, 4)).any()


def test_factors_of_numbered_categories_stay_with_them(toy: Points) -> None:
    factors = (50.0, 1.0, 1.0)
    objective = Asimov(toys.SIGNALS).with_scales({toys.BACKGROUNDS: factors}) + MinBackground(1e4)
    found = hard_partition(toy, objective, 3, starts=2, hops=2)
    expected = np.array(factors) * found.yields.sumw[: len(toys.BACKGROUNDS)].sum(axis=0)
    assert np.all(expected >= 1e4)
    assert toy.processes[: len(toys.BACKGROUNDS)] == toys.BACKGROUNDS


def test_functions_of_ones_own_are_maximised(toy: Points) -> None:
    def evenness(yields: Yields) -> Any:
        """Largest where all categories have the same background."""
        share = yields.total(toys.BACKGROUNDS) / 26_000.0
        return -array_namespace(share).sum(share**2)

    found = hard_partition(toy, evenness, 4, starts=1, hops=3)
    assert found.value == pytest.approx(-0.25, rel=1e-2)


def test_more_hops_are_never_worse(toy: Points, partition: Partition) -> None:
    objective = Asimov(toys.SIGNALS) + MinBackground(25.0)
    without = hard_partition(toy, objective, 5, starts=3, hops=0, seed=1)
    assert np.all(np.array(partition.history) >= np.array(without.history))
    assert sum(partition.history) > sum(without.history)


def test_same_seed_same_partition(toy: Points, partition: Partition) -> None:
    objective = Asimov(toys.SIGNALS) + MinBackground(25.0)
    again = hard_partition(toy, objective, 5, starts=3, hops=4, seed=1)
    np.testing.assert_array_equal(again.category, partition.category)
    assert again.history == partition.history


def test_the_order_of_cells_does_not_matter(toy: Points, partition: Partition) -> None:
    order = np.random.default_rng(0).permutation(len(toy.place))
    objective = Asimov(toys.SIGNALS) + MinBackground(25.0)
    shuffled = hard_partition(in_order(toy, order), objective, 5, starts=3, hops=4, seed=1)
    assert shuffled.value == pytest.approx(partition.value, rel=2e-3)


def test_hops_lead_to_better_ends(toy: Points, partition: Partition) -> None:
    objective = Asimov(toys.SIGNALS) + MinBackground(25.0)
    without = hard_partition(toy, objective, 5, starts=3, hops=0, seed=1)
    assert without.value < partition.value


def test_a_sample_is_as_good_as_its_points() -> None:
    rng = np.random.default_rng(1)
    sample = Sample.from_arrays({p: (rng.normal(size=(200, 1)), np.ones(200)) for p in ("s", "b")})
    found = hard_partition(sample, Asimov("s"), 2, starts=1, hops=0)
    assert found.value == hard_partition(sample.points(), Asimov("s"), 2, starts=1, hops=0).value
    bins = optimal_boundaries(sample, Asimov("s"), 3).values
    np.testing.assert_array_equal(bins, optimal_boundaries(sample.points(), Asimov("s"), 3).values)
    for solver in (hard_partition, optimal_boundaries):
        with pytest.raises(ConfigError, match="points must be Points or a Sample, got dict"):
            solver({}, Asimov("s"), 2)  # type: ignore[arg-type]


# --- errors ---


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "half a category": ({"n_categories": 2.5}, "n_categories must be an integer, got 2.5"),
    "a word": ({"n_categories": "3"}, "n_categories must be an integer, got '3'"),
    "seed": ({"seed": -1}, "seed must be at least 0, got -1"),
    "one category": ({"n_categories": 1}, "n_categories must be at least 2, got 1"),
    "few cells": ({"n_categories": 8}, "8 categories need as many cells, got 7"),
    "no start": ({"starts": 0}, "starts must be at least 1, got 0"),
    "hops": ({"hops": -1}, "hops must be at least 0, got -1"),
    "signal": ({"objective": Asimov("s3")}, r"signals \['s3'\] are not among"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"objective": Asimov(SIGNALS), "n_categories": 2} | changes
    with pytest.raises(ConfigError, match=message):
        hard_partition(random_points(7, 0), **arguments)


def test_floors_that_cannot_be_met_are_an_error() -> None:
    objective = Asimov(SIGNALS) + MinBackground(1e3)
    with pytest.raises(TrainingError, match=r"no 3 categories .* MinBackground\(1000\): the points hold an"):
        hard_partition(random_points(9, 0), objective, 3, starts=1, hops=1)


def test_an_objective_that_is_never_finite_is_an_error() -> None:
    with pytest.raises(TrainingError, match="not finite"):
        hard_partition(random_points(9, 0), lambda y: y.sumw[0, 0] * np.nan, 3, starts=1, hops=1)


def test_the_module_does_not_need_tensorflow_before_a_search() -> None:
    code = "import sys, cortado.exact; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
