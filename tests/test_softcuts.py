"""Relaxed cuts: their shapes, losses, scans, diagnoses and descents; the numbers of a public notebook."""

import csv
import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from scipy.optimize import brentq

from cortado import Asimov, EventSample, MinBackground, Sample, plotting
from cortado.errors import ConfigError, InputError, OutputError
from cortado.exact import optimal_boundaries
from cortado.models import SigmoidCuts
from cortado.models.tensorflow import keras, tf
from cortado.objectives import SQUARED_SIGNIFICANCES
from cortado.softcuts import (
    LOSSES,
    RELAXATIONS,
    Algebraic,
    CutEvents,
    ErrorFunction,
    GaussianKernel,
    HardCuts,
    HyperbolicTangent,
    LinearRamp,
    Sigmoid,
    StraightThrough,
    arrivals,
    arrivals_table,
    best_cut,
    descend,
    diagnose,
    diagnosis_table,
    matched_relaxations,
    matched_width,
    scan,
    scan_table,
    write_scans,
)
from cortado.training import Constant, Exponential, Joined
from cortado.training.fit import fit

SHAPES = list(RELAXATIONS.values())
SMOOTH = [shape for shape in SHAPES if shape is not StraightThrough]
Z = np.linspace(-6, 6, 1201)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.NAME)


def notebook_events(n: int = 10_000) -> CutEvents:
    """Signal, then background, from the legacy generator of numpy."""
    random = np.random.RandomState(19680801)
    signal = random.normal(5, 1, 10_000)
    return CutEvents(signal[:n], random.normal(0, 4, 10_000)[:n])


@pytest.fixture(scope="module")
def events() -> CutEvents:
    return notebook_events()


@pytest.fixture(scope="module")
def few() -> CutEvents:
    return notebook_events(400)


@pytest.fixture(scope="module")
def scans(events):
    """By names of relaxation and loss, of unit widths, as in the notebook."""
    found = scan(events, [ErrorFunction(), Sigmoid()], ["s/sqrt(b)", "cross entropy", "squares"])
    return {(s.relaxation.NAME, s.loss.name): s for s in found}


@pytest.fixture(scope="module")
def few_scans(few):
    cuts = np.linspace(-8, 12, 21)
    return scan(few, [ErrorFunction(), StraightThrough()], ["squares", "s/sqrt(b)"], cuts)


def slopes(relaxation, z):
    """Derivatives by automatic differentiation at cuts −z of an event at 0, in the order of z."""
    cut = tf.constant(-z)
    with tf.GradientTape() as tape:
        tape.watch(cut)
        weights = relaxation(tf.zeros_like(cut), cut)
    return -np.asarray(tape.gradient(weights, cut))


class TestRelaxations:
    @shapes
    def test_weights_rise_from_0_to_1_symmetrically(self, shape):
        weights = shape().rise(Z)
        assert np.all(np.diff(weights) >= 0)
        assert weights[0] == pytest.approx(0, abs=7e-3)
        np.testing.assert_allclose(weights + shape().rise(-Z), 1, rtol=0, atol=1e-15)
        assert weights.min() >= 0
        assert weights.max() <= 1
        assert shape().rise(np.zeros(1)) == 0.5

    @shapes
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_numpy_and_tensorflow_agree_in_the_precision_given(self, shape, dtype):
        x, relaxation = Z.astype(dtype), shape(0.7, "below")
        cut = np.asarray(0.3, dtype)
        with_tensors = relaxation(tf.constant(x), tf.constant(cut))
        assert with_tensors.dtype == dtype
        close = {"float64": 1e-15, "float32": 3e-7}[dtype]
        np.testing.assert_allclose(with_tensors, relaxation(x, cut), rtol=0, atol=close)

    @shapes
    def test_sides_are_complements_and_reflections(self, shape):
        above, below = shape(1.3, "above"), shape(1.3, "below")
        np.testing.assert_allclose(above(Z, 0.4) + below(Z, 0.4), 1, rtol=0, atol=1e-15)
        np.testing.assert_array_equal(below(Z, 0.4), above(-Z, -0.4))

    @shapes
    def test_slope_at_the_cut_is_what_it_says(self, shape):
        assert slopes(shape(0.6), np.array([1e-9]))[0] == pytest.approx(shape.SLOPE / 0.6, rel=1e-6)

    @pytest.mark.parametrize("shape", SMOOTH, ids=lambda shape: shape.NAME)
    def test_gradients_are_those_of_the_weights(self, shape):
        z = np.linspace(-3, 3, 60)  # none at the corners of a ramp
        step = 1e-6
        numerical = (shape().rise(z + step) - shape().rise(z - step)) / (2 * step)
        np.testing.assert_allclose(slopes(shape(), z), numerical, rtol=0, atol=1e-9)

    def test_straight_through_is_hard_with_the_gradient_of_a_sigmoid(self):
        hard = StraightThrough(0.5)
        x = np.array([-1e-9, 0.0, 1e-9])
        np.testing.assert_array_equal(hard(x, 0.0), [0, 0.5, 1])
        np.testing.assert_allclose(slopes(hard, Z), slopes(Sigmoid(0.5), Z), rtol=0, atol=1e-15)

    @pytest.mark.parametrize(("k", "same"), [(HyperbolicTangent, Sigmoid), (GaussianKernel, ErrorFunction)])
    def test_some_shapes_are_the_same_with_another_width(self, k, same):
        np.testing.assert_allclose(
            k(1.7)(Z, 0.2), same(matched_width(same, k(1.7)))(Z, 0.2), rtol=0, atol=1e-15
        )

    @shapes
    def test_matched_widths_have_the_same_slope_and_come_back(self, shape):
        unit = ErrorFunction(1.5)
        matched = shape(matched_width(shape, unit))
        assert shape.SLOPE / matched.width == pytest.approx(unit.SLOPE / unit.width)
        assert matched_width("error function", matched) == pytest.approx(1.5)

    def test_a_matched_sigmoid_follows_the_error_function(self):
        width = matched_width(Sigmoid, ErrorFunction())
        assert 1 / width == pytest.approx(4 / math.sqrt(math.pi))
        largest = np.abs(Sigmoid(width)(Z, 0) - ErrorFunction()(Z, 0)).max()
        assert 0.017 < largest < 0.018

    def test_all_shapes_match_one(self):
        found = matched_relaxations(ErrorFunction(2.0, "below"))
        assert [type(one) for one in found] == SHAPES
        assert {one.side for one in found} == {"below"}

    @shapes
    def test_bins_share_out_every_event(self, shape):
        weights = shape(0.8).bins(Z, np.array([-1.0, 0.2, 2.0]))
        assert weights.shape == (len(Z), 4)
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-15)
        assert weights.min() >= -1e-16
        narrow = shape(1e-9).bins(Z, np.array([-1.003, 0.203, 2.003]))
        np.testing.assert_array_equal(narrow.argmax(axis=1), np.searchsorted([-1.003, 0.203, 2.003], Z))

    @pytest.mark.parametrize("width", [0, -1.0, math.nan, math.inf, "a", True])
    def test_width_must_be_positive(self, width):
        with pytest.raises(ConfigError, match="width must be a finite number > 0"):
            Sigmoid(width)

    def test_sides_and_names_must_be_known(self):
        with pytest.raises(ConfigError, match=r"side must be one of .*'left'"):
            Sigmoid(1.0, "left")
        with pytest.raises(ConfigError, match=r"relaxation must be one of .*'step'"):
            matched_width("step", Sigmoid())


class TestLosses:
    S, B = np.array([0.9, 0.6]), np.array([0.2, 0.5, 0.0])
    WS, WB = np.array([2.0, 1.0]), np.array([1.0, 3.0, 0.5])

    @pytest.mark.parametrize("kind", SQUARED_SIGNIFICANCES)
    def test_significances_are_those_of_the_package(self, kind):
        value = LOSSES[kind](self.S, self.B, self.WS, self.WB)
        assert value == pytest.approx(math.sqrt(SQUARED_SIGNIFICANCES[kind](2.4, 1.7)))
        assert LOSSES[kind].maximised

    def test_cross_entropy_and_squares_by_hand(self):
        e = 1e-6
        entropy = -2 * math.log(0.9 + e) - math.log(0.6 + e) - math.log(0.8 + e) - 3 * math.log(0.5 + e)
        entropy -= 0.5 * math.log(1 + e)
        assert LOSSES["cross entropy"](self.S, self.B, self.WS, self.WB) == pytest.approx(entropy, rel=1e-14)
        squares = 2 * 0.01 + 0.16 + 0.04 + 3 * 0.25
        assert LOSSES["squares"](self.S, self.B, self.WS, self.WB) == pytest.approx(squares, rel=1e-14)

    @pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
    def test_nothing_left_has_finite_values_and_gradients(self, loss):
        nothing = tf.zeros(3, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(nothing)
            value = loss(nothing, nothing, tf.ones_like(nothing), tf.ones_like(nothing))
        assert value.dtype == tf.float64
        assert np.isfinite(value)
        assert np.isfinite(tape.gradient(value, nothing)).all()

    @pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
    def test_weights_are_as_events_that_come_again(self, loss):
        once = loss(self.S, self.B, np.array([1.0, 2.0]), np.ones(3))
        twice = loss(self.S[[0, 1, 1]], self.B, np.ones(3), np.ones(3))
        assert once == pytest.approx(twice, rel=1e-14)


# By relaxation and loss: gradients at the first cuts and at the last ones, as far as the notebook shows them.
NOTEBOOK = {
    ("error function", "s/sqrt(b)"): ([1.26034e-06, 9.04523e-06, 5.07146e-05, 0.000223244, 0.000777305], []),
    ("sigmoid", "s/sqrt(b)"): ([0.00258652], [-0.0498758, -0.0406046, -0.0332585, -0.0273771, -0.0226232]),
    # In single precision the notebook has −17.7731, −28.0582, −42.4429, −61.5322, −78.1677.
    ("error function", "cross entropy"): ([-17.7757, -28.1552, -42.2745, -61.6379, -78.2335], []),
    # −2288.73 in the notebook: see the test of single precision.
    ("sigmoid", "cross entropy"): ([-2287.38], []),
    ("error function", "squares"): ([-0.000504125], []),
    ("sigmoid", "squares"): ([-1.01523, -1.42214, -1.97507, -2.71298, -3.67674], []),
}
BEST = {
    ("error function", "s/sqrt(b)"): 3.5,
    ("error function", "cross entropy"): 3.9,
    ("error function", "squares"): 3.3,
    ("sigmoid", "s/sqrt(b)"): 3.1,
    ("sigmoid", "cross entropy"): 3.4,
    ("sigmoid", "squares"): 3.1,
}


class TestNotebook:
    """Width 1 of the error function and slope k = 1 of the sigmoid; gradients of S/√B itself."""

    @pytest.mark.parametrize("case", NOTEBOOK, ids=" ".join)
    def test_gradients_at_both_ends(self, scans, case):
        first, last = NOTEBOOK[case]
        found = scans[case].gradients
        np.testing.assert_allclose(found[: len(first)], first, rtol=2e-5)
        np.testing.assert_allclose(found[len(found) - len(last) :], last, rtol=2e-5)

    def test_cuts(self, events):
        cuts = events.cuts()
        assert len(cuts) == 100
        shown = [-17.0294, -15.5877, 17.2099, 18.6516]
        np.testing.assert_allclose(cuts[[0, 4, -5, -1]], shown, rtol=1e-5)

    @pytest.mark.parametrize("case", BEST, ids=" ".join)
    def test_best_relaxed_cuts(self, events, scans, case):
        found = scans[case]
        near = found.cuts[found.best - 1 : found.best + 2]
        assert round(best_cut(events, found.relaxation, found.loss.name, near).cut, 1) == BEST[case]

    def test_best_hard_cut(self, events):
        best = HardCuts(events).best
        assert best.cut == pytest.approx(3.62, abs=0.005)
        assert best.value == pytest.approx(217.6, abs=0.05)

    def test_why_single_precision_differs(self, events):
        """1 − f has steps of 6·10⁻⁸ there, beside ε = 10⁻⁶; the slope of the sigmoid is the accurate one."""
        cut = np.float32(events.cuts()[0])
        x = events.background.astype(np.float32)
        f, complement = Sigmoid()(x, cut), Sigmoid(1.0, "below")(x, cut)
        gradient = -np.sum(f * complement / (1 - f + np.float32(1e-6)), dtype=np.float64)
        assert gradient == pytest.approx(-2288.73, rel=2e-5)


class TestScans:
    def test_gradients_are_those_of_the_values(self, few):
        cuts = np.array([-3.1, 0.7, 4.2, 6.0])
        step = 1e-6
        for found in scan(few, Algebraic(2.0), cuts=np.concatenate([cuts - step, cuts, cuts + step])):
            below, _, above = found.values.reshape(4, 3).T
            numerical = (above - below) / (2 * step)
            np.testing.assert_allclose(found.gradients[1::3], numerical, rtol=1e-5, atol=1e-6)

    def test_values_are_those_of_numpy_whatever_the_block(self, few, monkeypatch):
        given: dict[str, Any] = {"relaxations": Sigmoid(1.0, "below"), "losses": ["asimov", "cross entropy"]}
        found = scan(few, **given)
        monkeypatch.setattr("cortado.softcuts.scans._MOST_WEIGHTS", 7 * len(few))
        for whole, part in zip(found, scan(few, **given), strict=True):
            np.testing.assert_allclose(part.values, whole.values, rtol=1e-13)
            np.testing.assert_allclose(part.gradients, whole.gradients, rtol=1e-12)
        f_s, f_b = (whole.relaxation(x, whole.cuts[30]) for x in (few.signal, few.background))
        for whole in found:
            direct = whole.loss(f_s, f_b, few.signal_weights, few.background_weights)
            assert whole.values[30] == pytest.approx(direct, rel=1e-13)
        assert whole.signal_weight[30] == pytest.approx(f_s.mean())
        assert whole.background_weight[30] == pytest.approx(f_b.mean())

    def test_events_with_weights(self, few):
        double = CutEvents(few.signal, few.background, 2 * few.signal_weights, 2 * few.background_weights)
        once, twice = scan(few, Sigmoid(), "s/sqrt(b)")[0], scan(double, Sigmoid(), "s/sqrt(b)")[0]
        np.testing.assert_allclose(twice.values, math.sqrt(2) * once.values)
        np.testing.assert_allclose(twice.signal_weight, once.signal_weight)

    def test_table_shows_both_ends(self, few_scans):
        console = Console(width=120, record=True)
        console.print(scan_table([s for s in few_scans if s.loss.name == "squares"]))
        text = console.export_text()
        for cut in (-8, -4, 8, 12):
            assert f"{cut:.4f}" in text
        assert "-3.0000" not in text
        assert "straight-through" in text

    @pytest.mark.parametrize("suffix", ["parquet", "csv"])
    def test_files_hold_all_rows(self, few_scans, tmp_path, suffix):
        path = tmp_path / f"scans.{suffix}"
        write_scans(path, few_scans)
        if suffix == "parquet":
            rows = pq.read_table(path).to_pylist()
        else:
            with path.open(encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        assert len(rows) == 21 * len(few_scans)
        assert {row["loss"] for row in rows} == {"squares", "s/sqrt(b)"}
        assert {row["relaxation"] for row in rows} == {"error function", "straight-through"}
        gradients = np.concatenate([s.gradients for s in few_scans])
        np.testing.assert_array_equal([float(row["gradient"]) for row in rows], gradients)
        assert [p.name for p in tmp_path.iterdir()] == [path.name]

    def test_files_are_whole_or_not_there(self, few_scans, tmp_path):
        (tmp_path / "file").write_text("", encoding="utf-8")
        with pytest.raises(OutputError, match="cannot write"):
            write_scans(tmp_path / "file" / "scans.csv", few_scans)
        with pytest.raises(ConfigError, match=r"path must end in .parquet or .csv, got 'scans.txt'"):
            write_scans(tmp_path / "scans.txt", few_scans)

    @pytest.mark.parametrize(
        ("wrong", "error", "words"),
        [
            ({"relaxations": []}, ConfigError, "relaxations must be at least one"),
            ({"relaxations": "sigmoid"}, ConfigError, "relaxations must be relaxed cuts .* got 'sigmoid'"),
            ({"relaxations": [Sigmoid]}, ConfigError, "relaxations must be relaxed cuts"),
            ({"losses": []}, ConfigError, "losses must be at least one of .* got none"),
            ({"cuts": ["left"]}, InputError, "cuts must be a list of finite numbers: .*'left'"),
            ({"losses": "accuracy"}, ConfigError, "loss must be one of .* got 'accuracy'"),
            ({"precision": "float16"}, ConfigError, "precision must be .* got 'float16'"),
            ({"cuts": [0.0, math.nan]}, InputError, "cuts must be a list of finite numbers"),
            ({"cuts": []}, InputError, "cuts must be a list of finite numbers"),
        ],
    )
    def test_wrong_arguments(self, few, wrong, error, words):
        with pytest.raises(error, match=words):
            scan(few, **{"relaxations": Sigmoid(), **wrong})

    def test_wrong_events(self):
        with pytest.raises(InputError, match="signal must be a list of finite numbers"):
            CutEvents([math.inf], [1.0])
        with pytest.raises(
            InputError, match=r"signal must be .* numbers, got 1 of 10000 that are not, .* nan$"
        ):
            CutEvents([*range(9_999), math.nan], [1.0])
        with pytest.raises(InputError, match=r"background must be .*, got the shape \(0,\)"):
            CutEvents([1.0], [])
        with pytest.raises(InputError, match="signal_weights must be a list of finite numbers"):
            CutEvents([1.0], [1.0], signal_weights=["one"])
        with pytest.raises(InputError, match="background_weights must be finite, one for each of 2 values"):
            CutEvents([1.0], [1.0, 2.0], background_weights=[1.0])
        with pytest.raises(InputError, match=r"signal_weights .* sum > 0, got .* sum -1"):
            CutEvents([1.0], [1.0], signal_weights=[-1.0])


class TestHardCuts:
    @pytest.mark.parametrize("side", ["above", "below"])
    @pytest.mark.parametrize("kind", SQUARED_SIGNIFICANCES)
    def test_best_of_all_positions(self, few, kind, side):
        found = HardCuts(few, kind, side)
        relaxation = StraightThrough(1.0, side)
        x = np.sort(np.concatenate([few.signal, few.background]))
        cuts = (x[1:] + x[:-1]) / 2
        values = [
            LOSSES[kind](
                relaxation(few.signal, cut),
                relaxation(few.background, cut),
                few.signal_weights,
                few.background_weights,
            )
            for cut in cuts
        ]
        assert found.best.value == pytest.approx(max(values))
        np.testing.assert_allclose(found.value(cuts), values, rtol=1e-12)

    def test_narrow_relaxations_become_the_hard_cut(self, few):
        cuts = np.linspace(-3.01, 6.01, 30)
        (found,) = scan(few, ErrorFunction(1e-7), "s/sqrt(b)", cuts)
        np.testing.assert_allclose(found.values, HardCuts(few).value(cuts), rtol=1e-9)

    def test_kinds_and_sides_must_be_known(self, few):
        with pytest.raises(ConfigError, match="kind must be one of"):
            HardCuts(few, "best")
        with pytest.raises(ConfigError, match="side must be one of"):
            HardCuts(few, side="left")


@pytest.fixture(scope="module")
def diagnoses(events):
    found = diagnose(events, [ErrorFunction(), Sigmoid()], ["s/sqrt(b)", "cross entropy"])
    return {(d.relaxation.NAME, d.loss.name): d for d in found}


class TestDiagnoses:
    def test_error_function_with_cross_entropy_drives_far_cuts_away(self, diagnoses):
        found = diagnoses["error function", "cross entropy"]
        ((place, attracting),) = [(p.cut, p.attracting) for p in found.stationary if p.spurious]
        assert 10 < place < 12
        assert not attracting
        assert found.basin == pytest.approx((found.scan.cuts[0], place), abs=0.4)
        assert "driven away" in str(found)

    def test_an_optimum_at_the_edge_is_said_to_be_there(self, events, diagnoses):
        (found,) = diagnose(events, Sigmoid(), "s/sqrt(b)", np.linspace(12.0, 18.0, 20))
        assert found.optimum.cut == 12.0
        assert "12.00, at the edge of the range" in str(found)
        assert not any("at the edge" in str(inside) for inside in diagnoses.values())

    def test_sigmoid_has_no_dead_zone_with_cross_entropy(self, diagnoses):
        found = diagnoses["sigmoid", "cross entropy"]
        assert found.dead == found.zero_in_float32 == 0
        assert found.basin_fraction == 1
        assert not [p for p in found.stationary if p.spurious]

    def test_dead_zones_bias_and_loss(self, diagnoses):
        found = diagnoses["error function", "s/sqrt(b)"]
        size = np.abs(found.scan.gradients)
        assert found.dead == np.mean(size < 1e-3 * size.max()) > 0.3
        assert 0.1 < found.zero_in_float32 < found.dead
        assert found.bias == pytest.approx(found.optimum.cut - found.hard.cut)
        assert -0.2 < found.bias < -0.1
        assert 0.99 < found.kept < 1

    def test_false_minima_are_found(self):
        """Between two signal peaks the gradient points to the nearer one."""
        random = np.random.default_rng(1)
        signal = np.concatenate([random.normal(0, 0.5, 300), random.normal(20, 0.5, 700)])
        background = np.concatenate([random.normal(-8, 2, 500), random.normal(10, 2, 500)])
        (found,) = diagnose(CutEvents(signal, background), ErrorFunction(), "squares")
        (false,) = [p for p in found.stationary if p.attracting and p.spurious]
        assert abs(false.cut - found.optimum.cut) > 5
        assert f"At {false.cut:.2f} there is a false minimum." in found.sentences
        assert found.basin_fraction < 0.8

    def test_false_minima_on_flat_stretches_are_found(self):
        """A ramp has no gradient where there are no events, here between the peaks."""
        random = np.random.default_rng(1)
        signal = np.concatenate([random.normal(0, 0.3, 300), random.normal(20, 0.3, 700)])
        background = np.concatenate([random.normal(-8, 1, 500), random.normal(10, 1, 500)])
        (found,) = diagnose(CutEvents(signal, background), LinearRamp(), "squares")
        false = [(p.cut, p.attracting) for p in found.stationary if p.spurious]
        assert [attracting for _, attracting in false] == [True, False]
        assert -7 < false[0][0] < -1 < false[1][0] < 10

    def test_a_slope_that_vanishes_at_a_cut_is_a_stationary_point(self):
        mirrored = CutEvents([-1.0, 1.0, 2.0], [-2.0, -1.0, 1.0])
        (found,) = diagnose(mirrored, Sigmoid(), "squares", [-4.0, -2.0, 0.0, 2.0, 4.0])
        ((place, attracting, spurious),) = [(p.cut, p.attracting, p.spurious) for p in found.stationary]
        assert place == pytest.approx(0, abs=1e-9)
        assert attracting
        assert not spurious

    def test_cuts_must_have_a_range(self, few):
        with pytest.raises(InputError, match="cuts must be at two positions at least, got only 2"):
            diagnose(few, Sigmoid(), "squares", [2.0, 2.0])

    def test_table(self, diagnoses):
        console = Console(width=140, record=True)
        console.print(diagnosis_table([*diagnoses.values()]))
        text = console.export_text()
        assert "error function" in text
        assert "cross entropy" in text

    def test_threshold_must_be_a_fraction(self, few):
        with pytest.raises(ConfigError, match="threshold must be between 0 and 1, got 1"):
            diagnose(few, Sigmoid(), threshold=1)


class TestDescents:
    def test_annealing_brings_back_cuts_that_were_driven_away(self, few):
        schedules = {"constant": None, "annealed": Joined([Exponential(8.0, 1.0), Constant(1.0)], at=[0.7])}
        starts = np.linspace(-17, 18, 8)
        adam = {"Adam": keras.optimizers.Adam(0.05)}
        constant, annealed = arrivals(
            few,
            ErrorFunction(),
            "cross entropy",
            optimizers=adam,
            schedules=schedules,
            starts=starts,
            steps=250,
        )
        assert constant.share < 0.9
        assert annealed.share == 1
        assert constant.ends[-1] > 17
        console = Console(width=120, record=True)
        console.print(arrivals_table([constant, annealed]))
        assert "100 %" in console.export_text()
        assert "8 of 8 starts" in str(annealed)

    def test_steps_are_those_of_gradient_descent(self, few):
        cuts = np.array([1.0, 5.0, 9.0])
        (found,) = scan(few, Sigmoid(2.0), "s/sqrt(b)", cuts)
        expected = cuts + few.spread * 0.1 * found.gradients / np.abs(found.gradients).max()
        moved = descend(few, Sigmoid(2.0), "s/sqrt(b)", cuts, keras.optimizers.SGD(0.1), steps=1)
        np.testing.assert_allclose(moved, expected, rtol=1e-7)  # Keras has learning rates in float32

    def test_starts_without_gradient_stay(self, few):
        moved = descend(few, LinearRamp(), "s/sqrt(b)", [30.0], keras.optimizers.SGD(0.1), steps=3)
        np.testing.assert_array_equal(moved, [30.0])

    def test_the_optimum_is_that_of_the_width_at_the_end(self, few):
        """A narrow sigmoid has its best cut elsewhere than the wide one that a schedule begins with."""
        options: dict[str, Any] = {"optimizers": {"Adam": keras.optimizers.Adam(0.05)}, "starts": [4.0]}
        (narrowed,) = arrivals(
            few, Sigmoid(2.0), "s/sqrt(b)", schedules={"": Exponential(1.0, 0.1)}, **options
        )
        (narrow,) = arrivals(few, Sigmoid(0.2), "s/sqrt(b)", **options)
        (wide,) = arrivals(few, Sigmoid(2.0), "s/sqrt(b)", **options)
        assert narrowed.optimum.cut == pytest.approx(narrow.optimum.cut, abs=1e-6)
        assert abs(wide.optimum.cut - narrow.optimum.cut) > 2 * wide.tolerance
        assert narrowed.share == wide.share == 1

    @pytest.mark.parametrize("last", [0.0, -1.0, math.nan])
    def test_schedules_must_keep_the_width_positive(self, few, last):
        with pytest.raises(ConfigError, match="schedule must give finite factors > 0"):
            arrivals(few, Sigmoid(), "squares", schedules={"to nothing": lambda p: last if p else 1.0})

    def test_wrong_arguments(self, few):
        with pytest.raises(ConfigError, match="relaxations must be at least one"):
            arrivals(few, [], "squares")
        with pytest.raises(ConfigError, match="steps must be at least 1"):
            descend(few, Sigmoid(), "squares", [0.0], keras.optimizers.SGD(), steps=0)
        with pytest.raises(ConfigError, match="tolerance must be > 0"):
            arrivals(few, Sigmoid(), "squares", tolerance=0.0)


class TestSigmoidCuts:
    U = tf.constant(np.linspace(-4.87, 4.93, 99)[:, None])

    def model(self, **options):
        model = SigmoidCuts(4, ranges=[(-5.0, 5.0)], **options)
        low_high = {"low": np.array([-5.0]), "high": np.array([5.0])}
        model.restore({**low_high, "shares_0": np.log([0.1, 0.3, 0.2, 0.4])})
        return model

    @shapes
    def test_memberships_are_those_of_the_relaxed_bins(self, shape):
        model = self.model(relaxation=shape.NAME, steepness=3.0)
        sharpness = tf.constant(1.7, tf.float64)
        sigmoid = Sigmoid(10.0 / (1.7 * 3.0 * 4))
        relaxation = shape(matched_width(shape, sigmoid))
        expected = relaxation.bins(np.asarray(self.U)[:, 0], model.boundaries())
        np.testing.assert_allclose(model.memberships(self.U, sharpness), expected, rtol=0, atol=1e-12)

    @shapes
    def test_memberships_sum_to_1_and_become_the_hard_bins(self, shape):
        model = self.model(relaxation=shape.NAME)
        np.testing.assert_allclose(np.sum(model.memberships(self.U), axis=1), 1, rtol=0, atol=1e-15)
        hard = np.argmax(model.memberships(self.U, 1e9), axis=1)
        np.testing.assert_array_equal(hard, model.categories(self.U))

    @shapes
    def test_files_keep_the_shape(self, shape, tmp_path):
        model = self.model(relaxation=shape.NAME)
        model.save(tmp_path / "model.json")
        loaded = SigmoidCuts.load(tmp_path / "model.json")
        assert loaded.configuration["relaxation"] == shape.NAME
        np.testing.assert_array_equal(loaded.memberships(self.U), model.memberships(self.U))

    def test_the_default_is_the_sigmoid_bit_by_bit(self):
        model = self.model(steepness=3.3)
        sharpness = tf.constant(1.3, tf.float64)
        steepness = sharpness * (3.3 * 4) / (model._value("high")[0] - model._value("low")[0])
        above = tf.sigmoid(steepness * (self.U - model._edges(0)[None, :]))
        ones = tf.ones_like(self.U)
        expected = tf.concat([ones, above], 1) - tf.concat([above, tf.zeros_like(ones)], 1)
        np.testing.assert_array_equal(model.memberships(self.U, sharpness), expected)

    def test_other_shapes_are_refused(self):
        with pytest.raises(ConfigError, match=r"relaxation must be one of .*'step'"):
            SigmoidCuts(3, relaxation="step")


def test_bins_of_another_shape_are_learned_on_cells_and_on_events():
    random = np.random.default_rng(2)
    arrays = {
        "signal": (random.normal(1, 1, (2_000, 1)), np.ones(2_000)),
        "background": (random.normal(-1, 1, (5_000, 1)), np.ones(5_000)),
    }
    line, kept = Sample.from_arrays(arrays, n_folds=1), EventSample.from_arrays(arrays, n_folds=1)
    objective = Asimov("signal") + MinBackground(10.0)
    best = optimal_boundaries(line.points(), objective, n_categories=3).values[-1]
    options: dict[str, Any] = {"starts": 1, "steps": 20, "seed": 1, "events": kept, "event_steps": 2}
    result = fit(
        SigmoidCuts(3, relaxation="straight-through"), line, objective, initialisation="random", **options
    )
    assert 0.9 * best < objective.value(result.training) < 1.001 * best


class TestFigures:
    def test_weights_losses_and_gradients(self, few_scans):
        squares = [s for s in few_scans if s.loss.name == "squares"]
        weights = plotting.scan_weights(few_scans, ax=plt.figure().add_subplot())
        assert len(weights.lines) == 4
        losses = plotting.scan_losses(squares, ax=plt.figure().add_subplot())
        assert losses.get_ylabel() == "sum of squares"
        marks = [line for line in losses.lines if line.get_marker() == "o"]
        assert [float(np.asarray(mark.get_xdata())[0]) for mark in marks] == [s.cuts[s.best] for s in squares]
        gradients = plotting.scan_gradients(squares, ax=plt.figure().add_subplot())
        np.testing.assert_array_equal(gradients.lines[0].get_ydata(), squares[0].gradients)
        sizes = plotting.scan_gradient_sizes(squares, ax=plt.figure().add_subplot())
        assert sizes.get_yscale() == "log"
        assert np.nanmax(sizes.lines[0].get_ydata()) == 1
        plt.close("all")

    def test_ends(self, few):
        found = arrivals(few, Sigmoid(), "squares", starts=[0.0, 5.0], steps=2)
        axes = plotting.descent_ends(found, ax=plt.figure().add_subplot())
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), [0, 5])
        plt.close("all")

    def test_widths_of_one_shape_are_told_apart(self, few):
        found = scan(few, [Sigmoid(), Sigmoid(3.0)], "squares", [0.0, 1.0])
        axes = plotting.scan_losses(found, ax=plt.figure().add_subplot())
        assert axes.get_legend_handles_labels()[1] == ["sigmoid, width 1", "sigmoid, width 3"]
        assert "sigmoid, width 3\nvalue" in [column.header for column in scan_table(found).columns]
        diagnoses = diagnosis_table(diagnose(few, [Sigmoid(), Sigmoid(3.0)], ["squares", "asimov"]))
        assert {*diagnoses.columns[0].cells} == {"sigmoid, width 1", "sigmoid, width 3"}
        plt.close("all")

    def test_one_loss_a_figure(self, few_scans):
        with pytest.raises(ConfigError, match="scans must be of one loss"):
            plotting.scan_losses(few_scans)
        with pytest.raises(ConfigError, match="scans must be at least one"):
            plotting.scan_weights([])
        with pytest.raises(ConfigError, match="found must be at least one"):
            plotting.descent_ends([])
        plt.close("all")


@shapes
def test_the_rise_of_matched_shapes_differs_in_the_tails_alone(shape):
    """The rise from 16 % to 84 % is √2 for the unit error function, and not far from it for the others."""
    matched = shape(matched_width(shape, ErrorFunction()))
    if shape is StraightThrough:
        return
    rise = 2 * brentq(lambda x: matched(np.array(x), 0.0) - 0.8413447, 0, 5)
    assert 1.2 < rise < 1.7
