"""Laws of the split that pays most: it is the best one where that is known, and noise gives none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cortado.categorizer import Categorizer
from cortado.categorizer.rules import GridRule
from cortado.errors import ConfigError
from cortado.exact import Split, best_split, hard_partition, optimal_boundaries
from cortado.objectives import Asimov, MinBackground, Objective
from cortado.sample import Sample

ONE = Asimov("s")
FLOORED = ONE + MinBackground(100.0)
TWO = Asimov(("s", "t"))
WHOLE = GridRule(edges=((),))
PLANE = GridRule(edges=((), ()))


def gaussians(
    seed: int, n: int = 20_000, means: Mapping[str, tuple[float, ...]] | None = None, **options: Any
) -> Sample:
    """Gaussians of unit variance: 20 000 expected events of b, 50 of others."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, mean in (means or {"s": (1.0,), "b": (0.0,)}).items():
        total = 20_000.0 if name == "b" else 50.0
        arrays[name] = (rng.normal(mean, 1.0, (n, len(mean))), np.full(n, total / n))
    return Sample.from_arrays(arrays, **options)


@pytest.mark.parametrize("n_folds", [2, 3])
def test_in_one_dimension_it_is_the_best_of_all(n_folds: int) -> None:
    sample = gaussians(1, n_folds=n_folds)
    one, two = optimal_boundaries(sample.points(), ONE, 2).values
    split = best_split(sample, ONE, WHOLE)
    assert split.gain == pytest.approx(two - one, rel=0.1)
    assert 0 < split.uncertainty < 0.2 * split.gain


def test_the_category_that_pays_most_is_split() -> None:
    """The other one holds the events of one side, where hardly any signal is."""
    width = {"kind": "identity", "features": ["x0"], "width": [2**-9]}
    sample = gaussians(2, coordinates=[width])
    rule = GridRule(edges=((-0.5,),))
    points = sample.points()
    upper = points.some(points.place[:, 0] >= -0.5)
    two = ONE(points.yields(rule.assign(points.place), 2)) ** 2
    inside = optimal_boundaries(upper, FLOORED, 2).values ** 2
    expected = np.sqrt(two + inside[1] - inside[0]) - np.sqrt(two)
    assert best_split(sample, FLOORED, rule).gain == pytest.approx(expected, rel=0.1)


def test_two_signals_share_a_split() -> None:
    means = {"s": (1.0, 0.0), "t": (0.0, 1.0), "b": (0.0, 0.0)}
    sample = gaussians(3, 50_000, means)
    coarse = sample.points().coarsened(150)
    for others in ("background", "ignored"):
        objective = Asimov(("s", "t"), other_signals=others) + MinBackground(500.0)
        one = objective.value(coarse.yields(np.zeros(len(coarse.place), np.int64), 1))
        best = hard_partition(coarse, objective, 2, starts=2, hops=0).value
        assert best_split(sample, objective, PLANE).gain == pytest.approx(best - one, rel=0.1)


def test_it_says_how_much_it_varies() -> None:
    splits = [best_split(gaussians(seed, 4_000), ONE, WHOLE) for seed in range(40)]
    said = np.mean([split.uncertainty for split in splits])
    assert 0.6 < np.std([split.gain for split in splits], ddof=1) / said < 1.6


def test_noise_gives_no_gain() -> None:
    gains = [
        best_split(gaussians(seed, 2_000, {"s": (0.0, 0.0), "b": (0.0, 0.0)}), ONE, PLANE).gain
        for seed in range(20)
    ]
    whole = 50 / np.sqrt(20_000)
    assert abs(np.mean(gains)) < 0.02 * whole


def test_floors_hold_in_both_parts() -> None:
    sample = gaussians(4)
    free = best_split(sample, ONE, WHOLE)
    floored = best_split(sample, ONE + MinBackground(8_000.0), WHOLE)
    assert 0 < floored.gain < free.gain
    assert best_split(sample, ONE + MinBackground(10_500.0), WHOLE) == Split(0.0, 0.0)


def test_luminosity_and_scales() -> None:
    sample = gaussians(5, 5_000)

    def times(s: float, b: float) -> Sample:
        return replace(sample, cells=sample.cells.relabel(lambda source: source, {"s": s, "b": b}))

    one = best_split(sample, ONE, WHOLE)
    four = best_split(times(4.0, 4.0), ONE, WHOLE)
    assert four.gain == pytest.approx(2 * one.gain, rel=1e-5)
    scaled = best_split(sample, ONE.with_scales({"b": 3.0}), WHOLE)
    assert scaled.gain == pytest.approx(best_split(times(1.0, 3.0), ONE, WHOLE).gain, rel=1e-5)


def test_a_categorizer_is_as_good_as_its_rule() -> None:
    sample = gaussians(8, 5_000)
    categorizer = Categorizer(features=sample.features, rule=WHOLE)
    assert best_split(sample, ONE, categorizer) == best_split(sample, ONE, WHOLE)


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        (PLANE, "must be of the 1 coordinates of the sample, got a rule of 2"),
        (lambda u: u, "must be a Categorizer or a rule, got function"),
        (Categorizer(features=gaussians(1, 10, {"b": (0.0, 0.0)}).features, rule=PLANE), "those of the feat"),
    ],
)
def test_categories_are_those_of_the_sample(categories: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        best_split(gaussians(8, 100), ONE, categories)


@pytest.mark.parametrize("n", [1, 2, 10])
def test_few_events(n: int) -> None:
    split = best_split(gaussians(6, n, {"s": (1.0,), "t": (-1.0,), "b": (0.0,)}), TWO, WHOLE)
    assert np.isfinite([split.gain, split.uncertainty]).all()


@pytest.mark.parametrize(
    ("objective", "n_folds", "message"),
    [(MinBackground(1.0), 2, "must be an Asimov"), (ONE, 1, "at least 2 folds")],
)
def test_what_is_refused(objective: Objective | Any, n_folds: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        best_split(gaussians(7, 100, n_folds=n_folds), objective, WHOLE)
