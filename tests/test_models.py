"""Laws of the models: what their memberships, hard limits, parameters and files have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import cortado as ct
from cortado import toys
from cortado.categorizer import Categorizer, TableRule
from cortado.categorizer.rules import GaussianMixtureRule, GridRule, MaxAffineRule
from cortado.coordinates import Linear
from cortado.errors import ConfigError, InputError
from cortado.exact.grid import grid_boundaries
from cortado.models import GaussianMixture, MaxAffine, Model, SigmoidCuts, Start
from cortado.models.tensorflow import keras, tf
from cortado.objectives import (
    Asimov,
    MaxRelativeUncertainty,
    MinBackground,
    MinEffectiveEvents,
    Yields,
    array_namespace,
)
from cortado.points import Points
from cortado.sample import Sample
from cortado.training.starts import partition_start

Floats = np.ndarray[Any, np.dtype[np.float64]]

TOYS = {toy.name: toy for toy in toys.FAMILY}
MASS_RANGE = (200.0, 3000.0)
RANGES = ((-6.0, 4.0), (-6.0, 4.0), MASS_RANGE)


class Rings(Model):
    """A model of one's own, with variables: radii around a centre."""

    def __init__(self, n_categories: int) -> None:
        super().__init__(n_categories)
        self.centre = tf.Variable([-2.0, -2.0], dtype=tf.float64)
        self.radii = tf.Variable(np.arange(n_categories) + 1.0, dtype=tf.float64)

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        distance = tf.sqrt(tf.reduce_sum((u - self.centre) ** 2, axis=1, keepdims=True) + 0.01)
        return tf.nn.softmax(-sharpness * (distance - self.radii) ** 2, axis=1)


class Network(Model):
    """A model of one's own, of Keras layers that are built when they are first called."""

    def __init__(self, n_categories: int) -> None:
        super().__init__(n_categories)
        seed = keras.initializers.GlorotUniform(seed=1)
        self.layers = [
            keras.layers.Dense(4, activation="tanh", dtype="float64", kernel_initializer=seed),
            keras.layers.Dense(n_categories, dtype="float64", kernel_initializer=seed),
        ]

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        for layer in self.layers:
            u = layer(u)
        return tf.nn.softmax(sharpness * u, axis=1)


class Case(NamedTuple):
    """A model, and the coordinates that it is for."""

    make: Callable[[], Model]
    coordinates: str


CASES = {
    "mixture": Case(lambda: GaussianMixture(3), "two log-ratios"),
    "damped mixture": Case(lambda: GaussianMixture(3, damping=0.5), "two log-ratios"),
    "mixture along the axes": Case(lambda: GaussianMixture(3, damping=0.0), "two log-ratios"),
    "mixture in ranges": Case(lambda: GaussianMixture(3, means=RANGES), "log-ratios and mass"),
    "mixture on the simplex": Case(lambda: GaussianMixture(3, means="simplex"), "two scores"),
    "mixture of one score": Case(lambda: GaussianMixture(4), "one logit"),
    "cuts": Case(lambda: SigmoidCuts(4), "one logit"),
    "grid": Case(lambda: SigmoidCuts((2, 3), steepness=(3.0, 6.0)), "two log-ratios"),
    "grid in ranges": Case(lambda: SigmoidCuts((1, 2, 2), ranges=RANGES), "log-ratios and mass"),
    "affine in ratios": Case(lambda: MaxAffine(3), "two log-ratios"),
    "affine in one score": Case(lambda: MaxAffine(4), "one logit"),
    "affine in scores": Case(lambda: MaxAffine(3), "two scores"),
    "affine in ratios and mass": Case(lambda: MaxAffine(3), "log-ratios and mass"),
    "rings": Case(lambda: Rings(3), "two log-ratios"),
    "network": Case(lambda: Network(3), "two log-ratios"),
}
OWN = ("rings", "network")
OURS = tuple(name for name in CASES if name not in OWN)
IN_ONE_DIMENSION = ("mixture of one score", "cuts", "affine in one score")

every_model = pytest.mark.parametrize("name", CASES)
every_model_of_ours = pytest.mark.parametrize("name", OURS)


@dataclass(frozen=True)
class Data:
    """A toy in some coordinates: its sample, its cells, and few of them."""

    sample: Sample
    points: Points
    few: Points
    scores: Floats
    objective: ct.objectives.Objective

    @property
    def u(self) -> Floats:
        """(n, d) coordinates of all events."""
        return self.sample.features.forward(self.scores)


@cache
def data(coordinates: str) -> Data:
    """Small toys; each of the signals has 1000 events, the backgrounds 8000."""
    toy = TOYS[
        {"one logit": "one score", "log-ratios and mass": "scores and mass"}.get(coordinates, "three classes")
    ]
    columns = slice(2) if coordinates == "two scores" else slice(None)
    events = toy.events(seed=3, n_signal=1000, n_background=8000)
    arrays = {p: (np.asarray(e.scores, np.float64)[:, columns], e.weight) for p, e in events.items()}
    kind = "identity" if coordinates == "two scores" else toy.coordinates
    sample = Sample.from_arrays(arrays, kind, names=toy.names[columns], n_folds=1)
    points = sample.points()
    scores = np.concatenate([x for x, _ in arrays.values()])
    return Data(sample, points, points.coarsened(200), scores, Asimov(toy.signals) + MinBackground(20.0))


@cache
def _partition(coordinates: str, n_categories: int) -> Start:
    cells = data(coordinates)
    return partition_start(cells.few, cells.objective, n_categories, np.random.default_rng(1))


def start_for(model: Model, coordinates: str) -> Start:
    return replace(_partition(coordinates, model.n_categories), rng=np.random.default_rng(2))


def begun(name: str) -> Model:
    """A model where a training begins."""
    case = CASES[name]
    model = case.make()
    model.initialise(start_for(model, case.coordinates))
    return model


def move(model: Model, size: float, seed: int = 0) -> None:
    """Move the variables by random numbers of standard deviation ``size``."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign_add(size * rng.standard_normal(variable.shape))


def generic(name: str) -> Model:
    """A model at no particular place."""
    model = begun(name)
    move(model, 0.2)
    return model


def soft(model: Model, u: Floats, sharpness: float = 1.0) -> Floats:
    """(n, K) memberships as an array."""
    return np.asarray(model.memberships(tf.constant(u), tf.constant(sharpness, tf.float64)))


def clear_of_ties(model: Model, u: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(n,) whether points lie in one category, and not between two up to rounding."""
    return soft(model, u, 1e7).max(axis=1) > 0.99


def memberships_of(model: Model, points: Points, sharpness: float = 2.0) -> Yields:
    """Soft yields, as tensors."""
    m = model.memberships(tf.constant(points.place), tf.constant(sharpness, tf.float64))
    tables = (tf.constant(t, tf.float64) @ m for t in (points.sumw, points.sumw2, points.count))
    return Yields(points.processes, *tables)


# Memberships


@every_model
@pytest.mark.parametrize("sharpness", [1e-3, 1.0, 50.0])
def test_memberships_are_shares(name: str, sharpness: float) -> None:
    model, u = generic(name), data(CASES[name].coordinates).few.place
    shares = soft(model, u, sharpness)
    assert shares.shape == (len(u), model.n_categories)
    assert shares.dtype == np.float64
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)


@every_model
def test_memberships_do_not_depend_on_the_order_of_events(name: str) -> None:
    model, u = generic(name), data(CASES[name].coordinates).u
    order = np.random.default_rng(0).permutation(len(u))
    np.testing.assert_allclose(soft(model, u[order]), soft(model, u)[order], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(model.categories(u[order]), model.categories(u)[order])


@every_model_of_ours
def test_arrays_and_mappings_of_processes_are_as_good(name: str) -> None:
    model, u = generic(name), data(CASES[name].coordinates).few.place
    parts = {"signal": u[:70], "background": u[70:]}
    expected, category = soft(model, u), model.categories(u)
    by_process = model.memberships(parts)
    assert list(by_process) == list(parts)
    np.testing.assert_allclose(np.concatenate(list(by_process.values())), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(np.concatenate(list(model.categories(parts).values())), category)
    single = u.astype(np.float32)
    doubled = soft(model, single.astype(np.float64))
    for given in (single, single.tolist(), tf.constant(single)):
        np.testing.assert_allclose(model.memberships(given), doubled, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OWN)
def test_categories_of_a_model_of_ones_own_can_be_had_by_process(name: str) -> None:
    model, u = generic(name), data(CASES[name].coordinates).few.place
    np.testing.assert_array_equal(model.categories({"signal": u})["signal"], model.categories(u))


@every_model
def test_memberships_harden_in_one_traced_graph(name: str) -> None:
    model, u = generic(name), data(CASES[name].coordinates).few.place
    traced = tf.function(model.memberships)
    rows, category = np.arange(len(u)), model.categories(u)
    own = [
        np.asarray(traced(tf.constant(u), tf.constant(sharpness, tf.float64)))[rows, category]
        for sharpness in (1e-3, 0.1, 1.0, 1e3, 1e7)
    ]
    assert traced.experimental_get_tracing_count() == 1
    for softer, harder in pairwise(own):
        assert (harder >= softer - 1e-12).all()
    assert own[0].mean() < 0.7
    assert np.mean(own[-1] > 0.999) > 0.99


# Hard limits


@every_model
def test_the_frozen_rule_is_the_hard_limit(name: str) -> None:
    model, cells = generic(name), data(CASES[name].coordinates)
    rule = model.freeze(cells.points)
    u = cells.points.place if isinstance(rule, TableRule) else cells.u
    category = model.categories(u)
    used = np.unique(category)
    assert len(used) > 1
    frozen = rule.assign(u) if not isinstance(rule, TableRule) else used[rule.assign(u)]
    np.testing.assert_array_equal(frozen, category)
    clear = clear_of_ties(model, u)
    assert clear.mean() > 0.995
    np.testing.assert_array_equal(soft(model, u, 1e7).argmax(axis=1)[clear], category[clear])


@every_model
def test_the_categorizer_does_to_scores_what_the_model_does_to_coordinates(name: str, tmp_path: Path) -> None:
    model, cells = generic(name), data(CASES[name].coordinates)
    rule = model.freeze(cells.points)
    path = tmp_path / "categorizer.json"
    Categorizer(features=cells.sample.features, rule=rule).save(path)
    np.testing.assert_array_equal(Categorizer.load(path)(cells.scores), rule.assign(cells.u))


@pytest.mark.parametrize("name", IN_ONE_DIMENSION)
@pytest.mark.parametrize("seed", range(3))
def test_boundaries_of_one_coordinate_are_exact(name: str, seed: int) -> None:
    model = begun(name)
    move(model, 0.3, seed)
    found = model.freeze(data("one logit").points).boundaries()
    assert len(found.edges) >= 1
    beside = 1e-7 * np.maximum(np.abs(found.edges), 1.0)
    below, above = found.edges - beside, found.edges + beside
    for u, category in ((below, found.categories[:-1]), (above, found.categories[1:])):
        np.testing.assert_array_equal(model.categories(u[:, None]), category)
    if isinstance(model, SigmoidCuts):
        np.testing.assert_array_equal(found.edges, model.boundaries())
    else:
        ranked = np.sort(soft(model, found.edges[:, None]), axis=1)
        np.testing.assert_allclose(ranked[:, -1], ranked[:, -2], rtol=1e-9)


# Gradients


def _purity(yields: Yields) -> Any:
    signal, total = yields.total(("signal1",)), yields.total(yields.processes)
    return array_namespace(total).sum(signal**2 / (total + 10.0))


def _factor(yields: Yields) -> Any:
    return 1.0 + 1e-4 * yields.total(("bkg2",))


OBJECTIVES: dict[str, Callable[[Sequence[str]], Callable[[Yields], Any]]] = {
    "geometric mean above a background": lambda s: Asimov(tuple(s)) + MinBackground(5000.0),
    "quadrature with enough events": lambda s: Asimov(tuple(s), "quadrature") + MinEffectiveEvents(4000.0),
    "minimum with small uncertainties": lambda s: Asimov(tuple(s), "minimum") + MaxRelativeUncertainty(0.01),
    "sum, other signals ignored": lambda s: Asimov(tuple(s), "sum", other_signals="ignored"),
    "scaled by a function of the yields": lambda s: Asimov(tuple(s)).with_scales({"bkg1": _factor}),
    "a plain function": lambda _: _purity,
}


@every_model
@pytest.mark.parametrize("term", OBJECTIVES)
def test_gradients_are_those_of_finite_differences(name: str, term: str) -> None:
    model, cells = generic(name), data(CASES[name].coordinates)
    objective = OBJECTIVES[term](cells.objective.signals)
    with tf.GradientTape() as tape:
        value = objective(memberships_of(model, cells.few))
    variables = model.trainable_variables
    gradients = tape.gradient(value, variables)
    rng = np.random.default_rng(5)
    for variable, gradient in zip(variables, gradients, strict=True):
        origin = np.asarray(variable).copy()
        along = rng.standard_normal(origin.shape)
        shifted = []
        for step in (1e-5, -1e-5):
            variable.assign(origin + step * along)
            shifted.append(float(objective(memberships_of(model, cells.few))))
        variable.assign(origin)
        numerical = (shifted[0] - shifted[1]) / 2e-5
        assert np.sum(np.asarray(gradient) * along) == pytest.approx(
            numerical, rel=2e-5, abs=1e-8 * abs(float(value))
        )


@every_model
@pytest.mark.parametrize("size", [5.0, 50.0])
def test_saturated_and_empty_categories_have_finite_gradients(name: str, size: float) -> None:
    model, cells = begun(name), data(CASES[name].coordinates)
    move(model, size)
    with tf.GradientTape() as tape:
        yields = memberships_of(model, cells.few)
        value = cells.objective(yields)
    assert np.isfinite(yields.sumw).all()
    assert np.isfinite(value)
    for gradient in tape.gradient(value, model.trainable_variables):
        assert np.isfinite(gradient).all()


# Parameters, configuration, files


# The layers of the network are built by its first input, not by its configuration.
@pytest.mark.parametrize("name", [*OURS, "rings"])
def test_a_model_survives_a_file(name: str, tmp_path: Path) -> None:
    model, u = generic(name), data(CASES[name].coordinates).few.place
    model.save(tmp_path / "model.json")
    again = type(model).load(tmp_path / "model.json")
    assert again.configuration == model.configuration
    assert again.n_categories == model.n_categories
    assert list(again.state) == list(model.state)
    np.testing.assert_array_equal(soft(again, u), soft(model, u))
    assert len(again.trainable_variables) == len(model.trainable_variables)


def test_the_configuration_is_all_that_makes_a_model() -> None:
    mixture = GaussianMixture(4, means=((0, 1), (0, 2)), damping=0.25)
    assert mixture.configuration == {
        "n_categories": 4,
        "means": ((0.0, 1.0), (0.0, 2.0)),
        "damping": 0.25,
    }
    cuts = SigmoidCuts(np.int64(4), ranges=[(0, 1)], steepness=2)  # type: ignore[arg-type]
    assert cuts.configuration == {
        "bins": (4,),
        "ranges": ((0.0, 1.0),),
        "steepness": (2.0,),
        "relaxation": "sigmoid",
    }
    for model in (mixture, cuts, MaxAffine(3), Rings(5)):
        assert type(model)(**model.configuration).configuration == model.configuration


def _changed(content: dict[str, Any], path: tuple[str, ...], value: Any) -> str:
    """The content as JSON with one entry replaced, or removed where the value is None."""
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(content)


BAD_FILES: dict[str, tuple[str, tuple[str, ...], Any, str]] = {
    "another class": ("mixture", ("model",), "MaxAffine", "holds a MaxAffine, not a GaussianMixture"),
    "another format": ("mixture", ("format",), "cortado-categorizer", "format"),
    "a later version": ("mixture", ("version",), 2, "version"),
    "no variables": ("mixture", ("variables",), None, "variables"),
    "a variable less": ("mixture", ("variables", "means"), None, "means"),
    "no location": ("mixture", ("variables", "location"), None, "location"),
    "a variable more": ("affine in scores", ("variables", "more"), [1.0], "more"),
    "other shapes": ("mixture", ("variables", "logits"), [0.0, 0.0], "(2,)"),
    "more categories": ("affine in ratios", ("configuration", "n_categories"), 4, "(4, 2)"),
    "a variable that is no number": ("cuts", ("variables", "low"), ["a"], "not a valid model"),
    "a variable that is not finite": ("cuts", ("variables", "low"), [float("nan")], "finite"),
    "ragged variables": ("mixture", ("variables", "means"), [[1.0], [1.0, 2.0]], "not a valid model"),
    "fewer ranges": ("mixture in ranges", ("configuration", "means"), [[0, 1], [0, 1]], "(2,)"),
    "ranges upside down": ("mixture in ranges", ("configuration", "means"), [[1, 0]] * 3, "low < high"),
    "other bins": ("grid", ("configuration", "bins"), [3, 2], "(3,)"),
    "an unknown argument": ("cuts", ("configuration", "spread"), 2, "spread"),
    "a model of one's own, other radii": ("rings", ("configuration", "n_categories"), 4, "(4,)"),
}


@pytest.mark.parametrize("bad", BAD_FILES)
def test_a_file_that_does_not_fit_is_refused(bad: str, tmp_path: Path) -> None:
    name, path, value, words = BAD_FILES[bad]
    model, file = generic(name), tmp_path / "model.json"
    model.save(file)
    file.write_text(_changed(json.loads(file.read_text()), path, value))
    with pytest.raises(InputError) as error:
        type(model).load(file)
    assert words in str(error.value)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2]", None])
def test_a_file_that_holds_no_model_is_refused(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.json"):
        MaxAffine.load(file)


def test_variables_are_told_apart_without_names() -> None:
    class Nested(Model):
        def __init__(self) -> None:
            super().__init__(2)
            self.one = tf.Variable(1.0)
            self.parts = {"a": [tf.Variable(2.0), tf.Variable(3.0, trainable=False)]}
            self.again = self.one
            self.module = tf.Module()
            self.module.inner = tf.Variable(4.0)

    model = Nested()
    assert {name: float(v) for name, v in model.state.items()} == {
        "one": 1.0,
        "parts.a.0": 2.0,
        "parts.a.1": 3.0,
        "module.0": 4.0,
    }
    assert [float(v) for v in model.trainable_variables] == [1.0, 2.0, 4.0]
    changed = {name: value + 1 for name, value in model.state.items()}
    model.restore(changed)
    assert model.state == changed


# Units

FAR = 1e5


def resonance(far: bool, coordinates: str = "identity") -> Points:
    """Cells of a score and a mass, over a background of which one event may have a mass of ``FAR``."""
    rng = np.random.default_rng(1)
    n = 20_000
    signal = np.column_stack([rng.normal(1, 1, n // 4), rng.normal(900, 60, n // 4)])
    background = np.column_stack([rng.normal(-1, 1, n), 200 + rng.exponential(400, n)])
    background[0, 1] = FAR if far else 500.0
    arrays = {"signal": (signal, np.full(len(signal), 0.01)), "background": (background, np.full(n, 0.3))}
    groups = [
        {"kind": "identity", "features": ("score",), "width": (0.05,)},
        {"kind": "identity", "features": ("mass",), "width": (10.0,)}
        if coordinates == "identity"
        else {"kind": "linear", "features": ("mass",), "range": (300.0, 1500.0)},
    ]
    return Sample.from_arrays(arrays, groups, names=("score", "mass"), n_folds=1).points()


def start_at(points: Points, k: int) -> Start:
    """A start from four regions, the same however far one event is."""
    score, mass = points.place.T
    category = 2 * (score > 0) + (mass > 800)
    objective = Asimov("signal") + MinBackground(20.0)
    importance = points.mass / points.mass.sum()
    return Start(points, category, k, importance, points, objective, np.random.default_rng(2))


@pytest.mark.parametrize("make", [GaussianMixture, MaxAffine, lambda _: SigmoidCuts((2, 2))])
def test_one_far_event_does_not_change_where_a_model_begins(make: Callable[[int], Model]) -> None:
    u = resonance(False).place
    found = []
    for far in (False, True):
        model = make(4)
        model.initialise(start_at(resonance(far), 4))
        found.append(soft(model, u))
        assert model.categories(np.array([[0.0, FAR]])).shape == (1,)
    np.testing.assert_allclose(found[1], found[0], atol=0.02)


def test_a_range_declared_with_a_coordinate_is_that_of_the_cuts() -> None:
    model = SigmoidCuts((2, 3))
    model.initialise(start_at(resonance(True, "linear"), 6))
    assert (model.state["low"][1], model.state["high"][1]) == (300.0, 1500.0)
    assert model.state["low"][0] < -3 < 3 < model.state["high"][0]


# Gaussian mixtures

MIXTURES = tuple(name for name in OURS if isinstance(CASES[name].make(), GaussianMixture))


def mixture(name: str) -> GaussianMixture:
    model = generic(name)
    assert isinstance(model, GaussianMixture)
    return model


@pytest.mark.parametrize("name", MIXTURES)
def test_fast_log_densities_are_those_of_the_distribution(name: str) -> None:
    model, u = mixture(name), data(CASES[name].coordinates).few.place
    distribution = model.distribution()
    components = np.asarray(distribution.components_distribution.log_prob(u[:, None, :]))
    expected = components + np.log(np.asarray(distribution.mixture_distribution.probs_parameter()))
    fast = np.asarray(model.log_densities(u))
    # One constant is left out: it is in all components.
    constant = 0.5 * u.shape[1] * np.log(2 * np.pi) + np.log(model.state["scale"]).sum()
    np.testing.assert_allclose(fast - constant, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        distribution.log_prob(u), np.logaddexp.reduce(fast - constant, axis=1), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])
def test_memberships_of_a_mixture_are_tempered_posteriors(temperature: float) -> None:
    model, u = mixture("mixture"), data("two log-ratios").few.place
    distribution = model.distribution()
    joint = np.asarray(distribution.components_distribution.log_prob(u[:, None, :])) + np.log(
        np.asarray(distribution.mixture_distribution.probs_parameter())
    )
    power = np.exp((joint - joint.max(axis=1, keepdims=True)) / temperature)
    expected = power / power.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(soft(model, u, 1 / temperature), expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", MIXTURES)
def test_parameters_of_a_mixture_are_in_the_units_of_the_coordinates(name: str) -> None:
    model = mixture(name)
    rule, distribution = model.parameters(), model.distribution()
    assert isinstance(rule, GaussianMixtureRule)
    assert sum(rule.weights) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(rule.weights, distribution.mixture_distribution.probs_parameter())
    np.testing.assert_allclose(rule.means, distribution.components_distribution.mean())
    np.testing.assert_allclose(rule.covariances, distribution.components_distribution.covariance())


def test_a_mixture_can_be_sampled() -> None:
    model = mixture("mixture in ranges")
    rule = model.parameters()
    weights, means = np.array(rule.weights), np.array(rule.means)
    events = np.asarray(model.distribution().sample(20_000, seed=(1, 2)))
    assert events.shape == (20_000, 3)
    mean = weights @ means
    covariance = np.einsum("k,kij->ij", weights, rule.covariances) + np.einsum(
        "k,ki,kj->ij", weights, means - mean, means - mean
    )
    error = np.sqrt(np.diag(covariance) / len(events))
    assert (np.abs(events.mean(axis=0) - mean) < 5 * error).all()
    np.testing.assert_allclose(events.std(axis=0), np.sqrt(np.diag(covariance)), rtol=0.05)


def move_means(model: GaussianMixture, size: float) -> None:
    """Move only the means, unconstrained: widths that grow as much would have no digits left."""
    state = model.state
    means = state["means"] + size * np.random.default_rng(0).standard_normal(state["means"].shape)
    model.restore({**state, "means": means})


@pytest.mark.parametrize("size", [0.0, 1.0, 20.0])
def test_means_stay_on_the_simplex(size: float) -> None:
    model = mixture("mixture on the simplex")
    move_means(model, size)
    means = np.array(model.parameters().means)
    assert means.min() >= -1e-12
    assert means.sum(axis=1).max() <= 1 + 1e-12


@pytest.mark.parametrize("size", [0.0, 1.0, 20.0])
def test_means_stay_in_their_ranges(size: float) -> None:
    model = mixture("mixture in ranges")
    move_means(model, size)
    low, high = np.array(RANGES).T
    means = np.array(model.parameters().means)
    assert (means >= low - 1e-9 * (high - low)).all()
    assert (means <= high + 1e-9 * (high - low)).all()


@pytest.mark.parametrize("damping", [0.0, 0.3, 1.0])
def test_damping_is_a_factor_on_the_off_diagonal_entries(damping: float) -> None:
    free, damped = mixture("mixture"), GaussianMixture(3, damping=damping)
    damped.restore(free.state)
    expected, found = (np.linalg.cholesky(m.parameters().covariances) for m in (free, damped))
    np.testing.assert_allclose(found[:, 1, 0], damping * expected[:, 1, 0], atol=1e-12)
    for i in range(2):
        np.testing.assert_allclose(found[:, i, i], expected[:, i, i])


def test_a_damped_mixture_begins_where_a_free_one_does() -> None:
    free, damped = (begun(name).freeze(data("two log-ratios").few) for name in ("mixture", "damped mixture"))
    assert isinstance(free, GaussianMixtureRule)
    assert isinstance(damped, GaussianMixtureRule)
    np.testing.assert_allclose(damped.covariances, free.covariances, rtol=1e-9)


def test_a_mass_in_gev_does_not_saturate_the_start() -> None:
    model, cells = begun("mixture in ranges"), data("log-ratios and mass")
    largest = soft(model, cells.few.place).max(axis=1)
    # Widths of 1 GeV would leave no event between two categories.
    assert np.average(largest > 0.99, weights=cells.few.mass) < 0.7
    widths = np.sqrt(np.diagonal(model.freeze(cells.few).covariances, axis1=1, axis2=2))  # type: ignore[union-attr]
    span = np.diff(RANGES).ravel()
    assert (widths > 0.05 * span).all()
    assert (widths < span).all()


def _in_units(points: Points, factor: Floats) -> Points:
    """The points with another unit of the last coordinate, in its range, too."""
    *others, mass = points.features.coordinates
    assert isinstance(mass, Linear)
    low, high = mass.range
    scaled = mass.model_copy(update={"range": (low * factor[-1], high * factor[-1])})
    features = points.features.model_copy(update={"coordinates": (*others, scaled)})
    return replace(points, features=features, place=points.place * factor, widths=points.widths * factor)


def _ranges_in(unit: float) -> list[tuple[float, float]]:
    return [*RANGES[:2], (MASS_RANGE[0] * unit, MASS_RANGE[1] * unit)]


def _with_mass_in(points: Points, unit: float) -> Points:
    scores, mass = points.features.coordinates
    assert isinstance(mass, Linear)
    mass = mass.model_copy(update={"range": (mass.range[0] * unit, mass.range[1] * unit)})
    features = points.features.model_copy(update={"coordinates": (scores, mass)})
    return replace(points, features=features, place=points.place * [1.0, 1.0, unit])


@pytest.mark.parametrize(
    "make",
    [
        lambda _: GaussianMixture(3),
        lambda unit: GaussianMixture(3, means=_ranges_in(unit)),
        lambda _: SigmoidCuts((1, 2, 2)),
        lambda unit: SigmoidCuts((1, 2, 2), ranges=_ranges_in(unit)),
        lambda _: MaxAffine(3),
    ],
    ids=["mixture", "mixture in ranges", "grid", "grid in ranges", "affine"],
)
def test_a_start_does_not_depend_on_the_unit_of_a_mass(make: Callable[[float], Model]) -> None:
    cells = data("log-ratios and mass")
    found = []
    for unit in (1.0, 1e-3, 1e3):
        factor = np.array([1.0, 1.0, unit])
        model = make(unit)
        start = start_for(model, "log-ratios and mass")
        points, fine = (_in_units(part, factor) for part in (start.points, start.cells))
        model.initialise(replace(start, points=points, cells=fine))
        found.append(soft(model, cells.few.place * factor))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-6, atol=1e-9)


# Sigmoid cuts


def cuts(name: str) -> SigmoidCuts:
    model = generic(name)
    assert isinstance(model, SigmoidCuts)
    return model


def _sigmoid(x: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(0.5 * x))


def test_weights_are_products_of_differences_of_sigmoids() -> None:
    model, u = cuts("grid"), data("two log-ratios").few.place
    sharpness = 1.7
    weights = []
    for j, (bins, steepness) in enumerate(((2, 3.0), (3, 6.0))):
        span = float(model.state["high"][j] - model.state["low"][j])
        edges = [-np.inf, *model.boundaries(j), np.inf]
        above = [_sigmoid(sharpness * steepness * bins / span * (u[:, j] - e)) for e in edges]
        weights.append([low - high for low, high in pairwise(above)])
    product = np.column_stack([first * second for first in weights[0] for second in weights[1]])
    np.testing.assert_allclose(soft(model, u, sharpness), product, rtol=1e-9, atol=1e-12)


def test_the_hard_limit_bins_at_the_boundaries_whatever_the_largest_weight() -> None:
    model = SigmoidCuts(5, ranges=[(-5.0, 5.0)], steepness=0.5)
    model.restore({"low": np.array([-5.0]), "high": np.array([5.0]), "shares_0": np.zeros(5)})
    u = np.linspace(-6, 6, 500)[:, None]
    expected = np.searchsorted([-3.0, -1.0, 1.0, 3.0], u[:, 0], side="right")
    np.testing.assert_allclose(model.boundaries(), [-3.0, -1.0, 1.0, 3.0], atol=1e-12)
    np.testing.assert_array_equal(model.categories(u), expected)
    assert np.mean(soft(model, u).argmax(axis=1) != expected) > 0.2


@pytest.mark.parametrize("name", ["cuts", "grid", "grid in ranges"])
@pytest.mark.parametrize("size", [0.0, 1.0, 30.0])
def test_boundaries_are_in_order_and_in_the_range(name: str, size: float) -> None:
    model = begun(name)
    assert isinstance(model, SigmoidCuts)
    move(model, size)
    for j, bins in enumerate(model.configuration["bins"]):
        edges, low, high = model.boundaries(j), model.state["low"][j], model.state["high"][j]
        assert len(edges) == bins - 1
        assert (np.diff(edges) >= 0).all()
        assert ((edges >= low) & (edges <= high + 1e-9 * (high - low))).all()
        if model.configuration["ranges"]:
            assert (low, high) == model.configuration["ranges"][j]


@pytest.mark.parametrize("name", ["cuts", "grid"])
def test_no_training_changes_a_steepness(name: str) -> None:
    cells = data(CASES[name].coordinates)
    model = CASES[name].make()
    before = model.configuration
    result = ct.fit(model, cells.sample, cells.objective, starts=1, steps=20)
    assert isinstance(result.categorizer.rule, GridRule)
    assert model.configuration == before
    assert len(model.trainable_variables) == len(before["bins"])
    trained = {name for name, value in model.state.items() if "shares" in name}
    assert set(model.state) - trained == {"low", "high"}


def test_a_bin_that_vanished_keeps_its_number() -> None:
    model = SigmoidCuts((2, 3), ranges=[(0.0, 1.0)] * 2)
    model.restore(
        {
            "low": np.zeros(2),
            "high": np.ones(2),
            "shares_0": np.zeros(2),
            "shares_1": np.array([0.0, -800.0, 0.0]),
        }
    )
    u = np.array([[0.2, 0.2], [0.2, 0.8], [0.8, 0.2], [0.8, 0.8]])
    np.testing.assert_array_equal(model.categories(u), [0, 2, 3, 5])
    np.testing.assert_array_equal(soft(model, u, 1e6).argmax(axis=1), [0, 2, 3, 5])
    # A rule has no empty categories.
    assert model.parameters().n_categories == 4


def best_of_all_grids(cells: Data, bins: tuple[int, int], n: int) -> float:
    """The largest objective of grids whose boundaries are among n quantiles, all of which are tried."""
    u = cells.few.place
    edges = [np.quantile(column, np.linspace(0, 1, n + 2)[1:-1]) for column in u.T]
    values = []
    for chosen in product(*(combinations(e, b - 1) for e, b in zip(edges, bins, strict=True))):
        rule = GridRule(edges=tuple(chosen))
        yields = cells.few.yields(rule.assign(u), rule.n_categories)
        if not cells.objective.shortfall(yields).any():
            values.append(cells.objective.value(yields))
    return max(values)


@pytest.mark.parametrize("bins", [(2, 2), (2, 3)])
def test_the_search_for_boundaries_finds_what_trying_all_does(bins: tuple[int, int]) -> None:
    cells = data("two log-ratios")
    whole = [(-np.inf, np.inf)] * 2
    edges = grid_boundaries(cells.few, cells.objective, bins, whole, np.random.default_rng(0))
    rule = GridRule(edges=tuple(tuple(e.tolist()) for e in edges))
    yields = cells.few.yields(rule.assign(cells.few.place), rule.n_categories)
    kept = cells.objective.shortfall(yields) == 0
    found = cells.objective.value(
        Yields(yields.processes, yields.sumw[:, kept], yields.sumw2[:, kept], yields.count[:, kept])
    )
    assert found > 0.99 * best_of_all_grids(cells, bins, 12)


# Largest affine functions


@pytest.mark.parametrize("name", ["affine in ratios", "affine in one score", "affine in scores"])
def test_an_affine_model_is_linear_in_the_scores(name: str) -> None:
    model, cells = generic(name), data(CASES[name].coordinates)
    rule = model.freeze(cells.points)
    assert isinstance(rule, MaxAffineRule)
    scores = cells.sample.features.inverse(cells.u)
    if name == "affine in one score":
        scores = np.column_stack([scores, 1 - scores])
    elif name == "affine in scores":
        scores = np.column_stack([scores, np.ones(len(scores))])
    values = scores @ np.column_stack([rule.slopes, rule.offsets]).T
    ranked = np.sort(values, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 1e-9 * np.abs(ranked[:, -1])
    assert clear.mean() > 0.999
    np.testing.assert_array_equal(model.categories(cells.u)[clear], values.argmax(axis=1)[clear])


# Models of one's own


@pytest.mark.parametrize("name", OWN)
def test_a_model_of_ones_own_is_trained_and_frozen_into_a_table(name: str) -> None:
    cells, model = data("two log-ratios"), CASES[name].make()
    model.initialise(start_for(model, CASES[name].coordinates))
    before = model.state
    assert before
    result = ct.fit(model, cells.sample, Asimov(toys.SIGNALS), starts=1, steps=10)
    assert isinstance(result.categorizer.rule, TableRule)
    assert result.categorizer.n_categories >= 2
    for variable, value in model.state.items():
        assert not np.array_equal(value, before[variable])
    category = result.categorizer(cells.scores)
    assert set(category) == set(range(result.categorizer.n_categories))


def test_a_model_needs_memberships() -> None:
    with pytest.raises(NotImplementedError):
        Model(2).memberships(np.zeros((1, 1)))


# Bad input

BAD_ARGUMENTS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "a mixture of one": (lambda: GaussianMixture(1), ("n_categories", "at least 2", "1")),
    "one affine function": (lambda: MaxAffine(1), ("n_categories", "at least 2", "1")),
    "a model of one's own for nothing": (lambda: Rings(0), ("n_categories", "at least 2", "0")),
    "one bin": (lambda: SigmoidCuts(1), ("bins", "2", "1")),
    "one cell": (lambda: SigmoidCuts((1, 1)), ("bins", "2", "(1, 1)")),
    "no bins": (lambda: SigmoidCuts(()), ("bins", "()")),
    "zero bins": (lambda: SigmoidCuts((3, 0)), ("bins", "(3, 0)")),
    "half a bin": (lambda: SigmoidCuts((2.5, 2)), ("bins", "integers", "2.5")),  # type: ignore[arg-type]
    "half a component": (lambda: GaussianMixture(2.5), ("n_categories", "integer", "2.5")),  # type: ignore[arg-type]
    "several components": (lambda: GaussianMixture([2, 3]), ("n_categories", "integer", "[2, 3]")),  # type: ignore[arg-type]
    "components in words": (lambda: GaussianMixture("3"), ("n_categories", "integer", "'3'")),  # type: ignore[arg-type]
    "damping in words": (lambda: GaussianMixture(2, damping="x"), ("damping", "number", "'x'")),  # type: ignore[arg-type]
    "means as a number": (lambda: GaussianMixture(2, means=5), ("means", "ranges", "5")),  # type: ignore[arg-type]
    "means in words": (lambda: GaussianMixture(2, means=[("a", "b")]), ("means", "ranges", "'a'")),  # type: ignore[list-item]
    "steepness in words": (lambda: SigmoidCuts(2, steepness="a"), ("steepness", "numbers", "'a'")),  # type: ignore[arg-type]
    "negative damping": (lambda: GaussianMixture(2, damping=-0.1), ("damping", "from 0 to 1", "-0.1")),
    "too much damping": (lambda: GaussianMixture(2, damping=1.5), ("damping", "from 0 to 1", "1.5")),
    "damping by nothing": (lambda: GaussianMixture(2, damping=float("nan")), ("damping", "nan")),
    "means by name": (lambda: GaussianMixture(2, means="cube"), ("means", "'simplex'", "'cube'")),  # type: ignore[arg-type]
    "means upside down": (lambda: GaussianMixture(2, means=[(1, 0)]), ("means", "low < high", "(1, 0)")),
    "means in no range": (lambda: GaussianMixture(2, means=[(1, 1)]), ("means", "low < high", "(1, 1)")),
    "a range of one number": (lambda: GaussianMixture(2, means=[(1,)]), ("means", "(1,)")),  # type: ignore[list-item]
    "an endless range": (lambda: SigmoidCuts(2, ranges=[(0, float("inf"))]), ("ranges", "finite", "inf")),
    "ranges upside down": (lambda: SigmoidCuts(2, ranges=[(3, 2)]), ("ranges", "low < high", "(3, 2)")),
    "too many ranges": (lambda: SigmoidCuts(2, ranges=[(0, 1)] * 2), ("ranges", "1 discriminants", "2")),
    "no steepness": (lambda: SigmoidCuts(2, steepness=0), ("steepness", "> 0", "0")),
    "negative steepness": (lambda: SigmoidCuts((2, 2), steepness=(1, -1)), ("steepness", "> 0", "-1")),
    "endless steepness": (lambda: SigmoidCuts(2, steepness=float("inf")), ("steepness", "finite", "inf")),
    "too few steepnesses": (lambda: SigmoidCuts((2, 2), steepness=(1,)), ("steepness", "2", "1")),
}


@pytest.mark.parametrize("bad", BAD_ARGUMENTS)
def test_bad_arguments_are_named(bad: str) -> None:
    make, words = BAD_ARGUMENTS[bad]
    with pytest.raises(ConfigError) as error:
        make()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("model", "argument"),
    [
        (GaussianMixture(3, means=[(-1, 1)] * 3), "means"),
        (SigmoidCuts((2, 2, 2)), "bins"),
        (SigmoidCuts(3), "bins"),
    ],
)
def test_arguments_that_do_not_match_the_coordinates_are_named(model: Model, argument: str) -> None:
    with pytest.raises(ConfigError, match=rf"{argument} must have one entry for each of the 2 coordinates"):
        model.initialise(start_for(model, "two log-ratios"))


def test_the_simplex_is_for_scores_as_they_stand() -> None:
    model = GaussianMixture(3, means="simplex")
    with pytest.raises(ConfigError, match=r"means can be on the 'simplex' only where .* identity, got .*log"):
        model.initialise(start_for(model, "two log-ratios"))


def test_ranges_without_events_are_refused() -> None:
    for far in ((1e3, 2e3), (-2e3, -1e3)):
        model = SigmoidCuts((2, 2), ranges=[(-5.0, 5.0), far])
        with pytest.raises(
            ConfigError, match=r"ranges must be where events are, from -.* to .* in log\(.*got"
        ):
            model.initialise(start_for(model, "two log-ratios"))


@pytest.mark.parametrize("discriminant", [-1, 2, 5])
def test_boundaries_of_no_discriminant_are_refused(discriminant: int) -> None:
    with pytest.raises(ConfigError, match=f"discriminant must be from 0 to 1, .*got {discriminant}"):
        cuts("grid").boundaries(discriminant)


def test_numbers_may_be_those_of_numpy(tmp_path: Path) -> None:
    model = GaussianMixture(np.int64(3), damping=np.float64(0.5))  # type: ignore[arg-type]
    model.restore(begun("damped mixture").state)
    model.save(tmp_path / "model.json")
    assert GaussianMixture.load(tmp_path / "model.json").configuration == model.configuration


@every_model_of_ours
def test_coordinates_of_other_dimensions_are_refused(name: str) -> None:
    model, u = generic(name), data(CASES[name].coordinates).few.place
    for wrong in (np.concatenate([u, u[:, :1]], axis=1), u[:, :-1], u[:, 0]):
        for function in (model.memberships, model.categories):
            with pytest.raises(InputError, match=rf"coordinates must have the shape \(n, {u.shape[1]}\)"):
                function(wrong)


@pytest.mark.parametrize("model", [GaussianMixture(2), SigmoidCuts(2), MaxAffine(2)])
def test_a_model_has_no_parameters_before_it_begins(model: Any, tmp_path: Path) -> None:
    u = np.zeros((3, 1))
    for use in (
        lambda: model.memberships(u),
        lambda: model.categories(u),
        model.parameters,
        lambda: model.save(tmp_path / "model.json"),
    ):
        with pytest.raises(ConfigError, match="no parameters before it is initialised, fitted or loaded"):
            use()
    assert not (tmp_path / "model.json").exists()
