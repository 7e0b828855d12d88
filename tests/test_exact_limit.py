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
from cortado.exact import CellSize, Limit, NoLimit, limit_or_reason, unbinned_limit
from cortado.exact.crossed import doubled_cells
from cortado.exact.limit import holds, pooled, smallest_resolving, upper_bound
from cortado.exact.ratio import Weights, shrunk_ratio
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

    return float(quad(density, -8.0, 10.0, limit=400)[0])


def known_at(apart: float) -> float:
    """In any number of dimensions, as the ratio depends on the place along the line from mean to mean."""
    return float(
        np.sqrt(integral(lambda x: SIGNAL * norm.pdf(x - apart), lambda x: BACKGROUND * norm.pdf(x)))
    )


KNOWN = known_at(1.0)


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
    finite = np.isfinite(upper)
    assert finite.mean() > 0.6
    assert upper[finite].mean() > KNOWN - 2 * error
    said = np.mean([limit.lower_uncertainty for limit in limits])
    assert 0.6 < lower.std(ddof=1) / said < 1.33


@pytest.fixture(scope="module")
def steep() -> dict[tuple[float, int, int], list[Limit]]:
    """Limits where s/b rises more and more steeply, by distance, dimensions and number of events."""
    n_samples = {
        (1.0, 1, 20_000): 8,
        (2.0, 1, 20_000): 8,
        (2.5, 1, 20_000): 8,
        (1.0, 3, 100_000): 3,
        (2.0, 3, 20_000): 6,
        (2.5, 3, 20_000): 6,
        (2.0, 1, 200_000): 12,
        (2.5, 1, 200_000): 12,
    }
    return {
        (apart, d, n): [unbinned_limit(gaussians(1000 + seed, d, n, apart), ONE) for seed in range(many)]
        for (apart, d, n), many in n_samples.items()
    }


def test_bounds_hold_where_the_ratio_rises_steeply(steep: dict[Any, list[Limit]]) -> None:
    """With 20 000 events a distance of 2.5 leaves half of Z² where no background is simulated."""
    too_low, too_high = {}, {}
    for case, limits in steep.items():
        known = known_at(case[0])
        too_low[case] = sum(not above(limit, known, 2) for limit in limits)
        too_high[case] = sum(not below(limit, known, 2) for limit in limits)
    assert sum(too_low.values()) <= 2, too_low
    assert sum(too_high.values()) <= 2, too_high


@pytest.mark.parametrize(
    ("case", "least"),
    [((1.0, 1, 20_000), 4), ((1.0, 3, 100_000), 2), ((2.0, 1, 200_000), 5), ((2.5, 1, 200_000), 5)],
)
def test_enough_background_gives_an_upper_bound(
    steep: dict[Any, list[Limit]], case: tuple[float, int, int], least: int
) -> None:
    finite = [limit.upper for limit in steep[case] if np.isfinite(limit.upper)]
    assert len(finite) >= least
    assert 0.95 < np.mean(finite) / known_at(case[0]) < 1.1


@pytest.mark.parametrize("case", [(2.0, 1, 20_000), (2.5, 1, 20_000), (2.0, 3, 20_000), (2.5, 3, 20_000)])
def test_too_little_background_gives_none(
    steep: dict[Any, list[Limit]], case: tuple[float, int, int]
) -> None:
    assert np.mean([np.isfinite(limit.upper) for limit in steep[case]]) < 0.3


@pytest.mark.parametrize("apart", [2.0, 2.5])
def test_bounds_vary_as_they_say_where_the_ratio_rises_steeply(
    steep: dict[Any, list[Limit]], apart: float
) -> None:
    limits = steep[apart, 1, 200_000]
    said = np.mean([limit.lower_uncertainty for limit in limits])
    assert 0.5 < np.std([limit.lower for limit in limits], ddof=1) / said < 1.4
    bounded = [limit for limit in limits if np.isfinite(limit.upper)]
    said = np.mean([limit.upper_uncertainty for limit in bounded])
    assert 0.5 < np.std([limit.upper for limit in bounded], ddof=1) / said < 1.4


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
    assert one < limit.upper < 1.12 * one


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


def sizes(corrected: list[float]) -> list[CellSize]:
    return [CellSize((2.0**k,), 1, z, 0.01, z, 0.0, 0.5, 0.01) for k, z in enumerate(corrected)]


@pytest.mark.parametrize(
    ("corrected", "upper"),
    [
        ([0.7, 0.6, 0.4], 0.8),
        ([0.6, 0.7, 0.4], 0.6),
        ([0.7], np.inf),
    ],
)
def test_the_last_gain_counts_twice(corrected: list[float], upper: float) -> None:
    assert upper_bound(sizes(corrected), 0) == pytest.approx(upper)


@pytest.mark.parametrize(
    ("corrected", "unresolved", "k", "believed"),
    [
        ([0.7, 0.6, 0.4], [0.1, 0.1, 0.0], 0, True),
        ([0.7, 0.6, 0.4], [0.2, 0.1, 0.0], 1, True),  # 0.8, and a half of the gain is 0.7
        ([0.71, 0.6, 0.4], [0.2, 0.1, 0.0], 1, False),
        ([0.7, 0.6, 0.4], [0.2, 0.2, 0.0], 2, False),  # a single cell says nothing of others
        ([0.7, 0.6, 0.4], [0.3, 0.3, 0.3], 2, False),
        ([0.45, 0.44, 0.43], [0.0, 0.0, 0.0], 0, False),  # the lower bound is 0.5
    ],
)
def test_the_smallest_cells_that_resolve_are_believed_unless_others_refute_them(
    corrected: list[float], unresolved: list[float], k: int, believed: bool
) -> None:
    found = [replace(s, unresolved=u) for s, u in zip(sizes(corrected), unresolved, strict=True)]
    assert smallest_resolving(found) == k
    assert holds(found, k) == believed


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
    assert str(limit).endswith("without an upper bound")


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
    group = pooled(sizes, background, least)
    assert set(group) == set(range(group.max() + 1))
    total, squares = (np.bincount(group, of) for of in (background.sumw, background.sumw2))
    enough = (total > 0) & (total**2 >= least * squares)
    assert enough[:-1].all()  # the last takes what is left over
    alone = (sumw > 0) & (sumw**2 >= least * background.sumw2)
    assert len(set(group[alone])) == alone.sum()


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
    ratios = shrunk_ratio(signal, Weights(empty_here, empty_here), sizes).by_size
    assert [len(ratio) for ratio in ratios] == [16, 8, 4, 2, 1]
    assert all((np.isfinite(ratio) & (ratio > 0)).all() for ratio in ratios)
    assert ratios[0][14] < ratios[0][15] < 1.0
    nothing = Weights(np.zeros(16), np.zeros(16))
    assert all((ratio == 0).all() for ratio in shrunk_ratio(nothing, signal, sizes).by_size)


@pytest.mark.parametrize("size", [0, 2, 4])
def test_derivatives_of_ratios_are_those_of_differences(size: int) -> None:
    """While the prior of each size is worth as many events as before."""
    sizes = doubled_cells(np.arange(16)[:, None])
    rng = np.random.default_rng(1)
    background = rng.poisson(40.0, 16).astype(np.float64)
    signal = rng.poisson(0.02 * background * np.arange(16)).astype(np.float64)
    slope = rng.normal(size=int(sizes[size].max()) + 1)

    def total(s: np.ndarray, b: np.ndarray) -> float:
        # Σw² = Σw keeps the weight of an event, and with it what the prior is worth.
        return float(slope @ shrunk_ratio(Weights(s, s), Weights(b, b), sizes).by_size[size])

    found = shrunk_ratio(Weights(signal, signal), Weights(background, background), sizes)
    in_cells = found.derivatives(size, slope)
    for address in range(16):
        step = np.where(np.arange(16) == address, 1e-5, 0.0)
        in_cell = in_cells[:, sizes[size][address]]
        by_signal = (total(signal + step, background) - total(signal - step, background)) / 2e-5
        by_background = (total(signal, background + step) - total(signal, background - step)) / 2e-5
        if size == 0 and signal[address] == 0:
            continue  # where a sum is not positive, it is taken to be 0
        np.testing.assert_allclose([by_signal, by_background], in_cell, rtol=1e-4, atol=1e-9)


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
    with pytest.raises(ConfigError, match=message) as refused:
        unbinned_limit(sample, objective)
    assert limit_or_reason(sample, objective) == NoLimit(str(refused.value))


def test_one_fold_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least 2 folds.*n_folds=2"):
        unbinned_limit(gaussians(1, n=100, n_folds=1), ONE)


@pytest.mark.parametrize(
    ("max_cells", "message"), [(0, "must be at least 1, got 0"), ("x", "must be an integer, got 'x'")]
)
def test_max_cells_is_checked(sample: Sample, max_cells: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"max_cells {message}"):
        unbinned_limit(sample, ONE, max_cells=max_cells)


def test_points_have_no_folds(sample: Sample) -> None:
    with pytest.raises(ConfigError, match=r"sample must be a Sample, of which one fold can test.*got Points"):
        unbinned_limit(sample.points(), ONE)  # type: ignore[arg-type]
