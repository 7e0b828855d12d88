"""Categorizers: exact regions, the same answer from every container, and files that cannot be misread.

The file in ``golden/`` is what a categorizer looks like. After a change that is meant, write it anew with
``CORTADO_UPDATE_GOLDEN=1 pytest tests/test_categorizer.py`` and look at the difference.
"""

import itertools
import json
import math
import os
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from scipy.stats import multivariate_normal

from cortado.categorizer import (
    UNCATEGORISED,
    ArgmaxRule,
    Categorizer,
    GaussianMixtureRule,
    GridRule,
    Training,
    argmax_projections,
    equidistant,
)
from cortado.categorizer.baselines import even_factors
from cortado.coordinates import Features, Linear
from cortado.errors import ConfigError, InputError

GOLDEN = Path(__file__).parent / "golden" / "categorizer.json"
SCORES = ["p_ggH", "p_qqH", "p_bkg"]

MIXTURE = GaussianMixtureRule(
    weights=(0.5, 0.3, 0.2),
    means=((0.0, 0.0), (2.5, -1.0), (-1.0, 3.0)),
    covariances=(((1.0, 0.25), (0.25, 2.0)), ((0.5, 0.0), (0.0, 0.5)), ((2.0, -0.5), (-0.5, 1.0))),
)


def categorizer(missing: float = -999.0) -> Categorizer:
    return Categorizer(
        written_by="cortado, any version",
        features=Features.declare(SCORES, "logratio", {"p_qqH": missing}),
        rule=MIXTURE,
        labels=("background", "ggH", "qqH"),
        training=Training(
            signals=("ggH", "qqH"), processes=("DY", "ggH", "qqH"), n_folds=2, seed=1, objective=0.5
        ),
    )


def nested(array: np.ndarray):
    return tuple(map(nested, array)) if array.ndim else float(array)


def random_mixture(seed: int, n_categories: int, dimensions: int, scale: float = 1.0) -> GaussianMixtureRule:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n_categories, dimensions, dimensions))
    covariances = (a @ np.swapaxes(a, 1, 2) + 0.05 * np.eye(dimensions)) * scale**2
    return GaussianMixtureRule(
        weights=nested(rng.dirichlet(np.ones(n_categories))),
        means=nested(scale * rng.normal(0, 2, (n_categories, dimensions))),
        covariances=nested((covariances + np.swapaxes(covariances, 1, 2)) / 2),
    )


def log_densities(rule: GaussianMixtureRule, u: np.ndarray) -> np.ndarray:
    """(n, K) log w_k + log N(u; μ_k, Σ_k) by scipy."""
    columns = [
        math.log(w) + np.atleast_1d(multivariate_normal(mean, covariance).logpdf(u))
        for w, mean, covariance in zip(rule.weights, rule.means, rule.covariances, strict=True)
    ]
    return np.column_stack(columns)


# --- Gaussian mixtures --------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32),
    n_categories=st.integers(1, 6),
    dimensions=st.integers(1, 4),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_a_category_is_the_region_of_the_most_probable_component(seed, n_categories, dimensions, scale):
    rule = random_mixture(seed, n_categories, dimensions, scale)
    u = scale * np.random.default_rng(seed).normal(0, 4, (200, dimensions))
    scores = log_densities(rule, u)
    chosen = np.take_along_axis(scores, rule.assign(u)[:, None], axis=1)[:, 0]
    best = scores.max(axis=1)
    assert np.all(chosen >= best - 1e-9 * (1 + np.abs(best)))
    assert rule.n_categories == n_categories
    assert rule.dimensions == dimensions


def test_categories_far_from_zero_keep_their_digits():
    """Components 10 wide, 10⁹ from zero: squares of the values themselves would have no digit left."""
    rule = GaussianMixtureRule(
        weights=(0.5, 0.5),
        means=((1_250_000_000.0,), (1_250_000_020.0,)),
        covariances=(((100.0,),), ((100.0,),)),
    )
    assert rule.assign(np.array([[1_250_000_009.9], [1_250_000_010.1]])).tolist() == [0, 1]


@pytest.mark.parametrize("n", [0, 1, 8191, 8192, 8193, 20_000])
def test_events_do_not_depend_on_their_neighbours(n):
    u = np.random.default_rng(1).normal(0, 2, (20_000, 2))
    expected = np.concatenate([MIXTURE.assign(part) for part in np.array_split(u, 23)])
    category = MIXTURE.assign(u[:n])
    assert category.dtype == np.int64
    assert np.array_equal(category, expected[:n])


@given(order=st.permutations(range(3)))
def test_components_can_be_put_in_order(order):
    u = np.random.default_rng(2).normal(0, 2, (500, 2))
    reordered = MIXTURE.select(order)
    assert np.array_equal(np.array(order)[reordered.assign(u)], MIXTURE.assign(u))


def test_the_region_of_a_component_left_out_falls_to_its_neighbours():
    u = np.random.default_rng(2).normal(0, 2, (500, 2))
    fewer = MIXTURE.without(1)
    assert fewer.n_categories == 2
    assert sum(fewer.weights) == pytest.approx(1.0)
    expected = log_densities(MIXTURE, u)[:, [0, 2]].argmax(axis=1)
    assert np.array_equal(fewer.assign(u), expected)


# --- bins ---------------------------------------------------------------------------------------------------


@given(
    edges=st.lists(
        st.lists(st.integers(-20, 20), max_size=4, unique=True).map(sorted), min_size=1, max_size=3
    ),
    data=st.data(),
)
def test_a_grid_counts_edges_at_or_below(edges, data):
    rule = GridRule(edges=tuple(tuple(map(float, e)) for e in edges))
    values = st.one_of(st.floats(-25, 25), st.integers(-21, 21).map(float))
    u = data.draw(arrays(np.float64, (20, len(edges)), elements=values))
    expected = np.zeros(len(u), int)
    for column, e in zip(u.T, edges, strict=True):
        expected = expected * (len(e) + 1) + [sum(edge <= value for edge in e) for value in column]
    assert np.array_equal(rule.assign(u), expected)
    assert rule.n_categories == math.prod(len(e) + 1 for e in edges)
    assert rule.dimensions == len(edges)


@pytest.mark.parametrize(
    ("u", "category"),
    [
        (-1e300, 0),
        (np.nextafter(0.5, 0), 0),
        (0.5, 1),
        (np.nextafter(0.75, 1), 2),
        (0.75, 2),
        (1e300, 2),
    ],
)
def test_a_value_on_an_edge_belongs_to_the_upper_bin(u, category):
    assert GridRule(edges=((0.5, 0.75),)).assign(np.array([[u]])).tolist() == [category]


def test_the_last_coordinate_of_a_grid_runs_fastest():
    rule = GridRule(edges=((0.0,), (0.0, 1.0)))
    u = np.array(list(itertools.product([-1.0, 1.0], [-1.0, 0.5, 2.0])))
    assert rule.assign(u).tolist() == [0, 1, 2, 3, 4, 5]


ARGMAX = ArgmaxRule(edges=((0.5, 0.75), (), (0.4,)))


@pytest.mark.parametrize(
    ("scores", "category"),
    [
        ([0.45, 0.30, 0.25], 0),
        ([0.50, 0.30, 0.20], 1),
        ([0.75, 0.25, 0.00], 2),
        ([0.10, 0.80, 0.10], 3),
        ([0.35, 0.26, 0.39], 4),
        ([0.10, 0.50, 0.50], 3),  # of equal scores the first counts
        ([0.00, 0.00, 1.00], 5),
        ([0.30, 0.30, 0.40], 5),
    ],
)
def test_argmax_divides_the_class_of_the_largest_score(scores, category):
    assert ARGMAX.assign(np.array([scores])).tolist() == [category]
    assert ARGMAX.n_categories == 6
    assert ARGMAX.dimensions == 3


@pytest.mark.parametrize("rule", [GridRule(edges=((0.5,), (0.1,))), ArgmaxRule(edges=((), ()))])
def test_rules_take_no_events(rule):
    category = rule.assign(np.zeros((0, 2)))
    assert category.shape == (0,)
    assert category.dtype == np.int64


RULE_ERRORS = {
    "weights": (
        lambda: GaussianMixtureRule(weights=(0.5, 0.4), means=((0.0,), (1.0,)), covariances=(((1.0,),),) * 2),
        r"weights must be positive and sum to 1, got \(0.5, 0.4\)",
    ),
    "no weight": (
        lambda: GaussianMixtureRule(weights=(1.0, 0.0), means=((0.0,), (1.0,)), covariances=(((1.0,),),) * 2),
        r"weights must be positive",
    ),
    "shapes": (
        lambda: GaussianMixtureRule(weights=(1.0,), means=((0.0,), (1.0,)), covariances=(((1.0,),),)),
        r"shapes \(K,\), \(K, d\), \(K, d, d\), got \(\(1,\), \(2, 1\), \(1, 1, 1\)\)",
    ),
    "ragged": (
        lambda: GaussianMixtureRule(weights=(0.5, 0.5), means=((0.0,), (1.0, 2.0)), covariances=()),
        "inhomogeneous",
    ),
    "nothing": (lambda: GaussianMixtureRule(weights=(), means=(), covariances=()), "weights"),
    "not symmetric": (
        lambda: GaussianMixtureRule(
            weights=(1.0,), means=((0.0, 0.0),), covariances=(((1.0, 0.5), (-0.5, 1.0)),)
        ),
        r"covariances\[0\] must be symmetric",
    ),
    "small and not symmetric": (
        lambda: GaussianMixtureRule(
            weights=(1.0,), means=((0.0, 0.0),), covariances=(((1e-9, 5e-10), (-5e-10, 1e-9)),)
        ),
        r"covariances\[0\] must be symmetric",
    ),
    "not positive": (
        lambda: GaussianMixtureRule(
            weights=(1.0,), means=((0.0, 0.0),), covariances=(((1.0, 2.0), (2.0, 1.0)),)
        ),
        "positive definite",
    ),
    "nan": (
        lambda: GaussianMixtureRule(weights=(1.0,), means=((math.nan,),), covariances=(((1.0,),),)),
        "finite number",
    ),
    "grid edges": (lambda: GridRule(edges=((0.5, 0.5),)), r"edges must increase, got \(0.5, 0.5\)"),
    "argmax edges": (lambda: ArgmaxRule(edges=((0.5, 0.4), ())), r"edges must increase, got \(0.5, 0.4\)"),
    "infinite edge": (lambda: GridRule(edges=((0.5, math.inf),)), "finite number"),
    "one class": (lambda: ArgmaxRule(edges=((0.5,),)), "at least 2 items"),
}


@pytest.mark.parametrize(("make", "message"), RULE_ERRORS.values(), ids=RULE_ERRORS)
def test_what_is_no_rule_is_refused_with_the_reason(make, message):
    with pytest.raises(ValidationError, match=message):
        make()


# --- events -------------------------------------------------------------------------------------------------


def events() -> tuple[np.ndarray, np.ndarray]:
    """Softmax scores of 300 events, every seventh without p_qqH, and their categories."""
    z = np.random.default_rng(4).normal(0, 3, (300, 3))
    x = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    u = np.column_stack([z[:, 0] - z[:, 2], z[:, 1] - z[:, 2]])
    expected = log_densities(MIXTURE, u).argmax(axis=1)
    x[::7, 1] = -999.0
    expected[::7] = UNCATEGORISED
    return x, expected


X, EXPECTED = events()
COLUMNS = dict(zip(SCORES, X.T, strict=True))
CONTAINERS = {
    "array": X,
    "rows": X.tolist(),
    "mapping": {**COLUMNS, "weight": np.ones(300)},
    "mapping of awkward arrays": {name: ak.Array(column) for name, column in COLUMNS.items()},
    "records": ak.zip({**COLUMNS, "jets": ak.Array([[1.0, 2.0], []] * 150)}, depth_limit=1),
    "records in another order": ak.zip({name: COLUMNS[name] for name in reversed(SCORES)}),
    "option type": ak.zip({name: ak.mask(ak.Array(c), [True] * 300) for name, c in COLUMNS.items()}),
}


@pytest.mark.parametrize("values", CONTAINERS.values(), ids=CONTAINERS)
def test_events_get_the_same_category_from_every_container(values):
    category = categorizer()(values)
    assert type(category) is np.ndarray
    assert category.dtype == np.int64
    assert np.array_equal(category, EXPECTED)
    assert set(category) == {UNCATEGORISED, 0, 1, 2}


@pytest.mark.parametrize("sentinel", [-999.0, math.nan, -99.9])
def test_single_precision_events_are_found_missing(sentinel):
    x = X.astype(np.float32)
    x[::7, 1] = sentinel
    assert np.array_equal(categorizer(sentinel)(x) == UNCATEGORISED, EXPECTED == UNCATEGORISED)


def test_features_that_are_not_finite_are_an_error_or_uncategorised():
    x = X.copy()
    x[1, 0], x[2, 2], x[7, 0] = np.nan, np.inf, np.nan  # event 7 is missing, whatever else it is
    with pytest.raises(InputError, match="2 of 300 events have features that are not finite"):
        categorizer()(x)
    category = categorizer()(x, invalid="uncategorised")
    expected = EXPECTED.copy()
    expected[[1, 2]] = UNCATEGORISED
    assert np.array_equal(category, expected)


def test_absent_values_are_not_finite():
    values = {**COLUMNS, "p_ggH": ak.Array([None, *X[1:, 0]])}
    values["p_qqH"] = np.where(X[:, 1] == -999.0, 0.5, X[:, 1])
    with pytest.raises(InputError, match="1 of 300 events"):
        categorizer()(values)


@pytest.mark.parametrize("invalid", ["ignore", None, True])
def test_what_to_do_with_invalid_events_is_one_of_two(invalid):
    with pytest.raises(ConfigError, match=rf"'raise' or 'uncategorised', got {invalid!r}"):
        categorizer()(X, invalid=invalid)


def test_no_events_have_no_categories():
    for values in (X[:0], ak.zip(COLUMNS)[:0]):
        assert categorizer()(values).shape == (0,)


@pytest.mark.parametrize("names", [["p_ggH", "p_bkg"], []])
def test_absent_features_are_named(names):
    with pytest.raises(InputError, match=r"features \['p_"):
        categorizer()({name: COLUMNS[name] for name in names})


# --- files --------------------------------------------------------------------------------------------------


def test_a_categorizer_equals_the_golden_file(tmp_path):
    categorizer().save(tmp_path / "categorizer.json")
    text = (tmp_path / "categorizer.json").read_text(encoding="utf-8")
    if os.environ.get("CORTADO_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")
    assert Categorizer.load(GOLDEN) == categorizer()


RULES = {
    "mixture": lambda seed: random_mixture(seed, 4, 2),
    "grid": lambda seed: GridRule(edges=nested(np.sort(np.random.default_rng(seed).normal(size=(2, 3))))),
    "argmax": lambda seed: ArgmaxRule(
        edges=nested(np.sort(np.random.default_rng(seed).uniform(size=(2, 3))))
    ),
}


@pytest.mark.parametrize("make", RULES.values(), ids=RULES)
@given(seed=st.integers(0, 2**32))
def test_a_file_gives_the_same_categories_bit_by_bit(tmp_path_factory, make, seed):
    path = tmp_path_factory.mktemp("categorizer") / "categorizer.json"
    original = Categorizer(features=Features.declare(["a", "b"], missing={"a": math.nan}), rule=make(seed))
    original.save(path)
    loaded = Categorizer.load(path)
    x = np.random.default_rng(seed).normal(0, 2, (1000, 2))
    assert np.array_equal(loaded(x), original(x))
    assert loaded == original
    assert loaded.digest == original.digest


def test_the_digest_tells_regions_apart():
    moved = MIXTURE.model_copy(update={"means": ((1e-15, 0.0), *MIXTURE.means[1:])})
    other = Categorizer(features=categorizer().features, rule=moved)
    renamed = categorizer().model_copy(update={"labels": ("a", "b", "c"), "training": None})
    assert len(categorizer().digest) == 64
    assert categorizer().digest == renamed.digest != other.digest
    assert categorizer().digest != categorizer(-1.0).digest


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in document.items() if k != key}


FILE_ERRORS = {
    "unknown field": (lambda d: {**d, "comment": "mine"}, "comment: unknown key"),
    "unknown field of the rule": (
        lambda d: {**d, "rule": {**d["rule"], "scale": 2}},
        "rule.gaussian_mixture.scale: unknown key",
    ),
    "version": (lambda d: {**d, "version": 2}, r"version: Input should be 1 \(got 2\)"),
    "format": (lambda d: {**d, "format": "correction"}, r"format: .*'cortado-categorizer'.*'correction'"),
    "no features": (lambda d: without(d, "features"), "features: is required"),
    "kind of rule": (lambda d: {**d, "rule": {"kind": "forest"}}, "rule: .*'forest'.*'gaussian_mixture'"),
    "nan": (
        lambda d: {**d, "rule": {**d["rule"], "weights": [0.5, math.nan, 0.5]}},
        r"rule.gaussian_mixture.weights.1: .*finite number \(got nan\)",
    ),
    "infinity": (
        lambda d: {**d, "rule": {"kind": "grid", "edges": [[math.inf], []]}},
        r"rule.grid.edges.0.0: .*finite number \(got inf\)",
    ),
    "word": (lambda d: {**d, "rule": {"kind": "grid", "edges": [["x"], []]}}, r"edges.0.0: .*\(got 'x'\)"),
    "shapes": (
        lambda d: {**d, "rule": {**d["rule"], "weights": [0.5, 0.5]}},
        "rule.gaussian_mixture: weights, means and covariances must have shapes",
    ),
    "dimensions": (
        lambda d: {**d, "rule": {"kind": "grid", "edges": [[0.5]]}, "labels": ["0", "1"]},
        "the rule has 1 coordinates, the features give 2",
    ),
    "labels": (
        lambda d: {**d, "labels": ["a", "b", "b"]},
        r"labels must be 3 distinct names, got \['a', 'b',",
    ),
    "no labels": (lambda d: without(d, "labels"), "labels must be 3 distinct names"),
}


@pytest.mark.parametrize(("change", "message"), FILE_ERRORS.values(), ids=FILE_ERRORS)
def test_a_file_that_cannot_be_meant_is_refused_with_the_reason(tmp_path, change, message):
    path = tmp_path / "categorizer.json"
    path.write_text(json.dumps(change(json.loads(GOLDEN.read_text(encoding="utf-8")))), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        Categorizer.load(path)
    assert "categorizer.json is not a valid categorizer" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\x89PNG\xff", b"[]", b'"text"', b"null"])
def test_a_file_that_is_something_else_is_refused(tmp_path, content):
    path = tmp_path / "categorizer.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"categorizer\.json is not a valid categorizer: ."):
        Categorizer.load(path)


def test_a_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the categorizer .*absent\.json: No such file"):
        Categorizer.load(tmp_path / "absent.json")


# --- baselines ----------------------------------------------------------------------------------------------


@given(n=st.integers(1, 300), axes=st.integers(1, 4))
def test_even_factors_use_the_categories_as_well_as_they_can(n, axes):
    factors = even_factors(n, axes)
    assert len(factors) == axes
    assert math.prod(factors) <= n
    assert max(factors) - min(factors) <= 1
    candidates = [
        math.prod([low + 1] * more + [low] * (axes - more))
        for low in range(1, n + 1)
        for more in range(axes)
        if low**axes <= n
    ]
    assert math.prod(factors) == max(c for c in candidates if c <= n)


@pytest.mark.parametrize("n_categories", [2, 5, 20])
def test_equidistant_bins_of_softmax_scores_are_those_of_the_background(n_categories):
    baseline = equidistant(Features.declare(SCORES, "logratio"), n_categories, {})
    assert baseline.n_categories == n_categories
    p = (np.arange(1000) + 0.5) / 1000
    category = baseline(np.column_stack([1 - p, 0 * p, p]))
    assert np.array_equal(category, np.floor(p * n_categories).astype(int))
    assert baseline(np.array([[0.0, 0.0, 1.0]])).tolist() == [n_categories - 1]


def test_equidistant_bins_of_other_features_fill_their_ranges():
    features = Features.declare(
        ["m", "q", "p"],
        [
            Linear(features=("m",), range=(20.0, 140.0)),
            {"kind": "identity", "features": ["q"]},
            {"kind": "logit", "features": ["p"]},
        ],
        {"q": -999.0},
    )
    baseline = equidistant(features, 12, {"q": (-1.0, 1.0)})
    assert baseline.rule == GridRule(edges=((60.0, 100.0), (0.0,), (0.5,)))
    assert baseline.features.names == ("m", "q", "p")
    x = [[30.0, -0.5, 0.1], [30.0, -0.5, 0.9], [30.0, 0.5, 0.1], [70.0, -5.0, 0.0], [500.0, 5.0, 1.0]]
    assert baseline([*x, [30.0, -999.0, 0.1]]).tolist() == [0, 1, 2, 4, 11, UNCATEGORISED]


@pytest.mark.parametrize(("n_categories", "expected"), [(2, 3), (3, 3), (4, 5), (5, 5), (6, 7), (20, 21)])
def test_argmax_projections_have_at_least_as_many_categories(n_categories, expected):
    baseline = argmax_projections(Features.declare(SCORES, "logratio"), n_categories)
    assert baseline is not None
    assert baseline.n_categories == expected


def test_argmax_projections_divide_each_signal_from_one_over_the_classes_to_one():
    baseline = argmax_projections(Features.declare(SCORES, "logratio"), 5)
    assert baseline is not None
    x = [[0.4, 0.3, 0.3], [0.7, 0.1, 0.2], [0.3, 0.4, 0.3], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4], [0.0, 0.0, 1.0]]
    assert baseline(x).tolist() == [0, 1, 2, 3, 4, 4]
    assert isinstance(baseline.rule, ArgmaxRule)
    assert list(map(len, baseline.rule.edges)) == [1, 1, 0]
    assert [edge for edges in baseline.rule.edges for edge in edges] == pytest.approx([2 / 3, 2 / 3])


def test_argmax_projections_follow_the_order_of_the_scores_not_of_the_columns():
    features = Features.declare(SCORES, [{"kind": "logratio", "features": ["p_bkg", "p_qqH", "p_ggH"]}])
    baseline = argmax_projections(features, 3)
    assert baseline is not None
    assert baseline({"p_ggH": [0.9, 0.0], "p_qqH": [0.1, 0.1], "p_bkg": [0.0, 0.9]}).tolist() == [2, 0]


@pytest.mark.parametrize(
    "coordinates",
    [
        "identity",
        "logit",
        [{"kind": "logratio", "features": SCORES[:2]}, {"kind": "logit", "features": SCORES[2:]}],
    ],
)
def test_only_softmax_scores_have_argmax_projections(coordinates):
    assert argmax_projections(Features.declare(SCORES, coordinates), 5) is None


@pytest.mark.parametrize(
    ("n_categories", "message"),
    [(0, "number of categories must be at least 1, got 0"), (4, r"ranges must hold .*\['a'\] have none")],
)
def test_baselines_that_cannot_be_made_are_refused(n_categories, message):
    ranges = {} if n_categories else {"a": (0.0, 1.0)}
    with pytest.raises(ConfigError, match=message):
        equidistant(Features.declare(["a"]), n_categories, ranges)
