"""Objectives: exact significances, gradients that exist everywhere, and terms that add."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cortado.errors import ConfigError
from cortado.objectives import (
    Asimov,
    MinBackground,
    MinEffectiveEvents,
    Objective,
    Yields,
    as_objective,
    simulation_uncertainty,
    squared_significance,
)
from cortado.objectives.asimov import COMBINATIONS

PROCESSES = ("ggH", "qqH", "DY", "TT")
SIGNALS = ("ggH", "qqH")
FLOORS = [MinBackground(10.0), MinEffectiveEvents(5.0), MinBackground(3.0, strength=0.5)]

positive = st.floats(1e-6, 1e6)
# What a category may hold while training: nothing, less than nothing, next to nothing, or a lot.
awkward = st.one_of(st.floats(-100, 100), st.sampled_from([0.0, -0.0, 1e-320, 1e-150, 1e-30, 1e12, -1e12]))


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


def exact(signal: float, background: float) -> float:
    """Z² in sixty digits."""
    with localcontext() as context:
        context.prec = 60
        s, b = Decimal(signal), Decimal(background)
        return float(2 * ((s + b) * (1 + s / b).ln() - s))


def z2(signal: float, background: float) -> float:
    return squared_significance(np.array([signal]), np.array([background])).item()


def yields_of(sumw, sumw2=None, count=None, signals=()) -> Yields:
    sumw = np.asarray(sumw, np.float64)
    sumw2 = np.abs(sumw) if sumw2 is None else np.asarray(sumw2, np.float64)
    count = np.ones(sumw.shape, np.int64) if count is None else count
    return Yields(PROCESSES[: len(sumw)], sumw, sumw2, count, signals)


def tables(elements=awkward, n_categories: int = 3):
    return arrays(np.float64, (len(PROCESSES), n_categories), elements=elements)


# --- significance -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("background", [1e-6, 0.3, 1.0, 1e7])
@pytest.mark.parametrize("ratio", [*np.geomspace(1e-12, 1e6, 37), 0.00999, 0.0099999999, 0.01, 0.0100001])
def test_significance_is_exact_to_rounding(ratio, background):
    signal = ratio * background
    assert z2(signal, background) == pytest.approx(exact(signal, background), rel=5e-13)


@given(ratio=st.floats(1e-12, 1e6), background=positive)
def test_significance_is_exact_to_rounding_anywhere(ratio, background):
    signal = ratio * background
    assert z2(signal, background) == pytest.approx(exact(signal, background), rel=5e-13)


@pytest.mark.parametrize(
    ("signal", "background", "z"), [(10, 100, 0.98399), (5, 5, 1.96544), (1, 1e-3, 3.43967)]
)
def test_significance_of_known_cases(signal, background, z):
    """By hand from eq. 97 of arXiv:1007.1727."""
    assert math.sqrt(z2(signal, background)) == pytest.approx(z, abs=1e-5)


def test_small_signals_approach_s_over_root_b():
    assert math.sqrt(z2(1e-6, 4.0)) == pytest.approx(1e-6 / 2, rel=1e-6)


def test_series_and_closed_form_meet():
    """Across the switch the function rises by its derivative, 2 ln(1 + s/b) ds, and no more."""
    step = 1e-9
    below, above = z2(0.01 - step, 1.0), z2(0.01 + step, 1.0)
    assert (above - below) / (2 * step) == pytest.approx(2 * math.log1p(0.01), rel=1e-6)


@given(signal=positive, background=positive, power=st.integers(-30, 30), factor=st.floats(1e-3, 1e3))
def test_significance_is_homogeneous(signal, background, power, factor):
    assert z2(2.0**power * signal, 2.0**power * background) == 2.0**power * z2(signal, background)
    assert z2(factor * signal, factor * background) == pytest.approx(
        factor * z2(signal, background), rel=1e-12
    )


@given(signal=positive, background=positive, shares=st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
def test_splitting_at_equal_purity_changes_nothing(signal, background, shares):
    share = np.array(shares) / sum(shares)
    parts = squared_significance(share * signal, share * background)
    assert parts.sum() == pytest.approx(z2(signal, background), rel=1e-12)


@given(s=arrays(np.float64, 2, elements=positive), b=arrays(np.float64, 2, elements=positive))
def test_merging_never_gains(s, b):
    assert z2(s.sum(), b.sum()) <= squared_significance(s, b).sum() * (1 + 1e-12)


@given(signal=positive, background=positive, factor=st.floats(1.001, 10))
def test_significance_rises_with_signal_and_falls_with_background(signal, background, factor):
    assert z2(factor * signal, background) > z2(signal, background) > z2(signal, factor * background) > 0


@pytest.mark.parametrize("background", [0.0, -0.0, -1.0, -1e300, 1e-320])
@pytest.mark.parametrize("signal", [0.0, 1.0, -1.0, 1e300])
def test_nothing_is_claimed_without_background(signal, background):
    assert z2(signal, background) == 0.0


@pytest.mark.parametrize("signal", [0.0, -0.0, -1.0, -1e300])
def test_nothing_is_claimed_without_signal(signal):
    assert z2(signal, 1.0) == 0.0


# --- gradients ----------------------------------------------------------------------------------------------


def gradients(tf, function, *arguments: np.ndarray) -> list[np.ndarray]:
    variables = [tf.constant(a, tf.float64) for a in arguments]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        value = tf.reduce_sum(function(*variables))
    return [g.numpy() for g in tape.gradient(value, variables, unconnected_gradients="zero")]


def test_gradients_of_the_significance_are_those_of_eq_97(tf):
    """∂Z²/∂s = 2 ln(1 + s/b) and ∂Z²/∂b = 2 [ln(1 + s/b) − s/b], on both sides of the switch."""
    ratio = np.array([1e-9, 1e-4, 0.009, 0.011, 0.5, 10.0, 1e4])
    background = np.array([3.0, 0.2, 100.0, 7.0, 1.0, 2.5, 40.0])
    by_signal, by_background = gradients(tf, squared_significance, ratio * background, background)
    np.testing.assert_allclose(by_signal, 2 * np.log1p(ratio), rtol=1e-10)
    expected = [float(2 * ((1 + Decimal(t)).ln() - Decimal(t))) for t in ratio]
    np.testing.assert_allclose(by_background, expected, rtol=1e-8)


@given(
    s=arrays(np.float64, 4, elements=st.floats(0.1, 50)), b=arrays(np.float64, 4, elements=st.floats(1, 50))
)
@settings(max_examples=20)
def test_gradients_agree_with_finite_differences(tf, s, b):
    for values, gradient, shifted in zip(
        (s, b),
        gradients(tf, squared_significance, s, b),
        (lambda h: (s + h, b), lambda h: (s, b + h)),
        strict=True,
    ):
        h = 1e-4 * values
        numeric = (squared_significance(*shifted(h)) - squared_significance(*shifted(-h))) / (2 * h)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7)


@given(s=arrays(np.float64, 5, elements=awkward), b=arrays(np.float64, 5, elements=awkward))
def test_values_and_gradients_of_the_significance_are_finite(tf, s, b):
    assert np.isfinite(squared_significance(s, b)).all()
    assert all(np.isfinite(g).all() for g in gradients(tf, squared_significance, s, b))


OBJECTIVES = {combine: Asimov(SIGNALS, combine) for combine in COMBINATIONS} | {
    f"{type(floor).__name__}({floor.minimum}, {floor.strength})": Asimov(SIGNALS) + floor for floor in FLOORS
}


def of_tables(objective):
    def function(sumw, sumw2):
        return objective(Yields(PROCESSES, sumw, sumw2, 0 * sumw))

    return function


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@given(
    sumw=tables(), sumw2=tables(st.one_of(st.floats(0, 100), st.sampled_from([0.0, 1e-320, 1e-150, 1e12])))
)
@settings(max_examples=25)
def test_objectives_are_finite_and_the_same_in_numpy_and_tensorflow(tf, objective, sumw, sumw2):
    function = of_tables(objective)
    value = function(sumw, sumw2)
    assert np.isfinite(value)
    tensor = function(tf.constant(sumw, tf.float64), tf.constant(sumw2, tf.float64))
    assert tensor.dtype == tf.float64
    assert float(tensor) == pytest.approx(value, rel=1e-10, abs=1e-12)
    assert all(np.isfinite(g).all() for g in gradients(tf, function, sumw, sumw2))


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_objectives_have_the_gradients_of_finite_differences(tf, objective):
    rng = np.random.default_rng(5)
    sumw, sumw2 = rng.uniform(2, 20, (4, 3)), rng.uniform(1, 20, (4, 3))
    function = of_tables(objective)
    by_sumw, by_sumw2 = gradients(tf, function, sumw, sumw2)
    h = 1e-5
    for place in np.ndindex(4, 3):
        step = np.zeros((4, 3))
        step[place] = h
        for gradient, up, down in (
            (by_sumw, function(sumw + step, sumw2), function(sumw - step, sumw2)),
            (by_sumw2, function(sumw, sumw2 + step), function(sumw, sumw2 - step)),
        ):
            assert gradient[place] == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-9)


def test_objectives_run_in_a_graph(tf):
    objective = Asimov(SIGNALS) + MinBackground(10.0)
    table = tf.constant(np.random.default_rng(1).uniform(1, 5, (4, 3)))
    graph = tf.function(of_tables(objective))
    assert float(graph(table, table)) == pytest.approx(float(of_tables(objective)(table, table)), rel=1e-14)


# --- combinations -------------------------------------------------------------------------------------------


def test_each_signal_has_all_other_processes_as_background():
    yields = yields_of([[1.0, 2.0], [3.0, 0.5], [10.0, 20.0], [5.0, 5.0]])
    each = Asimov(SIGNALS).each(yields)
    assert each["ggH"] == pytest.approx(math.sqrt(exact(1.0, 18.0) + exact(2.0, 25.5)))
    assert each["qqH"] == pytest.approx(math.sqrt(exact(3.0, 16.0) + exact(0.5, 27.0)))


@pytest.mark.parametrize("background", [0.0, -5.0])
def test_another_signal_alone_is_not_background_enough(background):
    yields = yields_of([[1.0, 2.0], [3.0, 9.0], [10.0, background]])
    alone = yields_of([[1.0], [3.0], [10.0]])
    assert Asimov(SIGNALS).each(yields) == Asimov(SIGNALS).each(alone)


@pytest.mark.parametrize(
    ("combine", "expected"),
    [
        ("geometric", lambda a, b: math.sqrt(a * b)),
        ("quadrature", math.hypot),
        ("minimum", min),
    ],
)
@given(sumw=tables(st.floats(0.1, 100)))
def test_significances_are_combined(combine, expected, sumw):
    yields = yields_of(sumw)
    objective = Asimov(SIGNALS, combine)
    assert float(objective(yields)) == pytest.approx(expected(*objective.each(yields).values()), rel=1e-12)


@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize("names", [("ggH",), ["ggH"], "ggH"])
def test_one_signal_is_its_own_combination(combine, names):
    yields = yields_of([[1.0, 2.0], [3.0, 0.5], [10.0, 20.0]])
    objective = Asimov(names, combine)
    assert float(objective(yields)) == pytest.approx(objective.each(yields)["ggH"], rel=1e-14)


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_categories_without_any_signal_give_zero(combine):
    yields = yields_of([[0.0, -1.0], [1.0, 1.0], [10.0, 20.0]])
    assert float(Asimov(["ggH"], combine)(yields)) == pytest.approx(0.0, abs=1e-100)


# --- floors -------------------------------------------------------------------------------------------------


@given(sumw=tables(), sumw2=tables(st.floats(0, 100)))
def test_penalties_of_floors_are_bounded(sumw, sumw2):
    yields = yields_of(sumw, sumw2, signals=SIGNALS)
    for floor in FLOORS:
        assert -3 * floor.strength <= floor(yields) <= 0
        met = np.all(floor.level(yields) >= floor.minimum)
        assert floor(yields) == 0 if met else floor(yields) < 0


@given(level=st.floats(-50, 50), more=st.floats(0.01, 10))
def test_penalties_fall_as_the_floor_is_approached(level, more):
    floor = MinBackground(10.0)

    def penalty(value: float) -> float:
        return floor(yields_of([[1.0], [1.0], [value]], signals=SIGNALS))

    assert penalty(level) <= penalty(level + more)
    assert penalty(level) < 0 or level >= 10


def test_floors_look_at_the_background_alone():
    sumw = [[50.0, 1.0], [0.0, 0.0], [6.0, 9.0], [2.0, 3.0]]
    sumw2 = [[5.0, 1.0], [0.0, 0.0], [3.0, 30.0], [1.0, 6.0]]
    yields = yields_of(sumw, sumw2, signals=SIGNALS)
    assert MinBackground(10.0).level(yields).tolist() == [8.0, 12.0]
    assert MinEffectiveEvents(5.0).level(yields).tolist() == [16.0, 4.0]
    objective = Asimov(SIGNALS) + MinBackground(10.0) + MinEffectiveEvents(5.0)
    assert objective.shortfall(yields).tolist() == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize("background", [[0.0, -3.0], [-1e-300, 0.0]])
def test_without_background_there_are_no_effective_events(background):
    yields = yields_of([[1.0, 1.0], [1.0, 1.0], background], signals=SIGNALS)
    assert MinEffectiveEvents(5.0).level(yields).tolist() == [0.0, 0.0]


def test_a_floor_of_zero_asks_for_nothing():
    yields = yields_of([[1.0, 1.0], [1.0, 1.0], [0.0, -5.0]], signals=SIGNALS)
    for floor in (MinBackground(0.0), MinEffectiveEvents(0.0)):
        assert floor(yields) == 0
        assert (Asimov(SIGNALS) + floor).shortfall(yields).tolist() == [0.0, 0.0]


def test_the_shortfall_adds_the_gaps_of_all_floors():
    yields = yields_of([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 5.0, 20.0]], signals=SIGNALS)
    objective = Asimov(SIGNALS) + MinBackground(10.0) + MinBackground(20.0)
    assert objective.shortfall(yields).tolist() == [2.0, 0.5 + 0.75, 0.0]
    assert as_objective(Asimov(SIGNALS)).shortfall(yields).tolist() == [0.0, 0.0, 0.0]


# --- objectives ---------------------------------------------------------------------------------------------


def twice_the_first(yields: Yields):
    """A user's own objective."""
    return 2 * yields.sumw[0].sum()


def test_terms_add_in_any_grouping():
    yields = yields_of([[1.0, 2.0], [3.0, 0.5], [4.0, 20.0], [5.0, 5.0]])
    a, b, c = Asimov(SIGNALS), MinBackground(10.0), MinEffectiveEvents(30.0)
    expected = float(a(yields)) + float((a + b)(yields) - a(yields)) + 6.0
    sums = [(a + b) + twice_the_first, a + (as_objective(b) + twice_the_first), twice_the_first + (a + b)]
    sums += [(twice_the_first + a) + b, Objective((b, a)) + twice_the_first]
    for objective in sums:
        assert isinstance(objective, Objective)
        assert len(objective.terms) == 3
        assert objective.signals == SIGNALS
        assert objective.floors == (b,)
        assert float(objective(yields)) == pytest.approx(expected, rel=1e-14)
        assert objective.value(yields) == pytest.approx(float(a(yields)) + 6.0, rel=1e-14)
    assert ((a + b) + c).terms == (a + (as_objective(b) + c)).terms == (a, b, c)


def test_an_objective_may_be_a_plain_function():
    objective = as_objective(twice_the_first)
    assert objective.signals == ()
    assert objective(yields_of([[1.0, 2.0]])) == 6.0
    assert as_objective(objective) is objective


def test_totals_add_processes():
    yields = yields_of([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], signals=("qqH",))
    assert yields.total(("ggH", "DY")).tolist() == [6.0, 8.0]
    assert yields.total(()).tolist() == [0.0, 0.0]
    assert yields.total(("ggH",), "count").tolist() == [1, 1]
    assert yields.backgrounds == ("ggH", "DY")


YIELDS = yields_of([[1.0], [1.0], [1.0]])
ERRORS = {
    "no signal": (lambda: Asimov([]), r"at least one, got \[\]"),
    "signal twice": (lambda: Asimov(["a", "a"]), r"distinct names.*\['a', 'a'\]"),
    "combination": (
        lambda: Asimov("a", "arithmetic"),
        r"\['geometric', 'minimum', 'quadrature'\], got 'arith",
    ),
    "unknown signal": (
        lambda: as_objective(Asimov("VH"))(YIELDS),
        r"signals \['VH'\] .*\['ggH', 'qqH', 'DY'\]",
    ),
    "unknown process": (lambda: Asimov("VH")(YIELDS), r"\['VH'\] are not among the processes"),
    "two sets of signals": (lambda: Asimov("a") + Asimov("b"), r"same signals, got \[\('a',\), \('b',\)\]"),
    "not a function": (
        lambda: Asimov("a") + 3.0,  # type: ignore[operator]
        "must be functions of yields, got 3.0",
    ),
    "negative floor": (lambda: MinBackground(-1.0), "MinBackground: minimum .* ≥ 0, got -1.0"),
    "nan floor": (lambda: MinEffectiveEvents(math.nan), "MinEffectiveEvents: minimum .*got nan"),
    "infinite floor": (lambda: MinBackground(math.inf), "minimum .*got inf"),
    "strength": (lambda: MinBackground(1.0, strength=-2.0), "MinBackground: strength .* > 0, got -2.0"),
}


@pytest.mark.parametrize(("make", "message"), ERRORS.values(), ids=ERRORS)
def test_what_is_no_objective_is_refused_with_the_reason(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_yields_are_arrays():
    with pytest.raises(TypeError, match="numpy arrays or TensorFlow tensors, got list"):
        Asimov("a")(Yields(("a", "b"), [[1.0], [2.0]], [[1.0], [2.0]], [[1], [2]]))


# --- uncertainty --------------------------------------------------------------------------------------------


@given(sumw=tables(st.floats(-10, 10)), sumw2=tables(st.floats(0, 10)), slope=tables(st.floats(-5, 5)))
def test_the_uncertainty_of_a_linear_function_is_exact(sumw, sumw2, slope):
    uncertainty = simulation_uncertainty(lambda y: float((slope * y.sumw).sum()), yields_of(sumw, sumw2))
    assert uncertainty == pytest.approx(math.sqrt((slope**2 * sumw2).sum()), rel=1e-6, abs=1e-9)


def test_without_fluctuations_there_is_no_uncertainty():
    yields = yields_of(np.ones((4, 3)), np.zeros((4, 3)))
    assert simulation_uncertainty(as_objective(Asimov(SIGNALS)).value, yields) == 0.0


@pytest.mark.parametrize("combine", ["geometric", "quadrature"])
def test_the_uncertainty_is_the_spread_of_repeated_simulations(combine):
    rng = np.random.default_rng(11)
    sumw = np.array([[2.0, 5.0, 9.0], [1.0, 3.0, 0.5], [80.0, 40.0, 20.0], [30.0, 10.0, 5.0]])
    weight = np.array([0.01, 0.005, 0.2, 0.1])[:, None]
    objective = as_objective(Asimov(SIGNALS, combine))
    toys = rng.poisson(sumw / weight, (3000, *sumw.shape)) * weight
    spread = np.std([objective.value(yields_of(toy)) for toy in toys])
    uncertainty = simulation_uncertainty(objective.value, yields_of(sumw, weight * sumw))
    assert uncertainty == pytest.approx(spread, rel=0.05)
