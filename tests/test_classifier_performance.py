"""How good classifiers are: every number is that of its definition, whatever the order, ties and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cortado.classifiers.performance import (
    Expectation,
    Measured,
    Predictions,
    accuracy,
    auc,
    calibration_curve,
    max_significance,
    rejection_at_efficiency,
    roc_curve,
)
from cortado.classifiers.performance.bootstrap import bootstrapped
from cortado.errors import ConfigError, InputError
from cortado.objectives import Asimov, Yields
from cortado.objectives.counting import SQUARED_SIGNIFICANCES


def binary(y: Any, score: Any, weight: Any = None) -> Predictions:
    """Two classes, the second one the signal."""
    p = np.asarray(score, np.float64)
    return Predictions(y, np.stack([1 - p, p], axis=1), weight)


def gaussian(n: int, seed: int, weighted: bool = True) -> Predictions:
    """Overlapping classes, a third of them signal, the signal with smaller weights."""
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 3 == 0).astype(np.int64)
    score = 1 / (1 + np.exp(-rng.normal(1.5 * y - 0.75, 1.0)))
    weight = rng.uniform(0.5, 1.5, n) * np.where(y == 1, 0.1, 1.0)
    return binary(y, score, weight if weighted else None)


def small(draw: Any, weights: Any) -> Predictions:
    """A few events of few scores, so that many are equal; sums of these weights are exact."""
    n = draw(st.integers(2, 25))
    columns = [st.integers(0, 1), st.integers(0, 8), weights]
    y, score, weight = (np.array(draw(st.lists(c, min_size=n, max_size=n))) for c in columns)
    for side in (0, 1):
        assume(weight[y == side].sum() > 0)
    return binary(y, score / 8, weight / 4)


positive = st.composite(lambda draw: small(draw, st.integers(1, 12)))()
either_sign = st.composite(lambda draw: small(draw, st.integers(-4, 12)))()


def passing(predictions: Predictions) -> list[tuple[float, float, float]]:
    """(threshold, signal, background) at each score that occurs, falling, by the definition."""
    score, is_signal, w = predictions.score(), predictions.is_signal(), predictions.weight
    return [
        (t, w[(score >= t) & is_signal].sum(), w[(score >= t) & ~is_signal].sum())
        for t in sorted(set(score), reverse=True)
    ]


class TestArea:
    @given(either_sign)
    def test_it_is_that_of_all_pairs(self, predictions):
        score, is_signal, w = predictions.score(), predictions.is_signal(), predictions.weight
        difference = score[is_signal][:, None] - score[~is_signal]
        right = np.where(difference > 0, 1.0, np.where(difference == 0, 0.5, 0.0))
        pairs = w[is_signal][:, None] * w[~is_signal]
        assert auc(predictions).value == pytest.approx((right * pairs).sum() / pairs.sum(), abs=1e-12)

    @given(positive)
    def test_it_is_that_of_scikit_learn(self, predictions):
        theirs = roc_auc_score(predictions.y, predictions.score(), sample_weight=predictions.weight)
        assert auc(predictions).value == pytest.approx(theirs, abs=1e-12)

    def test_the_uncertainty_is_that_of_delong(self):
        """Without weights, from the covariance of the structural components, as in the paper."""
        predictions = gaussian(400, 1, weighted=False)
        score, is_signal = predictions.score(), predictions.is_signal()
        right = (score[is_signal][:, None] > score[~is_signal]).astype(float)
        variance = sum(np.var(right.mean(axis=axis)) / right.shape[1 - axis] for axis in (0, 1))
        assert auc(predictions).uncertainty == pytest.approx(variance**0.5, rel=1e-12)

    @given(positive)
    def test_the_area_of_the_curve_is_the_same(self, predictions):
        curve = roc_curve(predictions)
        area = np.trapezoid(curve.signal_efficiency, curve.background_efficiency)
        assert auc(predictions).value == pytest.approx(area, abs=1e-12)


@given(either_sign)
def test_the_curve_is_what_passes_each_threshold(predictions):
    curve = roc_curve(predictions)
    found = passing(predictions)
    np.testing.assert_array_equal(curve.thresholds, [np.inf, *(t for t, _, _ in found)])
    for number, values in ((1, curve.signal_efficiency), (2, curve.background_efficiency)):
        np.testing.assert_allclose(values, [0, *(row[number] / found[-1][number] for row in found)])
    assert np.all(curve.rejection[curve.background_efficiency <= 0] == np.inf)


class TestRejection:
    @given(either_sign, st.sampled_from([0.1, 0.25, 0.5, 0.9, 0.99, 1.0]))
    def test_it_is_that_of_the_highest_threshold_with_the_efficiency(self, predictions, efficiency):
        found = passing(predictions)
        _, signal, background = found[-1]
        threshold, s, b = next(row for row in found if row[1] >= efficiency * signal)
        rejection = rejection_at_efficiency(predictions, efficiency, n_replicas=0)
        assert (rejection.threshold, rejection.signal_efficiency) == (threshold, s / signal)
        assert rejection.value == (pytest.approx(background / b) if b > 0 else np.inf)

    def test_rounding_of_the_efficiency_does_not_matter(self):
        """Sums of 0.1 are no multiples of it; the threshold is that of the fifth of ten signal events."""
        y, score = np.repeat([1, 0], 10), np.tile(np.linspace(0.95, 0.05, 10), 2)
        for weight in (0.1, 0.3, 0.7):
            rejection = rejection_at_efficiency(binary(y, score, np.full(20, weight)), 0.5, n_replicas=0)
            assert rejection.value == pytest.approx(2.0)

    def test_without_background_it_is_infinite_and_nothing_is_known_about_it(self):
        rejection = rejection_at_efficiency(binary([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), 0.5)
        assert rejection.value == np.inf
        assert np.isnan(rejection.uncertainty)


class TestSignificance:
    @given(either_sign, st.sampled_from(sorted(SQUARED_SIGNIFICANCES)), st.sampled_from([0.0, 2.0]))
    def test_it_is_the_largest_of_all_thresholds(self, predictions, kind, floor):
        found = [
            (float(SQUARED_SIGNIFICANCES[kind](np.float64(s), np.float64(b))) ** 0.5, t, s, b)
            for t, s, b in passing(predictions)
            if b >= floor
        ]
        best = max(found, default=(0.0,), key=lambda row: row[0])
        cut = max_significance(predictions, expectation=Expectation(kind, min_background=floor), n_replicas=0)
        assert cut.value == pytest.approx(best[0])
        if best[0] > 0:
            assert (cut.threshold, cut.signal, cut.background) == best[1:]
        else:
            assert np.isnan(cut.threshold)

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("asimov", (2 * (12 * np.log(12 / 9) - 3)) ** 0.5),
            ("s/sqrt(b)", 1.0),
            ("s/sqrt(s+b)", 3 / 12**0.5),
        ],
    )
    def test_by_hand(self, kind, expected):
        """All three signal and nine of the background events have one score, which is the highest."""
        predictions = binary([1] * 3 + [0] * 10, [0.9] * 12 + [0.1])
        cut = max_significance(predictions, expectation=Expectation(kind), n_replicas=0)
        assert cut.threshold == 0.9
        assert cut.value == pytest.approx(expected)

    def test_the_floor_belongs_to_what_is_allowed(self):
        predictions = binary([1] * 3 + [0] * 10, [0.9] * 12 + [0.1])
        for floor, threshold in ((9.0, 0.9), (9.5, 0.1)):
            expectation = Expectation(min_background=floor)
            assert max_significance(predictions, expectation=expectation, n_replicas=0).threshold == threshold

    def test_it_is_that_of_an_objective(self):
        cut = max_significance(gaussian(300, 2), n_replicas=0)
        sums = np.array([[cut.signal], [cut.background]])
        assert cut.value == pytest.approx(Asimov("s")(Yields(("s", "b"), sums, sums, sums)))

    def test_cross_sections_are_weights(self):
        """Yields are cross section × luminosity × efficiency, each class with its own."""
        rng = np.random.default_rng(3)
        y, weight = np.arange(300) % 3, rng.uniform(0.5, 1.5, 300)
        p = rng.dirichlet(np.ones(3), 300)
        expectation = Expectation(cross_sections=(0.2, 3.0, 20.0), luminosity=10.0)
        of_sections = max_significance(Predictions(y, p, weight), 0, expectation=expectation)
        per_class = np.array([2.0, 30.0, 200.0]) / np.bincount(y, weight)
        of_weights = max_significance(Predictions(y, p, weight * per_class[y]), 0)
        assert of_sections.value == pytest.approx(of_weights.value, rel=1e-12)
        assert of_sections.threshold == of_weights.threshold
        # The numbers of events of the classes are known for the one and fluctuate for the other.
        assert of_sections.uncertainty < of_weights.uncertainty


class TestAccuracy:
    @given(either_sign)
    def test_it_is_the_fraction_of_the_weights(self, predictions):
        right = (predictions.score() > 0.5) == (predictions.y == 1)  # the first class, where both are equal
        expected = predictions.weight[right].sum() / predictions.weight.sum()
        assert accuracy(predictions).value == pytest.approx(expected)

    def test_without_weights_the_uncertainty_is_binomial(self):
        found = accuracy(binary([0] * 10, [0.1] * 8 + [0.9] * 2))
        assert found.value == pytest.approx(0.8)
        assert found.uncertainty == pytest.approx((0.16 / 10) ** 0.5)


class TestCalibration:
    def test_a_calibrated_score_is_on_the_diagonal(self):
        """Its pulls are those of a normal distribution, of all samples and bins taken together."""
        pulls = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            score = rng.random(2000)
            weight = rng.uniform(0.2, 1.8, 2000)
            curve = calibration_curve(binary(rng.random(2000) < score, score, weight))
            pulls.append((curve.observed - curve.predicted) / curve.uncertainty)
        assert abs(np.mean(pulls)) < 0.2
        assert 0.85 < np.std(pulls) < 1.15

    def test_bins(self):
        curve = calibration_curve(binary([0, 0, 1, 1], [0.0, 0.2, 0.5, 1.0], [1.0, 3.0, 2.0, 2.0]), n_bins=2)
        np.testing.assert_allclose(curve.predicted, [0.15, 0.75])
        np.testing.assert_allclose(curve.observed, [0.0, 1.0])
        np.testing.assert_allclose(curve.effective_events, [1.6, 2.0])
        np.testing.assert_allclose(curve.uncertainty, [1 / 2.6, 1 / 3])

    def test_bins_without_weight_are_not_known(self):
        curve = calibration_curve(binary([0, 1, 0], [0.1, 0.1, 0.9], [1.0, -2.0, 1.0]), n_bins=4)
        assert np.isnan(curve.observed).tolist() == [True, True, True, False]
        assert np.isnan(curve.uncertainty).tolist() == [True, True, True, False]


QUANTITIES: dict[str, Any] = {
    "accuracy": accuracy,
    "AUC": auc,
    "significance": lambda p: max_significance(p, expectation=Expectation(min_background=3), n_replicas=50),
    "rejection": lambda p: rejection_at_efficiency(p, 0.5, n_replicas=50),
    "rejection at 99 %": lambda p: rejection_at_efficiency(p, 0.99, n_replicas=50),
}


class TestAllOfThem:
    @pytest.mark.parametrize("name", QUANTITIES)
    def test_uncertainties_are_the_spread_of_independent_samples(self, name):
        found = [QUANTITIES[name](gaussian(600, seed)) for seed in range(100)]
        spread = np.std([each.value for each in found])
        # The spread of 100 is known to 7 %, and means of skewed uncertainties to not much better.
        assert np.mean([each.uncertainty for each in found]) == pytest.approx(spread, rel=0.3)

    @given(either_sign, st.randoms(use_true_random=False))
    def test_the_order_does_not_matter(self, predictions, random):
        order = random.sample(range(len(predictions)), len(predictions))
        shuffled = Predictions(
            predictions.y[order], predictions.probabilities[order], predictions.weight[order]
        )
        for name, quantity in values().items():
            assert quantity(shuffled) == pytest.approx(quantity(predictions), nan_ok=True), name

    @given(positive)
    def test_an_event_twice_is_one_of_twice_the_weight(self, predictions):
        columns = predictions.y, predictions.probabilities, predictions.weight
        twice = Predictions(*(np.concatenate([values, values]) for values in columns))
        heavy = Predictions(*columns[:2], 2 * columns[2])
        for name, quantity in values().items():
            assert quantity(twice) == pytest.approx(quantity(heavy)), name

    @given(positive)
    def test_a_rising_function_of_the_score_changes_nothing_but_the_threshold(self, predictions):
        other = binary(predictions.y, predictions.score() ** 3, predictions.weight)
        for name in ("AUC", "significance", "rejection"):
            assert values()[name](other) == values()[name](predictions), name

    def test_the_same_seed_gives_the_same(self):
        sample = gaussian(200, 1)
        for quantity in (max_significance, lambda p, seed: rejection_at_efficiency(p, 0.5, seed=seed)):
            assert quantity(sample, seed=1) == quantity(sample, seed=1)
            assert quantity(sample, seed=1) != quantity(sample, seed=2)


def values() -> dict[str, Any]:
    """The numbers without uncertainties."""
    return {
        "accuracy": lambda p: accuracy(p).value,
        "AUC": lambda p: auc(p).value,
        "significance": lambda p: max_significance(p, n_replicas=0).value,
        "rejection": lambda p: rejection_at_efficiency(p, 0.5, n_replicas=0).value,
    }


def test_replicas_have_the_variance_of_a_sum_of_weights():
    weight = np.random.default_rng(0).uniform(-1, 2, 500)
    spread = bootstrapped(np.sum, weight, n_replicas=2000, seed=0)
    assert spread == pytest.approx((weight**2).sum() ** 0.5, rel=0.05)


def test_several_signal_classes():
    p = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    predictions = Predictions([1, 0, 2], p)
    np.testing.assert_allclose(predictions.score([0, 2]), [0.7, 0.7, 0.9])
    assert predictions.is_signal([0, 2]).tolist() == [False, True, True]
    assert predictions.is_signal(2).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("value", "uncertainty", "words"),
    [
        (0.91234, 0.0123, "0.912 ± 0.012"),
        (123.4, 5.6, "123.4 ± 5.6"),
        (1234.5, 56.0, "1234 ± 56"),
        (1.0, 0.0, "1"),
        (2.5, np.nan, "2.5"),
        (np.inf, np.nan, "∞"),
        (np.nan, np.nan, "–"),
    ],
)
def test_numbers_in_words(value, uncertainty, words):
    assert str(Measured(value, uncertainty)) == words


Y, P = [0, 1, 1], [[0.8, 0.2], [0.3, 0.7], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            (Y, [0.1, 0.2, 0.3]),
            r"probabilities must be \(n, n_classes\) with two classes or more, got \(3,\)",
        ),
        ((Y, [[1.0], [1.0], [1.0]]), r"two classes or more, got \(3, 1\)"),
        ((Y, "high"), "probabilities must be numbers, got 'high'"),
        (([], np.zeros((0, 2))), "predictions need at least one event, got none"),
        (([0, 1], P), r"y must have one value for each of 3 events, got \(2,\)"),
        ((np.eye(3), P), r"y must have one value for each of 3 events, got \(3, 3\)"),
        ((Y, P, [1.0, 2.0]), r"weight must have one value for each of 3 events, got \(2,\)"),
        ((Y, P, [1.0, np.nan, 2.0]), "weight must be finite, but 1 of 3 events .* event 1: nan"),
        ((Y, [*P[:2], [np.inf, 0.0]]), r"probabilities must be finite, .* event 2: \[inf, 0.0\]"),
        ((Y, [[1.3, -0.3], *P[1:]]), r"probabilities must be between 0 and 1, .* event 0: \[1.3, -0.3\]"),
        (([0, 1, 2], P), "y must be a class, 0 to 1, but 1 of 3 events .* event 2: 2"),
        (([0, 1, 0.5], P), "y must be a class, 0 to 1, .* event 2: 0.5"),
        (([0, -1, 1], P), "y must be a class, 0 to 1, .* event 1: -1"),
    ],
)
def test_what_predictions_must_not_be(arguments, words):
    with pytest.raises(InputError, match=words):
        Predictions(*arguments)


@pytest.mark.parametrize(
    "function", [roc_curve, auc, max_significance, lambda p: rejection_at_efficiency(p, 0.5)]
)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0, 0, 0], P), "predictions need signal events, got none among 3"),
        (([1, 1, 1], P), "predictions need background events, got none among 3"),
        ((Y, P, [1, 1, -1]), "the weights of signal must have a positive sum, got 0"),
    ],
)
def test_sides_without_events(function, arguments, words):
    with pytest.raises(InputError, match=words):
        function(Predictions(*arguments))


THREE = Predictions([0, 1, 2], np.full((3, 3), 1 / 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: auc(THREE), "signal must name the signal classes where there are 3, got None"),
        (lambda: auc(THREE, 3), "signal must be some, not all, of the classes 0 to 2, got 3"),
        (lambda: auc(THREE, [0, 1, 2]), "signal must be some, not all, of the classes 0 to 2"),
        (lambda: auc(THREE, [0, 0]), "or a list of distinct ones, got"),
        (lambda: auc(THREE, "ggH"), "signal must be the number of a class, .* got 'ggH'"),  # type: ignore[arg-type]
        (lambda: auc(THREE, True), "signal must be the number of a class, .* got True"),
        (lambda: auc(THREE, []), "signal must be the number of a class"),
        (
            lambda: rejection_at_efficiency(THREE, 0.0, 1),
            "efficiency must be a number above 0, at most 1, got 0",
        ),
        (
            lambda: rejection_at_efficiency(THREE, 50, 1),
            "efficiency must be a number above 0, at most 1, got 50",
        ),
        (lambda: rejection_at_efficiency(THREE, 0.5, 1, n_replicas=1), "n_replicas must be 0, .* at least 2"),
        (lambda: Expectation("s/b"), r"kind must be one of asimov, s/sqrt\(b\), .*, got 's/b'"),
        (lambda: Expectation(luminosity=3.0), "cross_sections and luminosity must be given together"),
        (
            lambda: Expectation(cross_sections=[1, -1], luminosity=1),
            "cross_sections must be finite and not neg",
        ),
        (
            lambda: Expectation(min_background=np.nan),
            "min_background must be finite and not negative, got nan",
        ),
        (
            lambda: max_significance(THREE, 1, expectation=Expectation(cross_sections=[1, 2], luminosity=1)),
            "cross_sections must have one for each of 3 classes, got 2",
        ),
        (lambda: calibration_curve(THREE, 1, n_bins=1), "n_bins must be at least 2, got 1"),
    ],
)
def test_wrong_arguments(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


def test_a_class_with_a_cross_section_needs_events():
    predictions = Predictions([0, 2], np.full((2, 3), 1 / 3))
    with pytest.raises(InputError, match="the weights of class 1 must have a positive sum, got 0"):
        max_significance(predictions, 0, expectation=Expectation(cross_sections=[1, 1, 1], luminosity=1))
