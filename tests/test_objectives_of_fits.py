"""Objectives that know the final fit: against pyhf, closed forms and finite differences."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import cortado as ct
from cortado.cells import Source
from cortado.errors import ConfigError, InputError
from cortado.exact import optimal_boundaries
from cortado.exact.grid import grid_boundaries
from cortado.objectives import (
    Asimov,
    AsimovWithUncertainty,
    MinBackground,
    Precision,
    ProfiledSignificance,
    Yields,
    bootstrap,
    simulation_uncertainty,
    squared_significance,
    squared_significance_with_uncertainty,
)
from cortado.objectives.expected import Expectation
from cortado.report import evaluate, objectives_table, significance_table, to_text
from cortado.shares import Shares
from cortado.templates import build_templates

SIGNALS = ("s1", "s2")
PROCESSES = (*SIGNALS, "b1", "b2")
NUISANCES = ("first", "second", "third")


def random_yields(seed: int = 0, size: float = 0.2) -> Yields:
    """Four categories, in which three nuisance parameters vary everything by as much as ``size``."""
    rng = np.random.default_rng(seed)
    sumw = np.concatenate([rng.uniform(6, 20, (2, 4)), rng.uniform(5, 50, (2, 4))])
    sumw2 = sumw * np.array([0.1, 0.1, 0.2, 0.2])[:, None]
    varied = sumw * rng.uniform(1 - size, 1 + size, (len(NUISANCES), 2, *sumw.shape))
    return Yields(PROCESSES, sumw, sumw2, np.ones_like(sumw), nuisances=NUISANCES, varied=varied)


# --- pyhf ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pyhf():
    """pyhf with minuit, whose default tolerance is too wide for five digits."""
    pytest.importorskip("iminuit")
    module = pytest.importorskip("pyhf")
    module.set_backend("numpy", module.optimize.minuit_optimizer(tolerance=1e-5, strategy=2))
    yield module
    module.set_backend("numpy", "scipy")


def workspace_of(yields: Yields, signals, nuisances, statistics: str = "staterror"):
    """A workspace with a ``histosys`` for each nuisance; strengths may be negative, far from any bound."""
    import pyhf

    samples = []
    for p, name in enumerate(yields.processes):
        modifiers: list[dict[str, Any]] = []
        if name in signals:
            modifiers.append({"name": f"mu_{name}", "type": "normfactor", "data": None})
        if statistics == "staterror":
            errors = np.sqrt(yields.sumw2[p]).tolist()
            modifiers.append({"name": "staterror_SR", "type": "staterror", "data": errors})
        elif name not in signals:
            errors = np.sqrt(yields.sumw2[p]).tolist()
            modifiers.append({"name": f"stat_{name}", "type": "shapesys", "data": errors})
        for nuisance in nuisances:
            up, down = yields.variations(nuisance)[:, p].tolist()
            data = {"hi_data": up, "lo_data": down}
            modifiers.append({"name": nuisance, "type": "histosys", "data": data})
        samples.append({"name": name, "data": yields.sumw[p].tolist(), "modifiers": modifiers})
    strengths = [{"name": f"mu_{s}", "bounds": [[-10.0, 100.0]], "inits": [1.0]} for s in signals]
    specification = {
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": yields.sumw.sum(axis=0).tolist()}],
        "measurements": [{"name": "m", "config": {"poi": f"mu_{signals[0]}", "parameters": strengths}}],
        "version": "1.0.0",
    }
    return pyhf.Workspace(specification)


def q0_of(workspace, signal: str, fixed: tuple[str, ...] = ()) -> float:
    import pyhf

    model = workspace.model(poi_name=f"mu_{signal}")
    held = model.config.suggested_fixed()
    for name in fixed:
        held[model.config.par_order.index(f"mu_{name}")] = True
    start, bounds = model.config.suggested_init(), model.config.suggested_bounds()
    return float(pyhf.infer.test_statistics.q0(0.0, workspace.data(model), model, start, bounds, held))


@pytest.mark.parametrize(("size", "sigma"), [(5.0, 0.1), (5.0, 3.0), (20.0, 8.0), (2.0, 1.0)])
def test_significance_over_an_uncertain_background_is_that_of_a_shapesys(pyhf, size, sigma):
    del pyhf
    sumw = np.array([[size, size / 2], [20.0, 40.0]])
    yields = Yields(("s", "b"), sumw, np.array([[0.0, 0.0], [sigma**2, 2 * sigma**2]]), np.ones((2, 2)))
    q0 = q0_of(workspace_of(yields, ("s",), (), "shapesys"), "s")
    assert q0 > 0.1
    assert AsimovWithUncertainty("s").each(yields)["s"] ** 2 == pytest.approx(q0, rel=1e-5)


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("other_signals", ["floating", "background"])
def test_profiled_significance_is_that_of_pyhf(pyhf, seed, other_signals):
    del pyhf
    yields = random_yields(seed)
    found = ProfiledSignificance(SIGNALS, nuisances=NUISANCES, other_signals=other_signals).each(yields)
    workspace = workspace_of(yields, SIGNALS, NUISANCES)
    for signal, other in (SIGNALS, SIGNALS[::-1]):
        q0 = q0_of(workspace, signal, (other,) if other_signals == "background" else ())
        assert q0 > 0.1
        assert found[signal] ** 2 == pytest.approx(q0, rel=1e-5)


def test_precision_is_that_of_the_second_derivatives_of_pyhf():
    pyhf = pytest.importorskip("pyhf")
    pyhf.set_backend("numpy", "scipy")
    yields = random_yields(1)
    workspace = workspace_of(yields, SIGNALS, NUISANCES)
    model = workspace.model()
    data, best = workspace.data(model), np.array(model.config.suggested_init())
    step = 1e-3 * np.eye(len(best))
    hessian = np.zeros_like(step)
    for i, j in np.ndindex(hessian.shape):
        values = [
            a * b * float(model.logpdf(best + a * step[i] + b * step[j], data)[0])
            for a in (1, -1)
            for b in (1, -1)
        ]
        hessian[i, j] = -sum(values) / 4e-6
    sigma = np.sqrt(np.diag(np.linalg.inv(hessian)))
    expected = {s: sigma[model.config.par_slice(f"mu_{s}")].item() for s in SIGNALS}
    assert Precision(SIGNALS, nuisances=NUISANCES).uncertainties(yields) == pytest.approx(expected, rel=1e-5)


def test_interpolation_is_that_of_pyhf():
    interpolators = pytest.importorskip("pyhf").interpolators
    yields = random_yields(2)
    expected = Expectation.of(yields, SIGNALS, NUISANCES)
    for theta in (-2.5, -1.0, -0.3, 0.0, 0.7, 1.0, 1.8):
        nuisance = np.array([theta, -theta, 0.5 * theta])
        total = yields.sumw.sum(axis=0)
        for i, value in enumerate(nuisance):
            up, down = yields.varied[i].sum(axis=1)
            code = interpolators.code4p([[[down, yields.sumw.sum(axis=0), up]]])
            total = total + np.asarray(code(np.array([[value]]))).reshape(-1)
        np.testing.assert_allclose(expected.at(np.ones(2), nuisance), total, rtol=1e-12)


# --- closed forms -------------------------------------------------------------------------------------------


def exact(signal: float, background: float, variance: float) -> float:
    """The formula as it is written, in sixty digits."""
    with localcontext() as context:
        context.prec = 60
        s, b, v = Decimal(signal), Decimal(background), Decimal(variance)
        first = (s + b) * ((s + b) * (b + v) / (b * b + (s + b) * v)).ln()
        return float(2 * (first - b * b / v * (1 + v * s / (b * (b + v))).ln()))


@pytest.mark.parametrize("background", [0.3, 1e4])
@pytest.mark.parametrize("ratio", [1e-6, 0.009, 0.011, 1.0, 50.0])
@pytest.mark.parametrize("relative", [1e-9, 1e-3, 1.0, 30.0])
def test_significance_over_an_uncertain_background_is_the_formula(background, ratio, relative):
    signal, variance = ratio * background, relative * background
    found = squared_significance_with_uncertainty(*(np.array([x]) for x in (signal, background, variance)))
    assert found.item() == pytest.approx(exact(signal, background, variance), rel=1e-11 * max(1, relative))


def test_without_uncertainty_it_is_the_plain_significance():
    s, b = np.array([3.0, 0.01, 5.0, -1.0, 2.0]), np.array([2.0, 40.0, 1e5, 3.0, -1.0])
    plain = squared_significance(s, b)
    np.testing.assert_array_equal(squared_significance_with_uncertainty(s, b, np.zeros(5)), plain)
    sizes = [squared_significance_with_uncertainty(s, b, v * np.ones(5)) for v in (0, 1e-9, 1e-6, 1e-3, 1, 9)]
    assert (np.diff(sizes, axis=0)[:, :3] < 0).all()
    np.testing.assert_allclose(sizes[1], plain, rtol=1e-8)


def test_systematics_of_one_entry_vary_together():
    yields = replace(random_yields(), sumw2=np.zeros((4, 4)))
    one = AsimovWithUncertainty("s1", relative={("b1", "b2"): 0.1})
    two = AsimovWithUncertainty("s1", relative={"b1": 0.1, "b2": 0.1})
    assert one(yields) < two(yields) < Asimov("s1")(yields)
    b1, b2 = yields.sumw[2:]
    rest = yields.sumw[1] + b1 + b2
    s = yields.sumw[0]
    by_hand = squared_significance_with_uncertainty(s, rest, 0.01 * (b1**2 + b2**2))
    assert two(yields) ** 2 == pytest.approx(by_hand.sum())
    with pytest.raises(ConfigError, match="b9"):
        AsimovWithUncertainty("s1", relative={"b9": 0.1})(yields)


def test_precision_is_no_significance():
    yields = Yields(("s", "b"), np.full((2, 1), 5.0), np.zeros((2, 1)), np.ones((2, 1)))
    assert Precision("s").each(yields)["s"] == pytest.approx(2.5**0.5)
    assert Precision("s").uncertainties(yields)["s"] == pytest.approx(1 / 2.5**0.5)
    assert ProfiledSignificance("s").each(yields)["s"] == pytest.approx(1.9654, abs=1e-4)


def test_information_is_the_formula():
    yields = random_yields(4)
    slopes = np.concatenate([yields.sumw[:2], (yields.varied[:, 0] - yields.varied[:, 1]).sum(axis=1) / 2])
    variance = (yields.sumw + yields.sumw2).sum(axis=0)
    information = slopes / variance @ slopes.T + np.diag([0, 0, 1, 1, 1])
    covariance = np.linalg.inv(information)
    term = Precision(SIGNALS, nuisances=NUISANCES)
    np.testing.assert_allclose(term.squares(yields), 1 / np.diag(covariance)[:2], rtol=1e-9)
    volume = Precision(SIGNALS, "determinant", nuisances=NUISANCES)
    assert volume(yields) == pytest.approx(np.linalg.det(covariance[:2, :2]) ** -0.25)
    held = np.linalg.inv(information[np.ix_([1, 2, 3, 4], [1, 2, 3, 4])])
    fixed = Precision("s2", nuisances=NUISANCES, other_signals="background")
    np.testing.assert_allclose(fixed.squares(yields), 1 / held[0, 0], rtol=1e-9)


def test_without_nuisances_a_fit_finds_the_asimov_significance():
    yields = random_yields(5)
    fitted = ProfiledSignificance(SIGNALS, simulation=False, other_signals="background")
    assert fitted.each(yields) == pytest.approx(Asimov(SIGNALS).each(yields), rel=1e-9)
    floating = ProfiledSignificance(SIGNALS, simulation=False)
    assert floating(yields) < fitted(yields)


def test_a_category_without_background_contributes_nothing():
    yields = random_yields(6)
    more = yields.mapped(lambda table: np.concatenate([table, table[:, :1]], axis=1))
    more.sumw[2:, -1] = [1.0, -1.0]
    for term in (ProfiledSignificance(SIGNALS, nuisances=NUISANCES), Precision(SIGNALS, nuisances=NUISANCES)):
        assert term(more) == pytest.approx(term(yields))


def test_strengths_that_nothing_tells_apart_have_no_precision():
    one = random_yields(7).mapped(lambda table: table[:, :1])
    assert set(Precision(SIGNALS).uncertainties(one).values()) == {np.inf}
    assert max(Precision(SIGNALS).each(one).values()) < 1e-3
    assert max(ProfiledSignificance(SIGNALS, simulation=False).each(one).values()) < 1e-3


def test_where_nothing_is_known_uncertainties_are_infinite():
    yields = random_yields(7)
    absent = replace(yields, sumw=yields.sumw * np.array([0, 1, 1, 1])[:, None], varied=0 * yields.varied)
    for other_signals in ("floating", "background"):
        term = Precision(SIGNALS, nuisances=NUISANCES, other_signals=other_signals)
        found = term.uncertainties(absent)
        assert found["s1"] == np.inf
        assert 0.01 < found["s2"] < 1
        assert np.isfinite(list(term.uncertainties(yields).values())).all()
    sumw, ones = np.array([[1, 1], [2, 2], [0, 3], [9, 9.0]]), np.ones((4, 2))
    three = Yields(("a", "b", "c", "bkg"), sumw, ones, ones)
    sigma = Precision(("a", "b", "c")).uncertainties(three)
    assert sigma["a"] == sigma["b"] == np.inf
    # The first bin measures a and b together, and what is left of the second one is of c.
    assert sigma["c"] == pytest.approx(35**0.5 / 3)


@pytest.mark.parametrize("simulation", [True, False])
@pytest.mark.parametrize("sum_of_signal", [-60.0, -50.0, -50 + 1e-9, -5.0, 0.0])
@pytest.mark.parametrize("kind", [ProfiledSignificance, Precision])
def test_a_negative_sum_of_a_signal_is_no_signal(kind, sum_of_signal, simulation):
    """Neither NaN nor a reward, however close to none the sum of all processes is."""
    from cortado.objectives.gradient import ValuesAndGradients

    plain = random_yields(3)
    plain.sumw[:, 0] = plain.varied[..., 0] = [0.0, 3.0, 20.0, 30.0]
    negative = replace(plain, sumw=plain.sumw.copy(), varied=plain.varied.copy())
    negative.sumw[0, 0] = sum_of_signal
    negative.varied[:, :, 0, 0] = 1.3 * sum_of_signal
    for other_signals in ("floating", "background"):
        term = kind(SIGNALS, nuisances=NUISANCES, simulation=simulation, other_signals=other_signals)
        ((value, gradient),) = ValuesAndGradients(PROCESSES, [term], NUISANCES)(negative.rows.T)
        assert value == pytest.approx(term(plain))
        assert term.each(negative) == pytest.approx(term.each(plain))
        assert np.isfinite(gradient).all()


def test_quoted_fits_go_on_until_they_have_converged(monkeypatch):
    """Twelve steps, enough for a training, are not where little background varies by half of itself."""
    yields = random_yields(46, size=0.5)
    yields.sumw[2:] *= 0.01
    yields.sumw2[2:] *= 0.01
    yields.varied[:, :, 2:] *= 0.01
    term = ProfiledSignificance(SIGNALS, nuisances=NUISANCES, other_signals="background")
    found = term.squares(yields)
    monkeypatch.setattr("cortado.objectives.profiled._MOST_STEPS", 12)
    early = term.squares(yields)
    assert (early - found).max() > 1e-4
    assert (early >= found - 1e-9).all()


# --- gradients ----------------------------------------------------------------------------------------------

TERMS = [
    AsimovWithUncertainty(SIGNALS, relative={"b1": 0.1, ("s2", "b2"): 0.2}),
    ProfiledSignificance(SIGNALS, nuisances=NUISANCES),
    ProfiledSignificance(SIGNALS, nuisances=NUISANCES, other_signals="background"),
    Precision(SIGNALS, nuisances=NUISANCES),
    Precision(SIGNALS, "determinant", nuisances=NUISANCES),
]


@pytest.mark.parametrize("term", TERMS, ids=repr)
def test_gradients_are_those_of_the_value(term):
    from cortado.objectives.gradient import ValuesAndGradients

    yields = random_yields(8)
    rows = yields.rows
    ((value, gradient),) = ValuesAndGradients(PROCESSES, [term], NUISANCES)(rows.T)

    def at(changed):
        return float(term(Yields.of_rows(PROCESSES, changed, NUISANCES)))

    assert value == pytest.approx(at(rows), rel=1e-12)
    for index in np.random.default_rng(0).permutation(list(np.ndindex(rows.shape)))[:40]:
        step = np.zeros_like(rows)
        step[tuple(index)] = 1e-4
        slope = (at(rows + step) - at(rows - step)) / 2e-4
        assert gradient.T[tuple(index)] == pytest.approx(slope, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("term", TERMS, ids=repr)
def test_xla_compiles_every_term(term):
    from cortado.models.tensorflow import tf

    yields = random_yields(9)
    function = tf.function(lambda rows: term(Yields.of_rows(PROCESSES, rows, NUISANCES)), jit_compile=True)
    assert float(function(tf.constant(yields.rows))) == pytest.approx(float(term(yields)), rel=1e-10)


# --- variations in containers -------------------------------------------------------------------------------


def shifted_sample(n_folds: int = 1) -> ct.Sample:
    """Three events of each process; ``shift`` moves those of "b", ``weight`` has only an up variation."""
    x = np.array([[0.5], [1.5], [2.5]])
    w = np.array([1.0, 2.0, 4.0])
    ids = {"s": np.arange(3), "b": np.arange(3)}
    options: dict[str, Any] = {
        "coordinates": [{"kind": "identity", "features": ["x"], "width": [1.0]}],
        "names": ["x"],
    }
    sample = ct.Sample.from_arrays({"s": (x, w), "b": (x, w)}, **options, n_folds=n_folds, event_ids=ids)
    for variation, change in (("shiftUp", 2.0), ("shiftDown", -1.0)):
        sample = sample.with_variation(variation, {"b": (x + change, w)}, ids)
    return sample.with_variation("weightUp", {"b": (x, 1.25 * w)}, ids)


def test_points_hold_the_cells_of_variations():
    sample = shifted_sample()
    points = sample.points(nuisances=["shift", "weight"])
    assert points.key.ravel().tolist() == [-1, 0, 1, 2, 3, 4]
    assert points.place.ravel().tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
    b = points.processes.index("b")
    assert points.sumw[b].tolist() == [0, 1, 2, 4, 0, 0]
    varied = points.as_yields.varied
    np.testing.assert_array_equal(varied[0, :, b], [[0, 0, 0, 1, 2, 4], [1, 2, 4, 0, 0, 0]])
    np.testing.assert_array_equal(varied[:, :, 1 - b], np.tile(points.sumw[1 - b], (2, 2, 1)))
    np.testing.assert_allclose(varied[1, :, b], np.outer([1.25, 0.75], points.sumw[b]))
    assert sample.points().varied is None
    assert len(sample.points().place) == 3


def test_variations_add_up_with_the_rest():
    points = shifted_sample().points(nuisances=["shift", "weight"])
    category = np.array([0, 0, 1, 1, 1, 0])
    yields = points.yields(category, 2)
    coarse = points.coarsened(2)
    assert yields.varied.shape == (2, 2, 2, 2)
    for k in range(2):
        np.testing.assert_allclose(
            yields.varied[..., k], points.as_yields.varied[..., category == k].sum(axis=-1)
        )
    np.testing.assert_allclose(coarse.as_yields.varied.sum(axis=-1), points.as_yields.varied.sum(axis=-1))
    again = Yields.of_rows(yields.processes, yields.rows, yields.nuisances)
    np.testing.assert_array_equal(again.varied, yields.varied)
    scaled = yields.scaled([2.0, 3.0], ("b",))
    b = yields.processes.index("b")
    np.testing.assert_allclose(scaled.varied[:, :, b], yields.varied[:, :, b] * [2.0, 3.0])


def test_variations_of_some_folds_are_at_the_full_luminosity():
    sample = shifted_sample(n_folds=2)
    parts = [sample.points([fold], nuisances=["shift"]) for fold in (0, 1)]
    whole = sample.points(nuisances=["shift"])
    total = sum(part.as_yields.varied.sum(axis=-1) for part in parts) / 2
    np.testing.assert_allclose(total, whole.as_yields.varied.sum(axis=-1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relative": "0.1"}, "relative uncertainties must be finite numbers ≥ 0, got '0.1'"),
        ({"relative": [0.1]}, r"finite numbers ≥ 0, got \[0.1\]"),
        ({"relative": {"b": None}}, r"finite numbers ≥ 0, got None for \['b'\]"),
        ({"relative": {"b": 0.1, "s": 0.5}}, r"\['s'\] are background to no signal"),
        ({"relative": {("b", "s"): 0.0}}, r"\['s'\] are background to no signal"),
    ],
)
def test_relative_uncertainties_are_numbers_of_backgrounds(options, message):
    with pytest.raises(ConfigError, match=message):
        AsimovWithUncertainty("s", **options)
    with pytest.raises(ConfigError, match="background to no signal"):
        AsimovWithUncertainty(SIGNALS, relative={"s2": 0.5}, other_signals="ignored")
    AsimovWithUncertainty(SIGNALS, relative={"s2": 0.5})


@pytest.mark.parametrize("kind", [ProfiledSignificance, Precision])
@pytest.mark.parametrize("nuisances", [None, [1], "jes", [""], 3, {"jes": 1}])
def test_nuisances_are_names(kind, nuisances):
    with pytest.raises(ConfigError, match="nuisances must be a list of distinct names, got"):
        kind("s", nuisances=nuisances)


def test_simulation_is_true_or_false():
    with pytest.raises(ConfigError, match="simulation must be True or False, got 'no'"):
        Precision("s", simulation="no")  # type: ignore[arg-type]


def test_unknown_nuisances_are_refused():
    sample = shifted_sample()
    with pytest.raises(InputError, match=r"'jes' has no variation 'jesUp' or 'jesDown'.*shift.*weight"):
        sample.points(nuisances=["jes"])
    with pytest.raises(ConfigError, match="no variations of the nuisance parameter 'shift'"):
        ProfiledSignificance("s", nuisances=["shift"])(sample.points().as_yields)
    with pytest.raises(ConfigError, match="distinct names"):
        Precision("s", nuisances=["shift", "shift"])
    with pytest.raises(ConfigError, match=r"other_signals must be one of .*floating"):
        Precision("s", other_signals="ignored")
    with pytest.raises(ConfigError, match=r"finite numbers ≥ 0, got -0.1"):
        AsimovWithUncertainty("s", relative=-0.1)
    with pytest.raises(ConfigError, match="combine must be one of"):
        Asimov("s", "determinant")


def test_templates_hold_the_same_variations():
    sample = shifted_sample()
    points = sample.points(nuisances=["shift", "weight"])
    low = points.key.min()
    cells = replace(sample.cells, key=sample.cells.key - low)
    templates = build_templates(cells, len(points.place))
    yields = templates.yields(nuisances=["shift", "weight"])
    assert yields.processes == points.processes
    np.testing.assert_allclose(yields.varied, points.as_yields.varied)
    assert templates.yields().varied is None


def test_smooth_shares_keep_what_a_variation_adds():
    rng = np.random.default_rng(0)
    x = {p: rng.normal(m, 1, (2000, 2)) for p, m in (("s", 1.0), ("b", 0.0))}
    ids = {p: np.arange(2000) for p in x}
    arrays = {p: (v, np.full(2000, 0.1)) for p, v in x.items()}
    options: dict[str, Any] = {
        "coordinates": [{"kind": "linear", "features": ["u", "v"], "range": (-4.0, 4.0)}]
    }
    sample = ct.Sample.from_arrays(arrays, **options, names=["u", "v"], event_ids=ids)
    sample = sample.with_variation("jesUp", {"b": (x["b"] + 0.2, arrays["b"][1])}, ids)
    points = sample.points(nuisances=["jes"]).coarsened(200)
    smooth = Shares(points, 2).smoothed(points)
    assert not np.allclose(smooth.sumw, points.sumw)
    np.testing.assert_allclose(
        smooth.as_yields.varied - smooth.sumw, points.as_yields.varied - points.sumw, atol=1e-9
    )


def test_replicas_and_uncertainties_move_variations_along():
    yields = random_yields(10)
    term = ProfiledSignificance("s1", nuisances=NUISANCES)
    replicas = bootstrap(term.__call__, yields, rng=np.random.default_rng(0), n_replicas=100)
    assert np.std(replicas) == pytest.approx(simulation_uncertainty(term, yields), rel=0.3)
    moved = yields.with_sumw(2 * yields.sumw)
    np.testing.assert_allclose(moved.varied, 2 * yields.varied)


# --- solvers, trainings and reports -------------------------------------------------------------------------


def test_exact_boundaries_know_uncertain_backgrounds():
    rng, n = np.random.default_rng(4), 12
    x, ids = {"s": rng.random((40, 1)), "b": rng.random((400, 1))}, {"s": np.arange(40), "b": np.arange(400)}
    weight = {"s": 0.2 + 2 * x["s"][:, 0], "b": 0.1 + (1 - x["b"][:, 0]) ** 2}
    coordinates = [{"kind": "identity", "features": ["x"], "width": [1 / n]}]
    arrays = {p: (x[p], weight[p]) for p in x}
    points = ct.Sample.from_arrays(arrays, coordinates, names=["x"], event_ids=ids).points()
    assert len(points.place) == n
    objective = AsimovWithUncertainty("s", relative=0.3)
    found = optimal_boundaries(points, objective, 3)
    order = np.argsort(points.place[:, 0])
    best = [
        max(
            objective(points.some(order).yields(np.searchsorted(cuts, np.arange(n), side="right"), k))
            for cuts in combinations(range(1, n), k - 1)
        )
        for k in (1, 2, 3)
    ]
    assert best[0] < best[1] < best[2]
    assert found.values[-1] == pytest.approx(best[-1])
    with pytest.raises(ConfigError, match="sum over bins"):
        optimal_boundaries(points, Precision("s"), 3)


def correlated_sample(n: int, seed: int) -> ct.Sample:
    """A signal at large x, over backgrounds A at small and B at large y, whose sum is flat in y.

    ``norm`` is the rate of A, which a fit measures where there is no signal; ``tail`` is more of B the larger
    x is, like the signal itself.
    """
    rng = np.random.default_rng(seed)
    y = {"signal": rng.random(n), "A": 1 - np.sqrt(rng.random(n)), "B": np.sqrt(rng.random(n))}
    shape = {"signal": (3, 1), "A": (1, 2), "B": (1, 2)}
    x = {p: np.column_stack([rng.beta(*shape[p], n), y[p]]) for p in y}
    weight = {"signal": np.full(n, 300 / n), "A": np.full(n, 9000 / n), "B": np.full(n, 9000 / n)}
    ids = {p: np.arange(n) for p in y}
    coordinates = [{"kind": "linear", "features": ["x", "y"], "range": (0.0, 1.0)}]
    arrays = {p: (x[p], weight[p]) for p in y}
    sample = ct.Sample.from_arrays(arrays, coordinates, names=["x", "y"], event_ids=ids)
    for side, sign in (("Up", 1), ("Down", -1)):
        sample = sample.with_variation(f"norm{side}", {"A": (x["A"], weight["A"] * (1 + 0.3 * sign))}, ids)
        tail = weight["B"] * (1 + sign * x["B"][:, 0] ** 2)
        sample = sample.with_variation(f"tail{side}", {"B": (x["B"], tail)}, ids)
    return sample


CORRELATED = {
    "plain": Asimov("signal"),
    "uncertain": AsimovWithUncertainty("signal", relative={"A": 0.3, "B": 0.3}),
    "profiled": ProfiledSignificance("signal", nuisances=("norm", "tail")),
}


@pytest.fixture(scope="module")
def trained() -> dict[str, ct.FitResult]:
    sample = correlated_sample(20_000, seed=1)
    return {
        name: ct.fit(ct.GaussianMixture(4), sample, term + MinBackground(5.0), steps=60, starts=1, seed=1)
        for name, term in CORRELATED.items()
    }


def test_categories_trained_with_systematics_are_better_with_systematics(pyhf, trained):
    """On other events, by pyhf: the formula for single categories cannot see what varies in all of them."""
    del pyhf
    other = correlated_sample(60_000, seed=2)
    nuisances = ("norm", "tail")
    yields = {name: other.yields(r.categorizer, nuisances=nuisances) for name, r in trained.items()}
    z = {name: q0_of(workspace_of(y, ("signal",), nuisances), "signal") ** 0.5 for name, y in yields.items()}
    assert z["profiled"] > 1.1 * max(z["plain"], z["uncertain"])
    assert {name: CORRELATED["profiled"](y) for name, y in yields.items()} == pytest.approx(z, rel=1e-4)
    assert CORRELATED["plain"](yields["plain"]) > CORRELATED["plain"](yields["profiled"])


def test_a_result_holds_the_variations_that_its_objective_asks_for(trained):
    result = trained["profiled"]
    assert result.training.nuisances == result.held_out.nuisances == ("norm", "tail")
    same = result.sample.yields(result.categorizer, [0], nuisances=("norm", "tail"))
    np.testing.assert_allclose(same.varied, result.training.varied, rtol=1e-12)
    assert trained["plain"].training.varied is None
    assert result.limit is None
    assert "Z signal" in str(result)
    precision = Precision("signal", nuisances=("norm", "tail"))
    row = evaluate("learned", "all", result.training, precision + MinBackground(5.0))
    assert row.significances["signal"] == pytest.approx(row.combined)
    assert "1/σ(μ) signal" in to_text(significance_table([row], ""))


def test_one_result_is_evaluated_with_all_objectives(trained):
    yields = {n: r.sample.yields(r.categorizer, nuisances=("norm", "tail")) for n, r in trained.items()}
    table = to_text(objectives_table(yields, CORRELATED))
    for name, term in CORRELATED.items():
        assert name in table
        assert f"{term(yields['plain']):.4f}" in table


def test_a_search_on_a_grid_sees_variations():
    points = correlated_sample(4_000, seed=3).points(nuisances=("norm", "tail")).coarsened(300)
    ranges = [(0.0, 1.0), (0.0, 1.0)]
    objective = Precision("signal", nuisances=("norm", "tail")) + MinBackground(1.0)
    edges = grid_boundaries(points, objective, (2, 2), ranges, np.random.default_rng(0))
    assert [len(e) for e in edges] == [1, 1]
    bins = [np.searchsorted(e, points.place[:, i]) for i, e in enumerate(edges)]
    plain = points.yields(np.searchsorted([0.5], points.place[:, 0]), 2)
    assert objective.value(points.yields(2 * bins[0] + bins[1], 4)) > objective.value(plain)


def test_events_have_no_variations():
    x = {p: (np.random.default_rng(0).random((50, 1)), np.ones(50)) for p in ("s", "b")}
    ids = {p: np.arange(50) for p in x}
    options: dict[str, Any] = {
        "coordinates": [{"kind": "linear", "features": ["x"], "range": (0.0, 1.0)}],
        "names": ["x"],
    }
    sample = ct.Sample.from_arrays(x, **options, event_ids=ids).with_variation("jesUp", {"b": x["b"]}, ids)
    events = ct.EventSample.from_arrays(x, **options, event_ids=ids)
    with pytest.raises(ConfigError, match=r"events must be None .*nuisance parameters.*jes"):
        ct.fit(ct.GaussianMixture(2), sample, Precision("s", nuisances=["jes"]), events=events)


def test_other_sources_are_left_alone():
    sample = shifted_sample()
    assert {s.variation for s in sample.cells.sources} == {"nominal", "shiftUp", "shiftDown", "weightUp"}
    assert Source("b", variation="shiftUp") in sample.cells.sources
    with pytest.raises(InputError, match="event_ids"):
        sample.with_variation("jesUp", {"b": (np.zeros((1, 1)), np.ones(1))}, {"s": np.zeros(1, int)})


@pytest.mark.parametrize(
    ("variation", "process", "message"),
    [
        ("nominal", "b", "name of a variation must be .* got 'nominal'"),
        ("jes", "b", "name of a variation must be .* got 'jes'"),
        ("Up", "b", "name of a variation must be .* got 'Up'"),
        ("jesUp", "B", r"processes \['B'\] are not in the sample; there are \['b', 's'\]"),
        ("shiftUp", "b", r"processes \['b'\] have the variation 'shiftUp' already"),
    ],
)
def test_a_variation_has_a_name_of_its_own_and_processes_that_are_there(variation, process, message):
    sample = shifted_sample()
    x = np.array([[0.5], [1.5], [2.5]])
    with pytest.raises(InputError, match=message):
        sample.with_variation(variation, {process: (x, np.ones(3))}, {process: np.arange(3)})


def test_another_process_may_get_the_same_variation():
    x, ids = np.array([[0.5], [1.5], [2.5]]), {"s": np.arange(3)}
    points = (
        shifted_sample().with_variation("shiftUp", {"s": (x, np.ones(3))}, ids).points(nuisances=["shift"])
    )
    s = points.processes.index("s")
    assert points.as_yields.varied[0, 0, s].sum() == 3


def test_a_variation_that_selects_no_event_was_given():
    """Its sums are 0: neither those of the nominal events nor the mirror image of the other side."""
    ids = {"b": np.arange(3)}
    x, none = np.array([[0.5], [1.5], [2.5]]), {"b": np.arange(0)}
    sample = shifted_sample(n_folds=2).with_variation("jesUp", {"b": (np.zeros((0, 1)), np.zeros(0))}, none)
    sample = sample.with_variation("jesDown", {"b": (x, np.full(3, 0.5))}, ids)
    b = sample.processes.index("b")
    cells = replace(sample.cells, key=sample.cells.key - sample.cells.key.min())
    for folds in (None, [0], [1]):
        points = sample.points(folds, nuisances=["jes"])
        assert points.as_yields.varied[0, 0, b].tolist() == [0.0] * len(points.place)
        assert points.as_yields.varied[0, 1, b].sum() > 0
        templates = build_templates(cells, 6, n_folds=2, folds=folds)
        assert templates.is_varied("b", "jesUp")
        assert not templates.is_varied("s", "jesUp")
        together = templates.merged({"all": ["s", "b"]})
        for found in (templates.yields(nuisances=["jes"]), together.yields(nuisances=["jes"])):
            ours = found.processes.index("b" if "b" in found.processes else "all")
            rest = 0 if "b" in found.processes else templates.values("s")
            np.testing.assert_allclose(found.varied[0, 0, ours] - rest, 0, atol=1e-12)
        again = templates.merged({}).yields(nuisances=["jes"])
        np.testing.assert_array_equal(again.varied, templates.yields(nuisances=["jes"]).varied)
    other = shifted_sample(n_folds=2).with_variation("jesDown", {"b": (x, np.full(3, 0.5))}, ids)
    assert sample.digest != other.digest
