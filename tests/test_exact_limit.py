"""Laws of the limit: where it is known, the bounds enclose it; and what must not change does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from cortado import toys
from cortado.errors import ConfigError
from cortado.exact import CellSize, Limit, limit_or_none, unbinned_limit
from cortado.exact.crossed import doubled_cells
from cortado.exact.limit import least_upper, pooled
from cortado.exact.ratio import Weights, shrunk_ratios
from cortado.objectives import Asimov, MinBackground, Objective, Yields, squared_significance
from cortado.objectives.asimov import tangent
from cortado.sample import Sample

SIGNAL, BACKGROUND = 50.0, 20_000.0
ONE = Asimov("s")


def weights(rng: np.random.Generator, n: int, total: float, negative: float = 0.0) -> np.ndarray:
    """n weights of one size, a part of them negative, that add up to a total."""
    sign = np.where(rng.random(n) < negative, -1.0, 1.0)
    return sign * total / sign.sum()


def gaussians(
    seed: int,
    dimensions: int = 1,
    n: int = 20_000,
    apart: float = 1.0,
    negative: float = 0.0,
    n_folds: int = 2,
) -> Sample:
    """n background events around 0, a fifth of that of signal at a distance, all of unit variance."""
    rng = np.random.default_rng(seed)
    mean = np.full(dimensions, apart / np.sqrt(dimensions))
    arrays = {
        "s": (rng.normal(mean, 1.0, (n // 5, dimensions)), weights(rng, n // 5, SIGNAL, negative)),
        "b": (rng.normal(0.0, 1.0, (n, dimensions)), weights(rng, n, BACKGROUND, negative)),
    }
    return Sample.from_arrays(arrays, n_folds=n_folds)


def integral(signal: Callable[[float], float], background: Callable[[float], float]) -> float:
    """Z² of densities in one dimension."""

    def density(x: float) -> float:
        return float(squared_significance(np.array(signal(x)), np.array(background(x))))

    return float(quad(density, -8.0, 9.0, limit=400)[0])


# In any number of dimensions, as the ratio depends on the place along the line from one mean to the other.
KNOWN = np.sqrt(integral(lambda x: SIGNAL * norm.pdf(x - 1.0), lambda x: BACKGROUND * norm.pdf(x)))


def below(limit: Limit, known: float, deviations: float = 2.5) -> bool:
    return limit.lower - deviations * limit.lower_uncertainty <= known


def above(limit: Limit, known: float, deviations: float = 2.5) -> bool:
    return known <= limit.upper + deviations * limit.upper_uncertainty


@given(s=st.floats(1e-6, 1e6), b=st.floats(1e-6, 1e6), t=st.floats(0.0, 1e3))
def test_the_tangent_lies_below(s: float, b: float, t: float) -> None:
    alpha, beta = tangent(np.array(t))
    z2 = float(squared_significance(np.array(s), np.array(b)))
    assert alpha * s - beta * b <= z2 + 1e-9 * (alpha * s + beta * b)
    alpha, beta = tangent(np.array(s / b))
    assert alpha * s - beta * b == pytest.approx(z2, rel=1e-6, abs=1e-9 * s)


@pytest.mark.parametrize("n_folds", [2, 4])
@pytest.mark.parametrize(
    ("dimensions", "n"), [(1, 5_000), (1, 100_000), (2, 20_000), (2, 100_000), (3, 100_000)]
)
def test_the_bounds_enclose_the_limit(dimensions: int, n: int, n_folds: int) -> None:
    limit = unbinned_limit(gaussians(1, dimensions, n, n_folds=n_folds), ONE)
    assert below(limit, KNOWN)
    assert above(limit, KNOWN)
    assert limit.upper - limit.lower < (0.1 if n >= 100_000 else 0.2) * KNOWN
    assert limit.unresolved < 0.2


def test_bounds_hold_on_average_and_vary_as_they_say() -> None:
    limits = [unbinned_limit(gaussians(seed, n=5_000), ONE) for seed in range(60)]
    lower = np.array([limit.lower for limit in limits])
    upper = np.array([limit.upper for limit in limits])
    error = lower.std(ddof=1) / np.sqrt(len(limits))
    assert lower.mean() < KNOWN + 2 * error
    assert lower.mean() > 0.9 * KNOWN
    assert upper.mean() > KNOWN - 2 * error
    said = np.mean([limit.lower_uncertainty for limit in limits])
    assert 0.75 < lower.std(ddof=1) / said < 1.33


def test_more_events_bring_the_bounds_together() -> None:
    few = [unbinned_limit(gaussians(seed, 2, 10_000), ONE) for seed in range(1, 7)]
    many = [unbinned_limit(gaussians(seed, 2, 300_000), ONE) for seed in range(1, 3)]

    def mean(limits: list[Limit], what: Callable[[Limit], float]) -> float:
        return float(np.mean([what(limit) for limit in limits]))

    assert mean(many, lambda x: x.upper - x.lower) < 0.5 * mean(few, lambda x: x.upper - x.lower)
    assert mean(many, lambda x: x.lower_uncertainty) < 0.5 * mean(few, lambda x: x.lower_uncertainty)


def test_events_of_negative_weight_make_no_other_limit() -> None:
    limits = [unbinned_limit(gaussians(seed, n=20_000, negative=0.2), ONE) for seed in range(10)]
    error = np.std([limit.lower for limit in limits], ddof=1) / np.sqrt(len(limits))
    assert np.mean([limit.lower for limit in limits]) < KNOWN + 2 * error
    assert all(below(limit, KNOWN, 4) and above(limit, KNOWN, 4) for limit in limits)


def test_where_nothing_separates_one_category_is_the_limit() -> None:
    limit = unbinned_limit(gaussians(3, 2, 50_000, apart=0.0), ONE)
    one = limit.sizes[-1].plug_in
    assert limit.lower == pytest.approx(one, rel=0.02)
    assert limit.upper == pytest.approx(one, rel=0.05)


def total(density: dict[str, Any], names: list[str]) -> Callable[[float], float]:
    return lambda x: float(sum(density[name](x) for name in names))


def two_signals() -> dict[str, Any]:
    """Densities in one dimension."""
    return {
        "s1": lambda x: 40.0 * norm.pdf(x - 1.0),
        "s2": lambda x: 400.0 * norm.pdf(x + 0.8),
        "b1": lambda x: 5_000.0 * norm.pdf(x),
        "b2": lambda x: 1_000.0 * norm.pdf(x, 0.2, 1.3),
    }


@pytest.fixture(scope="module")
def of_two_signals() -> Sample:
    rng = np.random.default_rng(4)
    n = 100_000
    places = {"s1": (1.0, 1.0), "s2": (-0.8, 1.0), "b1": (0.0, 1.0), "b2": (0.2, 1.3)}
    totals = {"s1": 40.0, "s2": 400.0, "b1": 5_000.0, "b2": 1_000.0}
    arrays = {p: (rng.normal(*places[p], (n, 1)), np.full(n, totals[p] / n)) for p in places}
    return Sample.from_arrays(arrays)


@pytest.mark.parametrize("others", ["background", "ignored"])
@pytest.mark.parametrize("combine", ["geometric", "quadrature", "minimum", "sum", max])
def test_several_signals_have_one_limit(of_two_signals: Sample, combine: Any, others: str) -> None:
    objective = Asimov(("s1", "s2"), combine, other_signals=others)
    density = two_signals()
    squares = []
    for signal, other in (("s1", "s2"), ("s2", "s1")):
        names = ["b1", "b2", *([other] if others == "background" else [])]
        squares.append(integral(density[signal], total(density, names)))
    known = float(objective.combined(np.array(squares)))
    limit = unbinned_limit(of_two_signals, objective)
    assert below(limit, known)
    assert above(limit, known)
    assert limit.upper - limit.lower < 0.06 * known


def test_the_toy_of_the_literature() -> None:
    """0.671 is the lower and 0.676 the upper bound from 200 million events."""
    events = toys.three_class(seed=11, n_signal=30_000, n_background=300_000)
    limit = unbinned_limit(Sample.from_arrays(toys.arrays(events), "logratio"), Asimov(toys.SIGNALS))
    assert below(limit, 0.676, 2)
    assert above(limit, 0.671, 2)
    assert limit.lower > 0.6


def test_cells_that_are_too_large_bound_nothing() -> None:
    """From 8 million events the lower bound is 1.464; what the largest cells promise is 1.34."""
    (toy,) = (toy for toy in toys.FAMILY if toy.name == "five classes")
    arrays = toys.arrays(toy.events(seed=2000, n_signal=6_666, n_background=100_000))
    limit = unbinned_limit(Sample.from_arrays(arrays, toy.coordinates, names=toy.names), Asimov(toy.signals))
    assert below(limit, 1.464)
    assert above(limit, 1.464)
    assert limit.unresolved <= 0.5


def sizes(corrected: list[float], unresolved: float = 0.0) -> list[CellSize]:
    return [CellSize((2.0**k,), 1, z, 0.01, z, unresolved, 0.5, 0.01) for k, z in enumerate(corrected)]


@pytest.mark.parametrize(
    ("corrected", "upper"),
    [
        ([0.7, 0.6, 0.4], 0.8),  # halved, so 0.8 from either
        ([0.68, 0.65, 0.57, 0.4], 0.71),  # from the smallest: less than half, so that larger cells say more
        ([0.85, 0.7, 0.5, 0.1], 1.0),  # 0.9 of the largest, but the gain is not halved every time
        ([0.7], np.inf),
    ],
)
def test_the_least_bound_that_smaller_cells_allow(corrected: list[float], upper: float) -> None:
    assert least_upper(sizes(corrected))[0] == pytest.approx(upper)
    assert least_upper(sizes(corrected, unresolved=0.6))[0] == np.inf


# What must not change


@pytest.fixture(scope="module")
def sample() -> Sample:
    return gaussians(5, 2, 20_000)


@pytest.fixture(scope="module")
def limit(sample: Sample) -> Limit:
    return unbinned_limit(sample, ONE)


def assert_same(a: Limit, b: Limit, factor: float = 1.0) -> None:
    for name in ("lower", "lower_uncertainty", "upper", "upper_uncertainty"):
        assert getattr(a, name) == pytest.approx(factor * getattr(b, name), rel=1e-5), name
    assert [size.n_cells for size in a.sizes] == [size.n_cells for size in b.sizes]


def changed(rename: Callable[[str], str] = str, factor: Callable[[str], float] = lambda _: 1.0) -> Sample:
    """The sample with other names and weights."""
    original = gaussians(5, 2, 20_000)
    names = {source.dataset: factor(source.dataset) for source in original.cells.sources}
    cells = original.cells.relabel(lambda s: s._replace(dataset=rename(s.dataset)), names)
    return replace(original, cells=cells)


def test_twice_the_luminosity(limit: Limit) -> None:
    assert_same(unbinned_limit(changed(factor=lambda _: 2.0), ONE), limit, np.sqrt(2))


def test_names_and_order_of_processes(limit: Limit) -> None:
    renamed = changed(rename=lambda name: {"s": "z", "b": "a"}[name])
    assert_same(unbinned_limit(renamed, Asimov("z")), limit)


def test_a_scale_is_a_factor_on_the_weights(sample: Sample) -> None:
    scaled = unbinned_limit(sample, ONE.with_scales({"b": 2.0}))
    assert_same(scaled, unbinned_limit(changed(factor=lambda name: 2.0 if name == "b" else 1.0), ONE))


def test_floors_have_no_part_in_it(sample: Sample, limit: Limit) -> None:
    assert unbinned_limit(sample, ONE + MinBackground(1e9)) == limit


def test_names_of_combinations_are_the_same_for_one_signal(sample: Sample, limit: Limit) -> None:
    for combine in ("geometric", "quadrature", "minimum", "sum"):
        assert_same(unbinned_limit(sample, Asimov("s", combine)), limit)


def test_the_table_goes_from_the_smallest_cells_to_one(sample: Sample, limit: Limit) -> None:
    numbers = [size.n_cells for size in limit.sizes]
    assert numbers == sorted(numbers, reverse=True)
    assert (numbers[0], numbers[-1]) == (len(sample.points().place), 1)
    for small, large in zip(limit.sizes, limit.sizes[1:], strict=False):
        np.testing.assert_allclose(large.widths, 2 * np.array(small.widths))
    whole = sample.points()
    one = ONE(whole.yields(np.zeros(len(whole.place), np.int64), 1))
    assert limit.sizes[-1].plug_in == pytest.approx(one, rel=1e-6)
    assert limit.sizes[-1].cross_fitted == pytest.approx(one, rel=5e-3)
    for size in limit.sizes:
        assert size.cross_fitted < size.plug_in + 3 * size.plug_in_uncertainty
        assert size.corrected <= size.plug_in
        assert 0 <= size.unresolved <= 1


def test_larger_cells_to_begin_with(sample: Sample, limit: Limit) -> None:
    fewer = unbinned_limit(sample, ONE, max_cells=limit.sizes[2].n_cells)
    assert fewer.sizes[0].n_cells == limit.sizes[2].n_cells
    assert fewer.lower == pytest.approx(limit.lower, rel=0.05)


# What a limit says


def test_fractions(limit: Limit) -> None:
    least, most = limit.fraction(limit.lower)
    assert most == 1
    assert least == limit.lower / limit.upper <= 1
    assert json.loads(json.dumps(limit.as_dict()))["lower"] == limit.lower
    assert str(limit).startswith(f"between {limit.lower:.4f} ± ")


def test_without_an_upper_bound() -> None:
    """In one cell there is nothing to halve."""
    x = np.full((100, 1), 0.3)
    sample = Sample.from_arrays({"s": (x, np.linspace(0.5, 1.0, 100)), "b": (x, np.linspace(1.0, 2.0, 100))})
    limit = unbinned_limit(sample, ONE)
    assert limit.upper == np.inf
    assert limit.fraction(1.0)[0] == 0
    assert limit.as_dict()["upper"] is limit.as_dict()["upper_uncertainty"] is None
    assert str(limit).endswith("infinity")


@pytest.mark.parametrize("n", [1, 3, 30, 300])
def test_few_events_give_some_bracket(n: int) -> None:
    limit = unbinned_limit(gaussians(6, 2, 5 * n), ONE)
    assert 0 <= limit.lower <= limit.upper
    assert np.isfinite(limit.lower_uncertainty)
    assert all(np.isfinite(size.plug_in) and np.isfinite(size.corrected) for size in limit.sizes)


def test_a_signal_where_there_is_no_background_counts_with_what_is_around() -> None:
    """Else every category without simulated background would have no significance, or infinitely much."""
    rng = np.random.default_rng(7)
    arrays = {
        "s": (rng.uniform(0.0, 2.0, (2_000, 1)), np.full(2_000, 0.01)),
        "b": (rng.uniform(0.0, 1.0, (2_000, 1)), np.full(2_000, 1.0)),
    }
    limit = unbinned_limit(Sample.from_arrays(arrays), ONE)
    assert np.isfinite(limit.lower)
    assert limit.unresolved > 0.3


# What is inside


@given(seed=st.integers(0, 50), least=st.sampled_from([1.0, 4.0, 30.0]))
def test_groups_hold_enough(seed: int, least: float) -> None:
    rng = np.random.default_rng(seed)
    key = np.unique(rng.integers(-20, 20, (60, 2)), axis=0)
    sizes = doubled_cells(key)
    sumw = rng.normal(2.0, 2.0, len(key))
    background = Weights(sumw, np.square(sumw) / rng.integers(1, 5, len(key)))
    group, alone = pooled(sizes, background, least)
    assert set(group) == set(range(group.max() + 1))
    total, squares = (np.bincount(group, of) for of in (background.sumw, background.sumw2))
    enough = (total > 0) & (total**2 >= least * squares)
    assert enough[:-1].all()  # the last takes what is left over
    assert (np.bincount(group)[: min(alone, len(total) - 1)] == 1).all()


def test_cells_double_until_there_is_one() -> None:
    key = np.array([[-5, 3], [-1, 0], [0, 0], [7, -8]])
    sizes = doubled_cells(key)
    assert [len(np.unique(cell)) for cell in sizes] == [4, 4, 4, 3, 1]
    assert [cell.tolist() for cell in doubled_cells(np.array([[2], [3]]))] == [[0, 1], [0, 0]]


def test_ratios_are_finite_and_shrink_to_what_is_around() -> None:
    key = np.arange(16)[:, None]
    sizes = doubled_cells(key)
    signal = Weights(np.linspace(0.0, 1.0, 16), np.full(16, 0.01))
    empty_here = np.where(np.arange(16) == 15, 0.0, 100.0)
    ratios = shrunk_ratios(signal, Weights(empty_here, empty_here), sizes)
    assert [len(ratio) for ratio in ratios] == [16, 8, 4, 2, 1]
    assert all((np.isfinite(ratio) & (ratio > 0)).all() for ratio in ratios)
    assert ratios[0][14] < ratios[0][15] < 1.0
    nothing = Weights(np.zeros(16), np.zeros(16))
    assert all((ratio == 0).all() for ratio in shrunk_ratios(nothing, signal, sizes))


# Errors


def other(yields: Yields) -> Any:
    return yields.total(("s",)).sum()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (other, "objective must be an Asimov"),
        (ONE + other, "objective must be an Asimov"),
        (MinBackground(1.0), "objective must be an Asimov"),
        (ONE.with_scales({"b": lambda y: 1 + y.total(("b",))}), "scales of the objective must be one number"),
        (ONE.with_scales({"b": [1.0, 2.0]}), "scales of the objective must be one number"),
        (Asimov("t"), "'t'.*not among the processes"),
        (Asimov(("s", "b")), "every process is a signal"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_has_no_limit_is_refused(
    sample: Sample, objective: Objective | Callable[..., Any], message: str
):
    with pytest.raises(ConfigError, match=message):
        unbinned_limit(sample, objective)
    assert limit_or_none(sample, objective) is None


def test_one_fold_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least 2 folds.*n_folds=2"):
        unbinned_limit(gaussians(1, n=100, n_folds=1), ONE)


def test_max_cells_is_checked(sample: Sample) -> None:
    with pytest.raises(ConfigError, match="max_cells must be at least 1, got 0"):
        unbinned_limit(sample, ONE, max_cells=0)
