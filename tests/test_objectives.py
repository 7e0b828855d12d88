"""Objectives: exact significances, gradients that exist everywhere, and terms that add."""

import functools
import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cortado.errors import ConfigError
from cortado.objectives import (
    SQUARED_SIGNIFICANCES,
    Asimov,
    MaxRelativeUncertainty,
    MinBackground,
    MinEffectiveEvents,
    MinEvents,
    Objective,
    Scale,
    Yields,
    as_objective,
    simulation_uncertainty,
    squared_significance,
)
from cortado.objectives.significance import COMBINATIONS

PROCESSES = ("ggH", "qqH", "DY", "TT")
SIGNALS = ("ggH", "qqH")
HERE = __name__
FLOORS = [
    MinBackground(10.0),
    MinEffectiveEvents(5.0),
    MinEvents(7),
    MaxRelativeUncertainty(0.4),
    MinBackground(3.0, strength=0.5),
]


def lopsided(z):
    """A user's own combination of significances."""
    return 3 * z[0] - z[1]


SIGNIFICANCES = {combine: Asimov(SIGNALS, combine) for combine in COMBINATIONS} | {
    "weighted sum": Asimov(SIGNALS, "sum", weights={"qqH": 2.5}),
    "function": Asimov(SIGNALS, lopsided),
    "one signal": Asimov("ggH"),
    "others ignored": Asimov(SIGNALS, other_signals="ignored"),
    "function, others ignored": Asimov(SIGNALS, lopsided, other_signals="ignored"),
}


def sideband(yields: Yields):
    """A scale factor that depends on the yields themselves."""
    return 0.5 + 3 / (1 + yields.total(("TT",)) ** 2)


SCALES: dict[str, dict[Any, Any]] = {
    "number": {"DY": 1.7},
    "processes": {("DY", "TT"): 0.3},
    "numbers": {"TT": [0.5, 2.0, 1.1]},
    "function": {"DY": sideband, "TT": 2.0},
}
OBJECTIVES = (
    {name: as_objective(term) for name, term in SIGNIFICANCES.items()}
    | {f"{floor}, strength {floor.strength:g}": Asimov(SIGNALS) + floor for floor in FLOORS}
    | {
        f"scaled by {kind}": sum(FLOORS, Asimov(SIGNALS, "quadrature")).with_scales(scales)
        for kind, scales in SCALES.items()
    }
)
each_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)

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


def random_yields(seed: int) -> Yields:
    """Yields with which some floors are met and some are not."""
    rng = np.random.default_rng(seed)
    return yields_of(rng.uniform(2, 20, (4, 3)), rng.uniform(1, 40, (4, 3)), rng.uniform(0, 8, (4, 3)))


def tables_of(yields: Yields) -> list[np.ndarray]:
    return [yields.sumw, yields.sumw2, yields.count]


def mapped(function, yields: Yields, processes: tuple[str, ...] = PROCESSES) -> Yields:
    """The yields with a function applied to every table."""
    return Yields(processes, function(yields.sumw), function(yields.sumw2), function(yields.count))


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


@pytest.mark.parametrize("kind", SQUARED_SIGNIFICANCES)
def test_all_kinds_are_the_same_for_small_signals_and_claim_nothing_from_nothing(kind):
    square = SQUARED_SIGNIFICANCES[kind]
    assert square(np.array(1e-3), np.array(1e4)).item() == pytest.approx(1e-10, rel=1e-6)
    s, b = np.array([3.0, 3.0, -1.0, 0.0, 1e-9]), np.array([0.0, -2.0, 2.0, 2.0, 1e-200])
    assert square(s, b).tolist() == [0.0] * 5


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


def of_tables(objective):
    def function(sumw, sumw2, count):
        return objective(Yields(PROCESSES, sumw, sumw2, count))

    return function


not_negative = st.one_of(st.floats(0, 100), st.sampled_from([0.0, 1e-320, 1e-150, 1e12]))


@functools.cache
def graph_of(tf, objective):
    """Value and gradients at Σw, Σw² and counts, traced once."""

    @functools.partial(tf.function, autograph=False)
    def graph(*given_tables):
        with tf.GradientTape() as tape:
            tape.watch(given_tables)
            value = of_tables(objective)(*given_tables)
        return value, tape.gradient(value, given_tables, unconnected_gradients="zero")

    return graph


@each_objective
@given(sumw=tables(), sumw2=tables(not_negative), count=tables(not_negative))
@settings(max_examples=25)
def test_objectives_are_finite_and_the_same_in_numpy_and_in_a_graph(tf, objective, sumw, sumw2, count):
    value = of_tables(objective)(sumw, sumw2, count)
    assert np.isfinite(value)
    tensor, slopes = graph_of(tf, objective)(*(tf.constant(t, tf.float64) for t in (sumw, sumw2, count)))
    assert tensor.dtype == tf.float64
    assert float(tensor) == pytest.approx(value, rel=1e-10, abs=1e-12)
    assert all(np.isfinite(slope).all() for slope in slopes)


@each_objective
def test_objectives_have_the_gradients_of_finite_differences(tf, objective):
    given_tables = tables_of(random_yields(5))
    function = of_tables(objective)
    h = 1e-5
    for what, gradient in enumerate(gradients(tf, function, *given_tables)):
        for place in np.ndindex(4, 3):
            ends = []
            for sign in (1, -1):
                shifted = [table.copy() for table in given_tables]
                shifted[what][place] += sign * h
                ends.append(function(*shifted))
            assert gradient[place] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5, abs=1e-8)


def test_gradients_of_a_graph_are_the_same_every_time(tf):
    """Sums of three or more may be added in any order, so there must be none that this could change."""
    names = tuple("abcdefgh")
    objective = sum(FLOORS, Asimov(names[:3])).with_scales(
        {"d": [2.0] * 20, "e": lambda y: 1 + y.total(("d",))}
    )
    given_tables = [tf.constant(t) for t in np.random.default_rng(6).uniform(0, 9, (3, 8, 20))]

    @functools.partial(tf.function, autograph=False)
    def graph(*given_tables):
        with tf.GradientTape() as tape:
            tape.watch(given_tables)
            value = objective(Yields(names, *given_tables))
        return tape.gradient(value, given_tables)

    assert len({tuple(g.numpy().tobytes() for g in graph(*given_tables)) for _ in range(500)}) == 1


def test_the_strength_of_the_floors_reaches_a_graph(tf):
    """The graph is traced once."""
    objective = OBJECTIVES["scaled by function"]
    yields = random_yields(7)
    penalty = objective(yields) - objective.value(yields)
    traces = []

    @functools.partial(tf.function, autograph=False)
    def graph(strength):
        traces.append(strength)
        return objective.soft(mapped(tf.constant, yields), strength)

    for strength in (0.0, 0.25, 1.0, 30.0):
        expected = objective.value(yields) + strength * penalty
        assert float(graph(tf.constant(strength, tf.float64))) == pytest.approx(expected, rel=1e-12)
        assert objective.soft(yields, strength) == pytest.approx(expected, rel=1e-12)
    assert penalty < 0
    assert len(traces) == 1


# --- laws of all objectives ---------------------------------------------------------------------------------


@each_objective
def test_the_order_of_processes_does_not_matter(objective):
    yields = random_yields(8)
    for order in ([1, 0, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        reordered = mapped(
            lambda table, order=order: table[order], yields, tuple(PROCESSES[p] for p in order)
        )
        assert objective(reordered) == pytest.approx(objective(yields), rel=1e-13)


@each_objective
def test_backgrounds_may_have_any_names(objective):
    objective = Objective(objective.terms)  # factors belong to names
    yields = random_yields(8)
    renamed = mapped(np.asarray, yields, ("ggH", "qqH", "TT", "zz"))
    assert objective(renamed) == objective(yields)


@each_objective
def test_the_order_of_categories_matters_to_factors_of_numbered_categories_alone(objective):
    yields = random_yields(9)
    moved = mapped(lambda table: table[:, [2, 0, 1]], yields)
    same = objective(moved) == pytest.approx(objective(yields), rel=1e-13)
    assert same is not objective.per_category


@each_objective
@pytest.mark.parametrize("share", [0.5, 0.125])
def test_a_background_may_be_split_into_several(objective, share):
    objective = Objective(objective.terms)  # factors would be those of the process that is split
    yields = random_yields(10)
    parts = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, share, 0], [0, 0, 1 - share, 0], [0, 0, 0, 1]])
    split = mapped(lambda table: parts @ table, yields, ("ggH", "qqH", "DY 1", "DY 2", "TT"))
    assert objective(split) == pytest.approx(objective(yields), rel=1e-13)


@pytest.mark.parametrize("term", SIGNIFICANCES.values(), ids=SIGNIFICANCES)
@pytest.mark.parametrize("scales", [{}, {"DY": 3.0, "TT": [0.5, 2.0, 1.1]}], ids=["as they are", "scaled"])
@given(sumw=tables(st.floats(0.01, 100)), factor=st.floats(1e-3, 1e3))
@settings(max_examples=10)
def test_combined_significances_grow_with_the_root_of_the_luminosity(term, scales, sumw, factor):
    objective = term.with_scales(scales)
    z = objective(yields_of(sumw))
    assert objective(yields_of(4 * sumw)) == pytest.approx(2 * z, rel=1e-13)
    expected = pytest.approx(math.sqrt(factor) * z, rel=1e-11, abs=1e-10)
    assert objective(yields_of(factor * sumw)) == expected


@pytest.mark.parametrize("term", SIGNIFICANCES.values(), ids=SIGNIFICANCES)
def test_splitting_categories_at_equal_purity_does_not_change_combined_significances(term):
    sumw = random_yields(11).sumw
    split = np.concatenate([0.3 * sumw, 0.7 * sumw], axis=1)
    assert term(yields_of(split)) == pytest.approx(term(yields_of(sumw)), rel=1e-13)


@pytest.mark.parametrize("term", [*SIGNIFICANCES.values(), *FLOORS], ids=repr)
@pytest.mark.parametrize("scales", [{}, *SCALES.values()], ids=["as they are", *SCALES])
def test_an_objective_is_the_sum_of_its_terms(term, scales):
    other = Asimov(term.signals if isinstance(term, Asimov) else SIGNALS)
    yields = random_yields(12)
    together = (term + other).with_scales(scales)
    apart = [t.with_scales(scales) for t in (term, other)]
    if isinstance(term, Asimov):  # a floor alone does not know the signals
        assert together(yields) == pytest.approx(sum(t(yields) for t in apart), rel=1e-13)
    else:
        prepared = together.prepared(yields)
        assert together(yields) == pytest.approx(term(prepared) + other(prepared), rel=1e-13)
    assert together == apart[0] + apart[1] == apart[0] + other == term + apart[1]


# --- combinations -------------------------------------------------------------------------------------------


def test_each_signal_has_all_other_processes_as_background():
    yields = yields_of([[1.0, 2.0], [3.0, 0.5], [10.0, 20.0], [5.0, 5.0]])
    each = Asimov(SIGNALS).each(yields)
    assert each["ggH"] == pytest.approx(math.sqrt(exact(1.0, 18.0) + exact(2.0, 25.5)))
    assert each["qqH"] == pytest.approx(math.sqrt(exact(3.0, 16.0) + exact(0.5, 27.0)))


@given(sumw=tables())
def test_ignored_signals_might_as_well_not_exist(sumw):
    each = Asimov(SIGNALS, other_signals="ignored").each(yields_of(sumw))
    for row, name in enumerate(SIGNALS):
        alone = Yields((name, "DY", "TT"), *[sumw[[row, 2, 3]]] * 3)
        assert each[name] == pytest.approx(Asimov(name).each(alone)[name], rel=1e-14)


@pytest.mark.parametrize("others", ["background", "ignored"])
@pytest.mark.parametrize("background", [0.0, -5.0])
def test_another_signal_alone_is_not_background_enough(others, background):
    yields = yields_of([[1.0, 2.0], [3.0, 9.0], [10.0, background]])
    alone = yields_of([[1.0], [3.0], [10.0]])
    objective = Asimov(SIGNALS, other_signals=others)
    assert objective.each(yields) == objective.each(alone)


EXPECTED: dict[str, Callable[[float, float], float]] = {
    "geometric": lambda a, b: math.sqrt(a * b),
    "quadrature": math.hypot,
    "minimum": min,
    "sum": lambda a, b: a + b,
    "weighted sum": lambda a, b: a + 2.5 * b,
    "function": lambda a, b: 3 * a - b,
    "function, others ignored": lambda a, b: 3 * a - b,
}


@pytest.mark.parametrize("kind", EXPECTED)
@given(sumw=tables(st.floats(0.1, 100)))
def test_significances_are_combined(kind, sumw):
    yields = yields_of(sumw)
    objective = SIGNIFICANCES[kind]
    expected = EXPECTED[kind](*objective.each(yields).values())
    assert float(objective(yields)) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_weights_belong_to_signals_by_name():
    yields = yields_of([[1.0, 2.0], [3.0, 0.5], [10.0, 20.0]])
    ways = [Asimov(names, "sum", weights={"qqH": 2.5, "ggH": 0.5}) for names in (SIGNALS, SIGNALS[::-1])]
    assert ways[0](yields) == pytest.approx(ways[1](yields), rel=1e-14)
    assert Asimov(SIGNALS, "sum", weights={"qqH": 1})(yields) == Asimov(SIGNALS, "sum")(yields)


def test_a_combination_sees_one_scalar_for_each_signal(tf):
    seen = []

    def first(z):
        seen.extend(z)
        return z[0]

    sumw = np.array([[1.0, 2.0], [3.0, 0.5], [10.0, 20.0]])
    expected = list(Asimov(SIGNALS).each(yields_of(sumw)).values())
    Asimov(SIGNALS, first)(yields_of(sumw))
    Asimov(SIGNALS, first)(Yields(PROCESSES[:3], *[tf.constant(sumw)] * 3))
    assert [float(z) for z in seen] == pytest.approx(2 * expected, rel=1e-14)
    assert all(z.shape == () for z in seen)


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


@pytest.mark.parametrize("floor", FLOORS, ids=repr)
@given(sumw=tables(), sumw2=tables(not_negative), count=arrays(np.int64, (4, 3), elements=st.integers(0, 9)))
def test_penalties_of_floors_are_bounded_and_vanish_where_all_are_met(floor, sumw, sumw2, count):
    yields = yields_of(sumw, sumw2, count, signals=SIGNALS)
    assert -3 * floor.strength <= floor(yields) <= 0
    level = floor.level(yields)
    met = level <= floor.maximum if isinstance(floor, MaxRelativeUncertainty) else level >= floor.minimum
    np.testing.assert_array_equal(floor.gap(yields) <= 0, met)
    assert (floor(yields) < 0) is not bool(met.all())


@pytest.mark.parametrize("floor", FLOORS, ids=repr)
def test_empty_and_negative_categories_miss_every_floor_by_about_one(floor):
    sumw = np.array([[1.0] * 3, [1.0] * 3, [0.0, -1.0, -5.0]])
    sumw2 = np.array([[1.0] * 3, [1.0] * 3, [0.0, 1.0, 13.0]])
    yields = yields_of(sumw, sumw2, np.array([[9] * 3, [9] * 3, [0, 1, 5]]), SIGNALS)
    gap = floor.gap(yields)
    assert gap[0] == 1
    assert np.all((gap > 0) & (gap < 3))
    assert -3 * floor.strength < floor(yields) < 0


@given(
    total=st.integers(1, 1000), root=st.integers(1, 1000), other=st.floats(-1e-12, 1e-12)
)  # decimal limits, met to the last digit
def test_a_relative_uncertainty_may_be_the_maximum(total, root, other):
    yields = yields_of([[1.0], [1.0], [total]], [[1.0], [1.0], [root**2]], signals=SIGNALS)
    for maximum in (root / total, root / total * (1 + other)):
        missed = MaxRelativeUncertainty(maximum).gap(yields) > 0
        assert missed.tolist() == [root / total > maximum]


@given(sumw=tables(st.floats(0.1, 100)), sumw2=tables(st.floats(0.1, 100)), maximum=st.floats(0.01, 3))
def test_relative_uncertainties_and_effective_events_are_the_same_limit(sumw, sumw2, maximum):
    yields = yields_of(sumw, sumw2, signals=SIGNALS)
    floor = MaxRelativeUncertainty(maximum)
    np.testing.assert_allclose(floor.level(yields) ** -2, MinEffectiveEvents(0).level(yields), rtol=1e-12)


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
    assert MinEvents(5).level(yields).tolist() == [2.0, 2.0]
    assert MaxRelativeUncertainty(0.3).level(yields).tolist() == [0.25, 0.5]
    objective = Asimov(SIGNALS) + MinBackground(10.0) + MinEffectiveEvents(5.0)
    assert objective.shortfall(yields).tolist() == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize("background", [[0.0, -3.0], [-1e-300, 0.0]])
def test_without_background_there_are_no_effective_events(background):
    yields = yields_of([[1.0, 1.0], [1.0, 1.0], background], signals=SIGNALS)
    assert MinEffectiveEvents(5.0).level(yields).tolist() == [0.0, 0.0]


def test_a_floor_of_zero_asks_for_nothing():
    yields = yields_of([[1.0, 1.0], [1.0, 1.0], [0.0, -5.0]], signals=SIGNALS)
    for floor in (MinBackground(0.0), MinEffectiveEvents(0.0), MinEvents(0)):
        assert floor(yields) == 0
        assert (Asimov(SIGNALS) + floor).shortfall(yields).tolist() == [0.0, 0.0]


def test_the_shortfall_adds_the_gaps_of_all_floors():
    yields = yields_of([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 5.0, 20.0]], signals=SIGNALS)
    objective = Asimov(SIGNALS) + MinBackground(10.0) + MinBackground(20.0)
    assert objective.shortfall(yields).tolist() == [2.0, 0.5 + 0.75, 0.0]
    assert as_objective(Asimov(SIGNALS)).shortfall(yields).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("floor", "text"),
    [
        (MinBackground(10.0), "MinBackground(10)"),
        (MinEffectiveEvents(2.5, strength=3.0), "MinEffectiveEvents(2.5)"),
        (MinEvents(7), "MinEvents(7)"),
        (MaxRelativeUncertainty(0.3), "MaxRelativeUncertainty(0.3)"),
    ],
)
def test_floors_are_called_by_their_limits(floor, text):
    assert str(floor) == text


# --- scales -------------------------------------------------------------------------------------------------


def test_scaled_yields_have_variances_scaled_by_the_square():
    yields = yields_of([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    scaled = yields.scaled(np.array([2.0, 10.0]), ("qqH", "DY"))
    assert scaled.sumw.tolist() == [[1, 2], [6, 40], [10, 60]]
    assert scaled.sumw2.tolist() == [[1, 1], [8, 200], [12, 300]]
    assert scaled.count.tolist() == yields.count.tolist()
    assert yields.scaled(3.0, ("DY",)).sumw.tolist() == [[1, 2], [3, 4], [15, 18]]
    assert yields.sumw.tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("scales", SCALES.values(), ids=SCALES)
def test_terms_see_scaled_backgrounds(tf, scales):
    yields = random_yields(13)
    factor = np.ones((4, 3))
    for names, value in scales.items():
        rows = [PROCESSES.index(name) for name in ((names,) if isinstance(names, str) else names)]
        factor[rows] *= value(yields) if callable(value) else np.array(value)
    by_hand = Yields(PROCESSES, factor * yields.sumw, factor**2 * yields.sumw2, yields.count)
    plain = functools.reduce(lambda a, b: a + b, FLOORS, as_objective(Asimov(SIGNALS)))
    objective = plain.with_scales(scales)
    assert objective.floors == plain.floors
    assert objective.signals == plain.signals
    assert objective(yields) == pytest.approx(plain(by_hand), rel=1e-13)
    assert objective(yields) != pytest.approx(plain(yields), rel=1e-4)
    assert objective.value(yields) == pytest.approx(plain.value(by_hand), rel=1e-13)
    np.testing.assert_allclose(objective.shortfall(yields), plain.shortfall(by_hand), rtol=1e-12)
    for prepared in (objective.prepared(yields), objective.prepared(mapped(tf.constant, yields))):
        assert prepared.signals == SIGNALS
        np.testing.assert_allclose(np.asarray(prepared.sumw), by_hand.sumw, rtol=1e-14)
        np.testing.assert_allclose(np.asarray(prepared.sumw2), by_hand.sumw2, rtol=1e-14)
        np.testing.assert_array_equal(np.asarray(prepared.count), yields.count)


def test_factors_are_functions_of_unscaled_yields():
    """So that their order does not matter."""
    yields = random_yields(14)
    scales: dict[str, object] = {"DY": sideband, "TT": 100.0}
    value = Asimov(SIGNALS).with_scales(scales)(yields)
    assert Asimov(SIGNALS).with_scales(dict(reversed(scales.items())))(yields) == value
    assert Asimov(SIGNALS).with_scales({"TT": 100.0}).with_scales({"DY": sideband})(yields) == value


@pytest.mark.parametrize(
    ("scales", "numbered"),
    [
        ({}, False),
        ({"DY": 2.0, "TT": sideband}, False),
        ({"DY": 2.0, "TT": [1.0]}, True),
        ({"DY": np.array([1.0, 2.0])}, True),
        ({"DY": np.float32(2)}, False),
    ],
)
def test_sequences_of_factors_belong_to_numbered_categories(scales, numbered):
    assert Asimov(SIGNALS).with_scales(scales).per_category is numbered


def test_scales_hold_for_terms_added_later():
    yields = random_yields(15)
    objective = Asimov(SIGNALS).with_scales({"DY": 3.0})
    sums = [
        objective + twice_the_first,
        twice_the_first + objective,
        objective + (objective + twice_the_first),
    ]
    for total, copies in zip(sums, (1, 1, 2), strict=True):
        assert total.scales == objective.scales
        assert total(yields) == pytest.approx(
            copies * objective(yields) + 2 * yields.sumw[0].sum(), rel=1e-14
        )


# --- objectives ---------------------------------------------------------------------------------------------


def twice_the_first(yields: Yields):
    """A user's own objective."""
    return 2 * yields.sumw[0].sum()


def category_sums(yields: Yields):
    """No objective: a number for each category."""
    return yields.sumw.sum(axis=0)


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


def test_equal_objectives_are_equal():
    def make(**options):
        return (Asimov(SIGNALS, "sum", **options) + MinBackground(1.0)).with_scales({"DY": [1.0, 2.0]})

    assert make() == make(weights={}) == make(other_signals="background")
    assert hash(make(weights={"ggH": 2.0})) == hash(make(weights={"ggH": 2.0}))
    assert make(weights={"ggH": 2.0}) != make() != make(other_signals="ignored")


class Own:
    """A user's own objective with a state."""

    def __call__(self, yields: Yields):
        return yields.sumw.sum()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            Asimov(SIGNALS, "sum", weights={"qqH": 2}),
            "Asimov(('ggH', 'qqH'), 'sum', weights={'qqH': 2.0}, other_signals='background')",
        ),
        (
            Asimov("ggH", lopsided, other_signals="ignored"),
            f"Asimov(('ggH',), {HERE}.lopsided, other_signals='ignored')",
        ),
        (Scale(("DY", "TT"), [1, 2.5]), "Scale(('DY', 'TT'), (1.0, 2.5))"),
        (
            MinEvents(9).with_scales({"DY": sideband}),
            f"Objective((MinEvents(strength=10.0, minimum=9)), scales=(Scale(('DY',), {HERE}.sideband)))",
        ),
        (
            as_objective(twice_the_first) + Own(),
            f"Objective(({HERE}.twice_the_first, <{HERE}.Own object>))",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objectives_are_written_without_addresses(value, text):
    assert repr(value) == text


def test_totals_add_processes():
    yields = yields_of([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], signals=("qqH",))
    assert yields.total(("ggH", "DY")).tolist() == [6.0, 8.0]
    assert yields.total(()).tolist() == [0.0, 0.0]
    assert yields.total(("ggH",), "count").tolist() == [1, 1]
    assert yields.totals([("DY",), (), ("qqH", "ggH")]).tolist() == [[5.0, 6.0], [0.0, 0.0], [4.0, 6.0]]
    assert yields.backgrounds == ("ggH", "DY")


YIELDS = yields_of([[1.0], [1.0], [1.0]])
ERRORS = {
    "no signal": (lambda: Asimov([]), r"at least one, got \[\]"),
    "signal twice": (lambda: Asimov(["a", "a"]), r"distinct names.*\['a', 'a'\]"),
    "combination": (
        lambda: Asimov("a", "arithmetic"),
        r"\['geometric', 'minimum', 'quadrature', 'sum'\] or a function, got 'arith",
    ),
    "other signals": (
        lambda: Asimov("a", other_signals="forgotten"),
        r"other_signals must be one of \['background', 'ignored'\], got 'forgotten'",
    ),
    "weights without a sum": (
        lambda: Asimov("a", weights={"a": 1.0}),
        "weights go with combine=\"sum\" alone, got combine='geometric'",
    ),
    "weights for a function": (lambda: Asimov("a", lopsided, weights={"a": 1.0}), r"combine=\S*\.lopsided"),
    "weight of no signal": (
        lambda: Asimov(["a", "b"], "sum", weights={"c": 1.0}),
        r"> 0 for some of the signals \['a', 'b'\], got 'c': 1.0",
    ),
    "negative weight": (lambda: Asimov("a", "sum", weights={"a": -1.0}), "weights .*got 'a': -1.0"),
    "infinite weight": (lambda: Asimov("a", "sum", weights={"a": math.inf}), "weights .*got 'a': inf"),
    "combination that is no scalar": (
        lambda: as_objective(Asimov(SIGNALS, np.asarray))(YIELDS),
        r"every term must give a scalar, Asimov\(.*gave shape \(2,\)",
    ),
    "function that is no scalar": (
        lambda: as_objective(category_sums)(YIELDS),
        r"every term must give a scalar, \S*\.category_sums gave shape \(1,\)",
    ),
    "scaled signal": (
        lambda: Asimov("a").with_scales({("b", "a"): 2.0}),
        r"only backgrounds can be scaled, got the signals \['a'\]",
    ),
    "scaled before it is a signal": (
        lambda: MinBackground(1.0).with_scales({"a": 2.0}) + Asimov("a"),
        r"only backgrounds .*\['a'\]",
    ),
    "scaled twice": (
        lambda: Asimov("a").with_scales({"b": 2.0, ("c", "b"): 2.0}),
        r"only once, got \['b'\]",
    ),
    "nothing to scale": (lambda: Scale((), 2.0), r"at least one, got \[\]"),
    "scaled process twice": (lambda: Scale(("b", "b"), 2.0), r"distinct names.*\['b', 'b'\]"),
    "factor of zero": (lambda: Scale("b", 0), r"factors of \['b'\] must be a finite number > 0.*got 0"),
    "a factor that is negative": (lambda: Scale("b", [1, -1.0]), r"factors of \['b'\].*got \[1, -1.0\]"),
    "a factor that is nan": (lambda: Scale("b", math.nan), "factors of .*got nan"),
    "a factor that is no number": (lambda: Scale("b", "two"), "factors of .*got 'two'"),
    "no factors": (lambda: Scale("b", []), r"factors of .*got \[\]"),
    "a table of factors": (lambda: Scale("b", [[1.0]]), r"factors of .*got \[\[1.0\]\]"),
    "number of factors": (
        lambda: Asimov("ggH").with_scales({"DY": [1.0, 2.0]})(YIELDS),
        r"factors of \['DY'\] must be one number, or one for each of the 1 categories, got 2",
    ),
    "shape of factors": (
        lambda: Asimov("ggH").with_scales({"DY": lambda y: y.sumw})(YIELDS),
        r"factors of \['DY'\].* the 1 categories, got shape \(3, 1\)",
    ),
    "scaled unknown process": (
        lambda: Asimov("ggH").with_scales({"WW": 2.0})(YIELDS),
        r"\['WW'\] are not among the processes \['ggH', 'qqH', 'DY'\]",
    ),
    "different scales": (
        lambda: Asimov("a").with_scales({"b": 2.0}) + Asimov("a").with_scales({"b": 3.0}),
        r"the same scales, got \(Scale\(\('b',\), 2.0\),\) and \(Scale\(\('b',\), 3.0\),\)",
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
    "maximum of zero": (
        lambda: MaxRelativeUncertainty(0.0),
        "MaxRelativeUncertainty: maximum .* > 0, got 0.0",
    ),
    "negative number of events": (lambda: MinEvents(-3), "MinEvents: minimum .* ≥ 0, got -3"),
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
