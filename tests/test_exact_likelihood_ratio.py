"""Laws of the best thresholds on s/b: they are those of one dimension in any, and gain nothing from noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cortado import toys
from cortado.categorizer import Categorizer
from cortado.errors import ConfigError, TrainingError
from cortado.exact import hard_partition, optimal_boundaries, optimal_thresholds, unbinned_limit
from cortado.objectives import Asimov, MinBackground
from cortado.sample import Sample
from cortado.shares import shares_of

SIGNAL, BACKGROUND = 50.0, 20_000.0
ONE = Asimov("s")
FLOORED = ONE + MinBackground(20.0)


def gaussians(seed: int, dimensions: int, n: int, apart: float = 1.0, **options: Any) -> Sample:
    """n background events around 0, a fifth of that of signal at a distance, all of unit variance."""
    rng = np.random.default_rng(seed)
    mean = np.full(dimensions, apart / np.sqrt(dimensions))
    arrays = {
        "s": (rng.normal(mean, 1.0, (n // 5, dimensions)), np.full(n // 5, 5 * SIGNAL / n)),
        "b": (rng.normal(0.0, 1.0, (n, dimensions)), np.full(n, BACKGROUND / n)),
    }
    return Sample.from_arrays(arrays, **options)


@pytest.fixture(scope="module")
def best_known() -> np.ndarray:
    """The best significance of 1 … 5 bins, from many events in the one dimension that matters."""
    return optimal_boundaries(gaussians(99, 1, 500_000).points(), FLOORED, 5).values


@pytest.fixture(scope="module")
def plane() -> Sample:
    return gaussians(1, 2, 50_000)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_optimum_is_that_of_one_dimension(dimensions: int, best_known: np.ndarray) -> None:
    found = optimal_thresholds(gaussians(2, dimensions, 50_000), FLOORED, 5)
    assert found.n_categories == 5
    np.testing.assert_allclose(found.values, best_known, rtol=0.06)
    training = [binning.training_value for binning in found.binnings]
    np.testing.assert_allclose(training, best_known, rtol=0.06)
    assert (np.diff(training) > 0).all()


def test_nothing_exceeds_the_limit(plane: Sample) -> None:
    limit = unbinned_limit(plane, ONE)
    values = optimal_thresholds(plane, FLOORED, 5).values
    assert values.max() < limit.upper + 2 * limit.upper_uncertainty


def test_where_nothing_separates_nothing_is_gained() -> None:
    sample = gaussians(3, 2, 5_000, apart=0.0)
    found = optimal_thresholds(sample, FLOORED, 4)
    assert found.values[3] < 1.1 * found.values[0]
    # Cells that are ordered by their own yields find a lot there.
    assert hard_partition(sample.points(), FLOORED, 4, starts=1, hops=0).value > 1.5 * found.values[0]


def test_bins_are_intervals_of_the_ratio(plane: Sample) -> None:
    found = optimal_thresholds(plane, FLOORED, 4)
    for k in range(1, 5):
        thresholds = found.best(k).thresholds
        assert list(thresholds) == sorted(set(thresholds))
        assert found.best(k).n_categories == k == found.best(k).yields.sumw.shape[1]
    # The ratio rises along the line from one mean to the other.
    centre = (np.abs(found.cells.place) < 1.5).all(axis=1)
    along = found.cells.place[centre].sum(axis=1) / np.sqrt(2)
    expected = np.log(SIGNAL / BACKGROUND) + along - 0.5
    np.testing.assert_allclose(np.log(found.ratio[centre]), expected, atol=0.3)


def test_yields_are_those_of_all_events(plane: Sample) -> None:
    for binning in optimal_thresholds(plane, FLOORED, 3).binnings:
        for yields in (binning.yields, binning.training):
            totals = yields.sumw.sum(axis=1)
            np.testing.assert_allclose(totals, [BACKGROUND, SIGNAL], rtol=1e-6)
            assert yields.count.sum() == 60_000
        assert binning.value == FLOORED.value(binning.yields)
        assert FLOORED.shortfall(binning.training).max() == 0


def test_one_category_is_everything(plane: Sample) -> None:
    points = plane.points()
    one = ONE(points.yields(np.zeros(len(points.place), np.int64), 1))
    best = optimal_thresholds(plane, FLOORED, 1).best(1)
    np.testing.assert_allclose([best.value, best.training_value], one, rtol=1e-6)


def test_the_categorizer_has_the_categories(plane: Sample, best_known: np.ndarray, tmp_path: Any) -> None:
    found = optimal_thresholds(plane, FLOORED, 3)
    found.categorizer(3).save(tmp_path / "categorizer.json")
    categorizer = Categorizer.load(tmp_path / "categorizer.json")
    other = gaussians(4, 2, 50_000).points()
    yields = other.yields(categorizer.rule.assign(other.place), 3)
    assert FLOORED.value(yields) == pytest.approx(best_known[2], rel=0.05)
    with pytest.raises(ConfigError, match="k must be from 1 to 3"):
        found.categorizer(4)


@pytest.mark.parametrize("seed", [2, 4])
def test_floors_hold_in_the_categories_of_the_table(seed: int) -> None:
    """The thresholds come from another order of the same events, in which they hold, too."""
    toy = toys.three_class(seed=seed, n_signal=5_000, n_background=50_000)
    sample = Sample.from_arrays(toys.arrays(toy), "logratio", names=toys.SCORES)
    objective = Asimov("signal1") + MinBackground(10.0)
    found = optimal_thresholds(sample, objective, 6)
    points = sample.points()
    for k in range(1, found.n_categories + 1):
        yields = points.yields(found.categorizer(k).rule.assign(points.place), k)
        assert objective.shortfall(yields).max() == 0
        assert objective.value(yields) == pytest.approx(found.best(k).training_value, rel=1e-6)


def test_what_is_quoted_is_no_more_than_other_events_give() -> None:
    """The events that the categories come from give more."""

    def toy(seed: int, n: int) -> Sample:
        events = toys.three_class(seed=seed, n_signal=n // 10, n_background=n)
        return Sample.from_arrays(toys.arrays(events), "logratio", names=toys.SCORES)

    objective = Asimov("signal1") + MinBackground(10.0)
    other = toy(999, 300_000).points()
    found = [optimal_thresholds(toy(seed, 20_000), objective, 4) for seed in range(6)]
    rules = [of.categorizer(4).rule for of in found]
    expected = np.mean([objective.value(other.yields(rule.assign(other.place), 4)) for rule in rules])
    # The ratio of each fold is fitted to half of the events.
    assert 0.85 * expected < np.mean([of.best(4).value for of in found]) < 1.02 * expected
    assert np.mean([of.best(4).training_value for of in found]) > 1.02 * expected


def test_more_folds(best_known: np.ndarray) -> None:
    found = optimal_thresholds(gaussians(5, 2, 30_000, n_folds=4), FLOORED, 3)
    np.testing.assert_allclose(found.values, best_known[:3], rtol=0.08)


def test_a_scale_is_a_factor_on_the_weights() -> None:
    sample = gaussians(6, 2, 5_000)
    twice = replace(sample, cells=sample.cells.relabel(lambda s: s, {"s": 1.0, "b": 2.0}))
    scaled = optimal_thresholds(sample, FLOORED.with_scales({"b": 2.0}), 3)
    np.testing.assert_allclose(scaled.values, optimal_thresholds(twice, FLOORED, 3).values, rtol=1e-5)


def test_a_narrow_resonance_is_found() -> None:
    """Where polynomials do not describe it, cells do, of a size that loses some of it."""
    rng = np.random.default_rng(7)
    n = 60_000
    arrays = {
        "s": (np.column_stack([rng.normal(0.7, 0.02, n), rng.random(n)]), np.full(n, 200 / n)),
        "b": (rng.random((n, 2)) * [3.0, 1.0], np.full(n, 20_000 / n)),
    }
    sample = Sample.from_arrays(arrays)
    assert shares_of(sample.points([0])) is None
    values = optimal_thresholds(sample, FLOORED, 2).values
    window = 0.9 * 200 / np.sqrt(20_000 * 0.066 / 3)
    assert values[1] > 0.75 * window > 2 * values[0]


def test_floors_may_forbid_more() -> None:
    sample = gaussians(8, 1, 2_000)
    assert optimal_thresholds(sample, ONE + MinBackground(9_000.0), 5).n_categories == 2
    with pytest.raises(TrainingError, match="not even all cells together"):
        optimal_thresholds(sample, ONE + MinBackground(1e6), 5)


@pytest.mark.parametrize(
    ("objective", "n_categories", "message"),
    [
        (Asimov(("s", "b2")), 3, r"of one signal.*\['s', 'b2'\].*hard_partition"),
        (MinBackground(1.0), 3, "must be an Asimov"),
        (ONE, 0, "n_categories must be at least 1, got 0"),
        (ONE, 2.5, "n_categories must be an integer, got 2.5"),
    ],
)
def test_what_is_refused(plane: Sample, objective: Any, n_categories: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        optimal_thresholds(plane, objective, n_categories)


def test_one_fold_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2 folds"):
        optimal_thresholds(gaussians(1, 1, 100, n_folds=1), ONE, 2)
