"""Laws of the best boundaries in one dimension: nothing is better, and what they promise holds for events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortado import toys
from cortado.categorizer import equidistant
from cortado.errors import ConfigError, TrainingError
from cortado.exact.one_dimension import (
    Binning,
    Boundaries,
    SumOverBins,
    optimal_boundaries,
    optimal_intervals,
)
from cortado.objectives import (
    Asimov,
    MaxRelativeUncertainty,
    MinBackground,
    MinEffectiveEvents,
    MinEvents,
    Objective,
    Yields,
)
from cortado.points import Points
from cortado.sample import Sample

PROCESSES = ("s1", "s2", "b1", "b2")
ONE = Asimov("s1")
FLOORS = {
    "none": (),
    "background": (MinBackground(2.0),),
    "effective events": (MinEffectiveEvents(3.0),),
    "events": (MinEvents(5),),
    "uncertainty": (MaxRelativeUncertainty(0.5),),
    "all": (MinBackground(1.0), MinEffectiveEvents(2.0), MinEvents(3), MaxRelativeUncertainty(0.8)),
}


def purity(yields: Yields) -> Any:
    return yields.total(("s1",)) ** 2 / (yields.total(yields.processes) + 1.0)


def sometimes_finite(yields: Yields) -> Any:
    s1, s2, b1 = (yields.total((name,)) for name in ("s1", "s2", "b1"))
    return np.where(s2 > s1, np.nan, np.where(b1 > 2 * s1, np.inf, s1**2))


MERITS: dict[str, Any] = {
    "one signal": ONE,
    "quadrature": Asimov(("s1", "s2"), "quadrature"),
    "weighted": Asimov("s1", "sum", weights={"s1": 2.0}),
    "two contributions": SumOverBins(purity, ("s1",)) + SumOverBins(lambda y: -0.1 * y.total(("b1",)) ** 2),
    "not always finite": Objective((SumOverBins(sometimes_finite, ("s1",)),)),
    "scaled": ONE.with_scales({"b1": 2.0, "b2": lambda y: 1.0 + y.total(("b1",)) / 4}),
}


def merged(cells: Yields, cuts: Any) -> Yields:
    """Yields of intervals of cells."""

    def sums(table: Any) -> Any:
        return np.stack([table[:, low:high].sum(axis=1) for low, high in pairwise(cuts)], axis=1)

    return replace(cells, sumw=sums(cells.sumw), sumw2=sums(cells.sumw2), count=sums(cells.count))


def all_cuts(n: int, k: int) -> Iterator[tuple[int, ...]]:
    return ((0, *inner, n) for inner in combinations(range(1, n), k - 1))


def by_trial(cells: Yields, objective: Objective) -> list[float]:
    """The best finite value for 1, 2, … bins that meet the floors, up to the first number without one."""
    n = cells.sumw.shape[1]
    best = []
    for k in range(1, n + 1):
        bins = (merged(cells, cuts) for cuts in all_cuts(n, k))
        values = [objective.value(y) for y in bins if not objective.shortfall(y).any()]
        values = [value for value in values if np.isfinite(value)]
        if not values:
            break
        best.append(max(values))
    return best


# Eighths add up without rounding, so that a yield may equal a floor.
eighths = st.integers(-4, 40).map(lambda i: i / 8)


@st.composite
def tables(draw: st.DrawFn, largest: int = 7) -> Yields:
    n = draw(st.integers(1, largest))

    def table(elements: st.SearchStrategy[Any]) -> Any:
        return np.array([draw(st.lists(elements, min_size=n, max_size=n)) for _ in PROCESSES])

    sumw = table(eighths)
    return Yields(PROCESSES, sumw, sumw**2 + table(st.sampled_from([0.0, 0.5])), table(st.integers(0, 5)))


def random_cells(n: int, seed: int = 0) -> Yields:
    """Yields of n cells, with more signal to one side."""
    random = np.random.default_rng(seed)
    weight = random.gamma(10.0, 0.1, (4, n))
    weight[0] *= np.linspace(0, 1, n) ** 3
    return Yields(PROCESSES, weight, weight**2, random.integers(1, 9, (4, n)))


def points_of(
    places: list[float], signal: list[float], background: list[float], width: float = 1.0
) -> Points:
    """Points of one signal and one background."""
    x = np.array(places)[:, None]
    coordinates = [{"kind": "identity", "features": ["x"], "width": [width]}]
    processes = {"s1": (x, np.array(signal)), "b1": (x, np.array(background))}
    return Sample.from_arrays(processes, coordinates, names=["x"], n_folds=1).points()


@pytest.mark.parametrize("floors", FLOORS.values(), ids=FLOORS.keys())
@given(cells=tables(), merit=st.sampled_from(sorted(MERITS)))
def test_nothing_is_better(floors: tuple[Any, ...], cells: Yields, merit: str) -> None:
    objective = sum(floors, Objective(()) + MERITS[merit])
    expected = by_trial(cells, objective)
    if not expected:
        with pytest.raises(TrainingError, match="not even all cells together"):
            optimal_intervals(cells, objective, 7)
        return
    partitions = optimal_intervals(cells, objective, 7)
    assert [len(cuts) - 1 for cuts in partitions] == list(range(1, len(expected) + 1))
    bins = [merged(cells, cuts) for cuts in partitions]
    assert not any(objective.shortfall(y).any() for y in bins)
    assert [objective.value(y) for y in bins] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_a_large_yield_leaves_no_rounding_in_others() -> None:
    sumw = np.zeros((4, 6))
    sumw[2] = [1e16, 0.3, 0.1, 0.1, 0.2, 0.3]
    sumw[0] = [0.0, 0.1, 0.4, 0.1, 0.4, 0.1]
    cells = Yields(PROCESSES, sumw, sumw**2, np.ones((4, 6), int))
    objective = Objective((ONE,))
    found = [objective.value(merged(cells, cuts)) for cuts in optimal_intervals(cells, objective, 6)]
    assert found == pytest.approx(by_trial(cells, objective), rel=1e-12)


def test_more_bins_are_never_worse() -> None:
    cells = random_cells(120)
    values = [ONE(merged(cells, cuts)) for cuts in optimal_intervals(cells, Objective((ONE,)), 120)]
    assert len(values) == 120
    assert (np.diff(values) >= -1e-12).all()


def test_significance_grows_with_the_root_of_the_luminosity() -> None:
    cells = random_cells(80)
    more = replace(cells, sumw=4 * cells.sumw)
    few = optimal_intervals(cells, ONE + MinBackground(5.0), 6)
    many = optimal_intervals(more, ONE + MinBackground(20.0), 6)
    np.testing.assert_equal(many, few)
    for cuts in few:
        assert ONE(merged(more, cuts)) == pytest.approx(2 * ONE(merged(cells, cuts)))


@pytest.mark.parametrize("floors", [(), (MinBackground(8.0),)], ids=["free", "floor"])
def test_finer_cells_never_hurt(floors: tuple[Any, ...]) -> None:
    cells = random_cells(300)
    objective = sum(floors, Objective((ONE,)))
    values = {}
    for limit in (7, 40, 299, 300):
        partitions = optimal_intervals(cells, objective, 5, max_cells=limit)
        values[limit] = np.array([ONE(merged(cells, cuts)) for cuts in partitions])
    for limit in (7, 40, 299):
        assert (values[limit] <= values[300] + 1e-12).all()
    assert (values[40] > 0.97 * values[300]).all()


@pytest.mark.parametrize("limit", [1, 2, 10, 50])
def test_cells_are_merged_to_at_most_the_limit(limit: int) -> None:
    cells = random_cells(500)
    cells.sumw[1] = 0.0
    cells.sumw[2, 3] = 1000.0
    cells.sumw[:, 250:] *= 1e-9
    partitions = optimal_intervals(cells, Objective((ONE,)), 500, max_cells=limit)
    finest = partitions[-1]
    assert limit / 2 <= len(partitions) == len(finest) - 1 <= limit
    assert finest[[0, -1]].tolist() == [0, 500]
    assert (np.diff(finest) >= 1).all()
    # Where there is next to nothing, there is something to choose from.
    assert np.count_nonzero(finest > 250) >= limit / 5


def test_floors_hold_for_sums_over_cells_however_groups_are_rounded() -> None:
    # 0.1 ten times is below 1 if one is added after the other, but not if two fives are.
    sumw = np.stack([np.linspace(0, 1, 40), np.linspace(1, 0, 40), np.full(40, 0.1), np.zeros(40)])
    cells = Yields(PROCESSES, sumw, sumw**2, np.ones((4, 40), int))
    objective = Asimov(("s1", "s2"), "quadrature") + MinBackground(1.0)
    partitions = optimal_intervals(cells, objective, 4, max_cells=8)
    assert [np.diff(cuts).tolist() for cuts in partitions[:1]] == [[40]]
    assert len(partitions) == 2  # three bins would leave one of ten
    for cuts in partitions:
        category = np.searchsorted(cuts[1:-1], np.arange(40), side="right")
        assert (np.bincount(category, weights=sumw[2]) >= 1.0).all()


def test_boundaries_lie_between_cells_and_in_the_middle_of_gaps() -> None:
    points = points_of([0.3, 1.9, 2.0, 5.5, 6.5], [0.1, 0.1, 0.1, 1.0, 3.0], [9.0, 5.0, 3.0, 2.0, 1.0])
    found = optimal_boundaries(points, ONE, 9)
    assert found.n_categories == 5
    assert found.best(5).edges == (-np.inf, 1.0, 2.0, 4.0, 6.0, np.inf)
    assert found.best(5).assign([-9.0, 1.0, 1.99, 2.0, 9.0]).tolist() == [0, 1, 1, 2, 4]


@pytest.mark.parametrize("width", [0.05, 0.1, 1 / 3])
@pytest.mark.parametrize("below", [0.0, 1e-12])
def test_points_fall_into_their_bin_though_rounded_across_its_edge(width: float, below: float) -> None:
    places = (np.arange(1, 17) * width * (1 - below)).tolist()
    points = points_of(places, np.arange(1.0, 17.0).tolist(), [2.0] * 16, width)
    assert ((points.place / width < points.key) | (points.place / width > points.key + 1)).any()
    binning = optimal_boundaries(points, ONE, 99).binnings[-1]
    assert binning.n_categories == len(points.place)
    assert (np.diff(binning.edges) > 0).all()
    again = points.yields(binning.assign(points.place), binning.n_categories)
    np.testing.assert_array_equal(again.sumw, binning.yields.sumw)


def test_outer_edges_leave_cells_out() -> None:
    signal, background = [0.1, 0.2, 0.5, 1.0, 3.0], [9.0, 5.0, 3.0, 2.0, 1.0]
    points = points_of([0.5, 1.5, 2.5, 3.5, 5.0], signal, background)
    found = optimal_boundaries(points, ONE + MinBackground(2.0), 3, outer=(1.2, 5.0))
    inside = points_of([1.5, 2.5, 3.5, 5.0], signal[1:], background[1:])
    expected = optimal_boundaries(inside, ONE + MinBackground(2.0), 3)
    np.testing.assert_array_equal(found.values, expected.values)
    for k in (1, 2, 3):
        assert found.best(k).edges == (1.2, *expected.best(k).edges[1:-1], 5.0)
        assert found.best(k).yields.sumw.sum() == pytest.approx(sum(signal[1:]) + sum(background[1:]))
    assert found.best(3).assign([[0.5], [1.2], [5.0], [5.1], [np.nan]]).tolist() == [-1, 0, 2, -1, -1]
    # A point on the outer edge, at the lower edge of its cell, still has a bin of some width.
    on_edge = optimal_boundaries(points_of([0.5, 1.0], [1.0, 2.0], [2.0, 1.0]), ONE, 2, outer=(0.0, 1.0))
    assert on_edge.best(2).edges == (0.0, 0.75, 1.0)
    half_open = optimal_boundaries(points, ONE, 5, outer=(-np.inf, 4.0))
    assert half_open.n_categories == 4
    assert half_open.best(1).edges == (-np.inf, 4.0)


@pytest.mark.parametrize(
    ("values", "gain", "expected"),
    [
        ([1.0, 2.0, 2.01, 2.015], 0.01, 2),
        ([1.0, 2.0, 2.01, 2.015], 0.001, 4),
        ([1.0, 2.0, 2.01, 2.03], 0.01, 3),
        ([1.0, 0.5, 2.0, 1.9], 0.0, 3),
        ([0.0, 0.0, 1e-9], 0.5, 3),
        ([-2.0, -1.0, -0.995], 0.01, 2),
        ([3.0], 0.0, 1),
        ([3.0, 3.0, 3.0], 0.0, 1),
    ],
)
def test_pays_until(values: list[float], gain: float, expected: int) -> None:
    points = points_of([0.5], [1.0], [1.0])
    binnings = tuple(
        Binning((-np.inf, *range(k), np.inf), value, points.yields(np.zeros(1, int), k + 1))
        for k, value in enumerate(values)
    )
    assert Boundaries(points.features, binnings).pays_until(gain) == expected


@pytest.fixture(scope="module")
def events() -> dict[str, toys.ToyEvents]:
    return toys.one_dimensional(seed=5, n_signal=20_000, n_background=60_000)


@pytest.fixture(scope="module")
def sample(events: dict[str, toys.ToyEvents]) -> Sample:
    arrays = {name: (e.scores, np.full(len(e.scores), 1.0) * e.weight) for name, e in events.items()}
    return Sample.from_arrays(arrays, "logit", n_folds=1)


TOY = Asimov("signal1") + MinBackground(10.0)


@pytest.fixture(scope="module")
def found(sample: Sample) -> Boundaries:
    return optimal_boundaries(sample.points(), TOY, 10)


def yields_of(events: dict[str, toys.ToyEvents], category: dict[str, Any], k: int) -> Yields:
    sums = np.stack(
        [np.bincount(category[name], np.full(len(e.scores), 1.0) * e.weight, k) for name, e in events.items()]
    )
    return Yields(tuple(events), sums, sums, sums)


def test_every_value_is_that_of_its_cells_and_of_the_events(
    sample: Sample, events: dict[str, toys.ToyEvents], found: Boundaries
) -> None:
    points = sample.points()
    assert found.n_categories == 10
    for k, binning in enumerate(found.binnings, start=1):
        of_cells = points.yields(binning.assign(points.place), k)
        np.testing.assert_array_equal(of_cells.sumw, binning.yields.sumw)
        np.testing.assert_array_equal(of_cells.sumw2, binning.yields.sumw2)
        np.testing.assert_array_equal(of_cells.count, binning.yields.count)
        assert found.values[k - 1] == binning.value == TOY.value(of_cells)
        assert not TOY.shortfall(of_cells).any()
        category = {
            name: binning.assign(sample.features.forward(e.scores.astype(np.float64)))
            for name, e in events.items()
        }
        assert TOY.value(yields_of(events, category, k)) == pytest.approx(binning.value, rel=1e-5)


def test_edges_of_the_feature_are_those_of_the_coordinate(
    sample: Sample, events: dict[str, toys.ToyEvents], found: Boundaries
) -> None:
    edges = found.feature_edges(5)
    assert edges.shape == (4, 1)
    assert found.feature_edges(1).shape == (0, 1)
    for e in events.values():
        same = np.searchsorted(edges[:, 0], e.scores[:, 0], side="right") == found.best(5).assign(
            sample.features.forward(e.scores.astype(np.float64))
        )
        assert same.mean() > 0.9999


def test_best_bins_beat_equidistant_ones(
    sample: Sample, events: dict[str, toys.ToyEvents], found: Boundaries
) -> None:
    for k in (3, 5, 10):
        by_hand = equidistant(sample.features, k, {})
        value = TOY.value(yields_of(events, {name: by_hand(e.scores) for name, e in events.items()}, k))
        assert found.best(k).value > 1.02 * value
    assert 3 <= found.pays_until() <= 8


def test_what_floors_forbid_is_left_out(sample: Sample) -> None:
    found = optimal_boundaries(sample.points(), Asimov("signal1") + MinBackground(6000.0), 10)
    assert found.n_categories == 4
    assert MinBackground(6000.0).gap(replace(found.best(4).yields, signals=("signal1",))).max() <= 0
    with pytest.raises(ConfigError, match=r"k must be from 1 to 4.*got 5"):
        found.best(5)


def test_coarse_points_have_boundaries_at_the_edges_of_their_cells(sample: Sample) -> None:
    points = sample.points()
    coarse = points.coarsened(60)
    binning = optimal_boundaries(coarse, TOY, 6).best(6)
    again = points.yields(binning.assign(points.place), 6)
    np.testing.assert_allclose(again.sumw, binning.yields.sumw, rtol=1e-12)


def test_time() -> None:
    cells = random_cells(2000)
    took = []
    for _ in range(3):
        start = time.process_time()
        partitions = optimal_intervals(cells, ONE + MinBackground(10.0), 20)
        took.append(time.process_time() - start)
    assert len(partitions) == 20
    assert min(took) < 1.0


def geometric(significances: list[Any]) -> Any:
    return significances[0]


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (Asimov(("s1", "b1")), ["grow with a sum over bins", "quadrature", "geometric"]),
        (Asimov(("s1", "b1"), "sum"), ["grow with a sum over bins"]),
        (Asimov("s1", geometric), ["grow with a sum over bins"]),
        (ONE + ONE, ["grow with a sum over bins"]),
        (ONE + SumOverBins(purity), ["grow with a sum over bins"]),
        (ONE + (lambda _: 0.0), ["grow with a sum over bins", "lambda"]),
        (MinBackground(1.0), ["grow with a sum over bins", "()"]),
        (Asimov("s3"), ["s3", "b1"]),
        (SumOverBins(lambda y: y.sumw), ["one number for each of", "lambda", "shape (2,"]),
        (SumOverBins(lambda _: 1.0), ["one number for each of", "shape ()"]),
        (SumOverBins(lambda y: y.sumw[0] / y.sumw.sum()), ["depends on the other bins"]),
        (ONE.with_scales({"b1": lambda y: 1 + y.sumw[0].sum()}), ["depends on the other bins"]),
        (ONE.with_scales({"b1": [1.0, 2.0]}), ["scale factors for each category"]),
    ],
)
def test_objectives_that_are_no_sum_over_bins(objective: Any, words: list[str]) -> None:
    points = points_of([0.5, 1.5, 2.5], [1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    with pytest.raises(ConfigError) as error:
        optimal_boundaries(points, objective, 3)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_categories": 0}, ["number of bins", "at least 1", "0"]),
        ({"max_cells": 0}, ["max_cells", "at least 1", "0"]),
        ({"outer": (3.0, 1.0)}, ["outer must go upwards", "[3, 1]"]),
        ({"outer": (1.0, 1.0)}, ["outer must go upwards", "[1, 1]"]),
        ({"outer": (np.nan, 1.0)}, ["outer must go upwards", "nan"]),
        ({"outer": (5.0, 7.0)}, ["outer must have points between", "[5, 7]"]),
    ],
)
def test_bad_arguments(change: dict[str, Any], words: list[str]) -> None:
    arguments: dict[str, Any] = {"objective": ONE, "n_categories": 3} | change
    with pytest.raises(ConfigError) as error:
        optimal_boundaries(points_of([0.5, 1.5], [1.0, 2.0], [2.0, 1.0]), **arguments)
    for word in words:
        assert word in str(error.value)


def test_several_coordinates_have_no_boundaries() -> None:
    x = np.random.default_rng(1).normal(size=(50, 2))
    points = Sample.from_arrays({"s1": (x, np.ones(50)), "b1": (x, np.ones(50))}, names=["x", "y"]).points()
    with pytest.raises(ConfigError, match=r"one coordinate.*got 2: \['x', 'y'\]"):
        optimal_boundaries(points, ONE, 3)


@pytest.mark.parametrize("gain", [-0.1, np.inf, np.nan])
def test_bad_gain(gain: float) -> None:
    found = optimal_boundaries(points_of([0.5], [1.0], [1.0]), ONE, 3)
    with pytest.raises(ConfigError, match="gain must be"):
        found.pays_until(gain)


def test_floors_that_nothing_meets_are_an_error() -> None:
    points = points_of([0.5, 1.5], [1.0, 2.0], [2.0, 1.5])
    with pytest.raises(TrainingError, match=r"MinBackground\(5\), MinEvents\(2\).*3\.5 from 2 events.*lower"):
        optimal_boundaries(points, ONE + MinBackground(5.0) + MinEvents(2), 3)
    with pytest.raises(TrainingError, match="not finite"):
        optimal_boundaries(points, SumOverBins(lambda y: y.sumw[0] * np.nan), 3)
