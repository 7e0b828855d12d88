"""Laws of smoothing: what it keeps, when it refuses, and that it takes fluctuations away."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from cortado import toys
from cortado.models import GaussianMixture
from cortado.objectives import Asimov, MinBackground
from cortado.points import Points
from cortado.sample import Sample
from cortado.shares import Shares, shares_of
from cortado.training import fit


def gaussians(seed: int, n: int, negative: float = 0.0) -> Sample:
    """Two processes, Gaussians that lie apart: the logarithm of the ratio of densities is a polynomial."""
    rng = np.random.default_rng(seed)
    places = {"signal1": (0.8, 0.4), "bkg1": (-0.3, -0.2)}
    arrays = {}
    for (process, mean), total in zip(places.items(), (50.0, 1000.0), strict=True):
        sign = np.where(rng.random(n) < negative, -1.0, 1.0)
        arrays[process] = (rng.normal(mean, [1.0, 1.2], (n, 2)), sign * total / sign.sum())
    return Sample.from_arrays(arrays, n_folds=1)


def log_ratio(place: np.ndarray) -> np.ndarray:
    """ln of 50 signal1 over 1000 bkg1 events per area at places (n, 2)."""

    def squares(mean: tuple[float, float]) -> np.ndarray:
        return (((place - mean) / [1.0, 1.2]) ** 2).sum(axis=1)

    return np.log(50 / 1000) - 0.5 * (squares((0.8, 0.4)) - squares((-0.3, -0.2)))


def smoothed(points: Points) -> Points:
    shares = shares_of(points)
    assert isinstance(shares, Shares)
    return shares.smoothed(points)


@pytest.fixture(scope="module")
def points() -> Points:
    return gaussians(seed=1, n=10_000).points()


@pytest.fixture(scope="module")
def smooth(points: Points) -> Points:
    return smoothed(points)


@pytest.fixture(scope="module")
def toy() -> Points:
    events = toys.three_class(seed=5, n_signal=2_000, n_background=20_000)
    return Sample.from_arrays(toys.arrays(events), "logratio", names=toys.SCORES).points([0])


def test_yields_of_every_process_are_preserved(points: Points, smooth: Points, toy: Points) -> None:
    for before, after in ((points, smooth), (toy, smoothed(toy))):
        assert after is not before
        np.testing.assert_allclose(after.sumw.sum(axis=1), before.sumw.sum(axis=1), rtol=0.01)
        np.testing.assert_allclose(after.sumw2.sum(axis=1), before.sumw2.sum(axis=1), rtol=0.01)


def test_all_but_the_weights_stays(points: Points, smooth: Points) -> None:
    assert smooth.processes == points.processes
    for name in ("place", "count", "key", "widths", "mass"):
        np.testing.assert_array_equal(getattr(smooth, name), getattr(points, name))


def test_the_shares_are_those_of_the_densities(points: Points, smooth: Points) -> None:
    signal, bkg = smooth.processes.index("signal1"), smooth.processes.index("bkg1")
    centre = (np.abs(points.place) < 2).all(axis=1)
    found = np.log(smooth.sumw[signal] / smooth.sumw[bkg])
    np.testing.assert_allclose(found[centre], log_ratio(points.place[centre]), atol=0.25)
    # A cell by itself says much less: many hold no signal, or nothing else.
    assert (np.abs(points.sumw).min(axis=0)[centre] == 0).mean() > 0.2


def test_a_narrow_resonance_is_left_alone() -> None:
    rng = np.random.default_rng(3)
    n = 20_000
    resonance = np.column_stack([rng.normal(0.7, 0.02, n), rng.random(n)])
    arrays = {
        "signal1": (resonance, np.full(n, 0.01)),
        "bkg1": (rng.random((n, 2)) * [3.0, 1.0], np.full(n, 0.1)),
    }
    points = Sample.from_arrays(arrays, n_folds=1).points()
    assert shares_of(points) is None


def test_points_in_one_cell_are_left_alone(points: Points) -> None:
    assert shares_of(points.coarsened(1)) is None


def test_a_process_without_weight_is_left_alone(points: Points) -> None:
    empty = replace(points, sumw=points.sumw * [[1.0], [0.0]], sumw2=points.sumw2 * [[1.0], [0.0]])
    assert shares_of(empty) is None


@pytest.mark.parametrize("negative", [0.05, 0.2, 0.4])
def test_events_of_negative_weight_stay_finite(negative: float) -> None:
    points = gaussians(seed=2, n=10_000, negative=negative).points()
    after = smoothed(points)
    assert np.isfinite(after.sumw).all()
    assert np.isfinite(after.sumw2).all()
    assert (after.sumw2 >= 0).all()
    np.testing.assert_allclose(after.sumw.sum(axis=1), points.sumw.sum(axis=1), rtol=0.01)


def test_a_training_smooths_several_coordinates_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Points] = []

    def noted(points: Points) -> None:
        seen.append(points)

    monkeypatch.setattr(sys.modules[fit.__module__], "shares_of", noted)
    objective = Asimov("signal1") + MinBackground(10.0)
    options = {"starts": 1, "steps": 1}
    events = toys.one_dimensional(seed=1, n_signal=500, n_background=2_000)
    line, plane = Sample.from_arrays(toys.arrays(events), "logit"), gaussians(seed=1, n=500)
    for sample, smoothing, expected in ((line, True, 0), (plane, False, 0), (plane, True, 1)):
        fit(GaussianMixture(2), sample, objective, smoothing=smoothing, **options)  # type: ignore[arg-type]
        assert len(seen) == expected


def test_smoothing_pays_on_other_events() -> None:
    objective = Asimov(toys.SIGNALS) + MinBackground(10.0)
    test = Sample.from_arrays(
        toys.arrays(toys.three_class(seed=100, n_signal=5_000, n_background=100_000)),
        "logratio",
        names=toys.SCORES,
        n_folds=1,
    ).points()
    values: dict[bool, list[float]] = {}
    for smoothing in (False, True):
        values[smoothing] = []
        for seed in (11, 12):
            events = toys.three_class(seed=seed, n_signal=2_000, n_background=20_000)
            sample = Sample.from_arrays(toys.arrays(events), "logratio", names=toys.SCORES, n_folds=1)
            rule = fit(
                GaussianMixture(5), sample, objective, starts=1, steps=60, smoothing=smoothing
            ).categorizer.rule
            values[smoothing].append(objective.value(test.yields(rule.assign(test.place), rule.n_categories)))
    assert np.mean(values[True]) > np.mean(values[False])
