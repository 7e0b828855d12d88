"""The comparison of classifiers: one table, on the same events, and its figures."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cortado.classifiers import Predictions, compare, comparison_table
from cortado.classifiers.performance import (
    Expectation,
    accuracy,
    auc,
    calibration_curve,
    max_significance,
    rejection_at_efficiency,
    roc_curve,
)
from cortado.errors import ConfigError
from cortado.figures import figure_style
from cortado.plotting import calibration, comparison, roc, score_distributions
from cortado.report import to_text

NAMES = ("cut and count", "boosted trees", "multilayer perceptron", "convolutional network")
EXPECTATION = Expectation("s/sqrt(b)", min_background=5.0)


def predictions(seed: int = 0, n: int = 1000) -> dict[str, Predictions]:
    """Of four approaches, the better the later, on the same events."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    weight = np.where(y == 1, 0.05, 1.0) * rng.uniform(0.5, 1.5, n)
    found = {}
    for number, name in enumerate(NAMES, start=1):
        odds = np.exp(rng.normal((2 * y - 1) * number**2 / 8, number / 2))
        found[name] = Predictions(y, np.stack([1 / (1 + odds), odds / (1 + odds)], axis=1), weight)
    return found


@pytest.fixture(scope="module")
def found() -> dict[str, Predictions]:
    return predictions()


@pytest.fixture(scope="module")
def rows(found) -> Any:
    options: dict[str, Any] = {"expectation": EXPECTATION, "n_replicas": 20}
    held_out = compare(found, events="held-out", **options)
    training = compare(predictions(1, 2000), events="training", **options)
    return [row for both in zip(held_out, training, strict=True) for row in both]


def test_rows_hold_what_the_functions_say(found, rows):
    for row, (name, sample) in zip(rows[::2], found.items(), strict=True):
        assert (row.approach, row.events, row.n_events) == (name, "held-out", 1000)
        assert row.accuracy == accuracy(sample)
        assert row.auc == auc(sample)
        assert row.significance == max_significance(sample, expectation=EXPECTATION, n_replicas=20)
        assert row.rejections == {e: rejection_at_efficiency(sample, e, n_replicas=20) for e in (0.5, 0.99)}


def test_the_table_says_on_which_events(rows):
    text = to_text(comparison_table(rows))
    assert len(text.splitlines()) == 2 + 2 + 8 + 2 + 1
    for name in NAMES:
        assert text.count(name) == 1
    assert text.count("held-out") == 4 + 1
    assert text.count("training") == 4 + 1
    assert "Of 1000 held-out, 2000 training events." in text
    for heading in ("accuracy", "AUC", "max S/√B", "1/ε_B at 50 %", "1/ε_B at 99 %"):
        assert heading in text
    for row in rows:
        assert all(cell in text for cell in row.cells.values())
    assert max(map(len, text.splitlines())) <= 120


def test_where_all_are_judged_on_the_same_events_the_caption_alone_says_so(rows):
    text = to_text(comparison_table(rows[::2]))
    assert text.count("held-out") == 1
    assert "Of 1000 held-out events." in text


@pytest.mark.parametrize("width", [60, 80])
def test_narrow_tables_cut_no_number(rows, width):
    chosen = rows if width == 80 else rows[::2]
    text = to_text(comparison_table(chosen), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = text.split()
    for row in chosen:
        assert all(number in words for cell in row.cells.values() for number in cell.split(" ± "))


def test_rows_are_plain_values(rows):
    assert json.loads(json.dumps(rows[0].as_dict()))["rejections"]["0.5"]["value"] > 1


def test_what_is_not_finite_is_null():
    separated = Predictions([0, 1], [[1, 0], [0, 1]])
    (row,) = compare({"cuts": separated}, events="training", n_replicas=0)
    rejection = json.loads(json.dumps(row.as_dict(), allow_nan=False))["rejections"]["0.5"]
    assert (rejection["value"], rejection["uncertainty"], rejection["threshold"]) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: {}, "predictions must be of at least one approach, got none"),
        (
            lambda found: found | {"other": predictions(2)[NAMES[0]]},
            "predictions must be of the same events in the same order, those of 'cut and count' and 'other'",
        ),
    ],
)
def test_what_cannot_be_compared(found, change, words):
    with pytest.raises(ConfigError, match=words):
        compare(change(found), events="held-out")


def test_rows_of_different_numbers_are_no_table(found, rows):
    other = compare(found, events="held-out", n_replicas=0)
    for make in (comparison_table, comparison):
        with pytest.raises(ConfigError, match="rows must be one or more with the same numbers"):
            make([*rows, *other])
        with pytest.raises(ConfigError, match="rows must be one or more"):
            make([])


@pytest.fixture
def axes() -> Any:
    figure = Figure(figsize=(10, 8))
    FigureCanvasAgg(figure)
    return figure.add_subplot()


class TestFigures:
    def test_rejection_against_efficiency(self, found, axes):
        curves = {name: roc_curve(sample) for name, sample in found.items()}
        assert roc(curves, ax=axes) is axes
        assert [line.get_label() for line in axes.lines] == list(NAMES)
        for line, curve in zip(axes.lines, curves.values(), strict=True):
            x, y = np.array(line.get_data())
            points = set(zip(curve.signal_efficiency, curve.rejection, strict=True))
            assert set(zip(x, y, strict=True)) <= points
            assert (x[-1], y[-1]) == (1.0, 1.0)
            assert np.isfinite(y).all()
        assert axes.get_yscale() == "log"

    @pytest.mark.parametrize("wrong", [0, 1])
    def test_a_decision_is_a_point(self, axes, wrong):
        y = np.repeat([0, 1], 50)
        passes = np.where(np.arange(100) % 50 < 40, y, 1 - y)
        passes[:50] *= wrong
        curve = roc_curve(Predictions(y, np.stack([1 - passes, passes], axis=1)))
        roc({"cuts": curve}, ax=axes)
        (bars,) = axes.containers
        x, height = bars.lines[0].get_data()
        assert list(zip(x, height, strict=True)) == [(0.8, pytest.approx(5))] * wrong

    def test_curves_of_many_events_are_thinned(self, axes):
        (sample,) = (predictions(0, 20_000)[name] for name in NAMES[1:2])
        curve = roc_curve(sample)
        roc({"one": curve}, ax=axes)
        x, y = np.array(axes.lines[0].get_data())
        assert 1000 < len(x) <= 2000
        shown = curve.rejection <= y[0]
        distance = np.abs(curve.signal_efficiency[shown][::20, None] - x)
        distance += np.abs(np.log(curve.rejection[shown][::20, None] / y)) / np.log(y[0])
        assert distance.min(axis=1).max() < 0.002

    def test_calibration(self, found, axes):
        curves = {name: calibration_curve(sample) for name, sample in found.items()}
        calibration(curves, ax=axes)
        drawn = {c.get_label(): c.lines[0].get_data() for c in axes.containers}
        assert set(drawn) == set(NAMES)
        for name, curve in curves.items():
            np.testing.assert_array_equal(drawn[name], (curve.predicted, curve.observed))

    def test_scores_are_normalised(self, found, axes):
        score_distributions(found[NAMES[1]], classes=["QCD", "Higgs"], n_bins=20, ax=axes)
        assert [patch.get_label() for patch in axes.patches] == ["QCD", "Higgs"]
        for patch in axes.patches:
            assert patch.get_data().values.sum() == pytest.approx(1)

    def test_a_class_without_weight_is_not_drawn(self, axes):
        sample = Predictions([0, 1, 1], [[0.2, 0.8]] * 3, [1.0, 1.0, -1.0])
        score_distributions(sample, ax=axes)
        assert [patch.get_label() for patch in axes.patches] == ["class 0"]

    @pytest.mark.parametrize("size", [(18, 5), (9, 4)])
    @pytest.mark.parametrize("styled", [False, True])
    def test_the_table_fits_its_axes(self, rows, size, styled):
        def drawn() -> Any:
            figure = Figure(figsize=size)
            FigureCanvasAgg(figure)
            (table,) = comparison(rows, ax=figure.add_subplot()).tables
            figure.canvas.draw()
            return table.get_celld()

        if styled:
            with figure_style():
                cells = drawn()
        else:
            cells = drawn()
        assert len(cells) == 9 * 7
        for (line, column), cell in cells.items():
            if column:
                left = cells[line, column - 1].get_text().get_window_extent()
                assert left.x1 <= cell.get_text().get_window_extent().x0 or not left.width
        shown = [cells[line, 6].get_text().get_text() for line in range(1, 9)]
        assert shown == [row.cells["1/ε_B at 99 %"] for row in rows]

    @pytest.mark.parametrize(
        ("draw", "words"),
        [
            (lambda _: roc({}), "curves must hold at least one approach, got none"),
            (lambda _: calibration({}), "curves must hold at least one approach, got none"),
            (
                lambda found: score_distributions(found[NAMES[0]], classes=["all"]),
                r"classes must name each of 2 classes, got \['all'\]",
            ),
            (
                lambda found: score_distributions(found[NAMES[0]], n_bins=1),
                "n_bins must be at least 2, got 1",
            ),
        ],
    )
    def test_wrong_arguments(self, found, draw, words):
        with pytest.raises(ConfigError, match=words):
            draw(found)
