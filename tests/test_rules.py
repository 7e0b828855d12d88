"""Rules: exact regions, and what all of them have in common.

Laws are asserted over tables of rules: of what models freeze into, and of those in one coordinate.
"""

import itertools
import math
import pickle
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import TypeAdapter, ValidationError
from scipy.stats import multivariate_normal

from cortado.categorizer import (
    ArgmaxRule,
    GaussianMixtureRule,
    GridRule,
    Intervals,
    MaxAffineRule,
    TableRule,
)
from cortado.categorizer.rules import ModelRule, Rule, table
from cortado.errors import ConfigError

MIXTURE = GaussianMixtureRule(
    weights=(0.5, 0.3, 0.2),
    means=((0.0, 0.0), (2.5, -1.0), (-1.0, 3.0)),
    covariances=(((1.0, 0.25), (0.25, 2.0)), ((0.5, 0.0), (0.0, 0.5)), ((2.0, -0.5), (-0.5, 1.0))),
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


# --- laws of the rules that models freeze into --------------------------------------------------------------


def random_affine(seed: int, n_categories: int, exponential: tuple[bool, ...]) -> MaxAffineRule:
    rng = np.random.default_rng(seed)
    return MaxAffineRule(
        slopes=nested(rng.normal(size=(n_categories, len(exponential)))),
        offsets=nested(rng.normal(size=n_categories)),
        exponential=exponential,
    )


def numbered(categories: np.ndarray) -> np.ndarray:
    """The categories without gaps in their numbers."""
    return np.unique(categories, return_inverse=True)[1].reshape(-1).astype(np.int64)


def random_table(seed: int, n_categories: int, dimensions: int) -> TableRule:
    rng = np.random.default_rng(seed)
    keys = np.unique(rng.integers(-6, 6, (40, dimensions)), axis=0)
    widths = rng.uniform(0.3, 0.8, dimensions)
    return TableRule.from_cells(widths, keys, numbered(rng.integers(0, n_categories, len(keys))))


def random_grid(seed: int, n_categories: int | None, bins: tuple[int, ...]) -> GridRule:
    rng = np.random.default_rng(seed)
    edges = tuple(nested(np.sort(rng.normal(0, 2, n - 1))) for n in bins)
    if n_categories is None:
        return GridRule(edges=edges)
    cells = numbered(rng.integers(0, n_categories, math.prod(bins)))
    return GridRule(edges=edges, categories=tuple(cells.tolist()))


ONE_COORDINATE: dict[str, Callable[[int], ModelRule]] = {
    "mixture, 1-D": lambda seed: random_mixture(seed, 5, 1),
    "ratio": lambda seed: random_affine(seed, 5, (True,)),
    "line": lambda seed: random_affine(seed, 5, (False,)),
    "table, 1-D": lambda seed: random_table(seed, 3, 1),
    "bins": lambda seed: random_grid(seed, None, (4,)),
    "merged bins": lambda seed: random_grid(seed, 3, (8,)),
}
MORE: dict[str, Callable[[int], ModelRule]] = {
    "mixture": lambda seed: random_mixture(seed, 4, 2),
    "ratios": lambda seed: random_affine(seed, 6, (True, True, True)),
    "ratio and line": lambda seed: random_affine(seed, 6, (True, False)),
    "table": lambda seed: random_table(seed, 4, 2),
    "table, 3-D": lambda seed: random_table(seed, 3, 3),
    "grid": lambda seed: random_grid(seed, None, (3, 2)),
    "merged grid": lambda seed: random_grid(seed, 4, (5, 4)),
    "merged grid, 3-D": lambda seed: random_grid(seed, 5, (3, 4, 2)),
}
MODEL_RULES = ONE_COORDINATE | MORE
every_model_rule = pytest.mark.parametrize("make", MODEL_RULES.values(), ids=MODEL_RULES)
every_line_rule = pytest.mark.parametrize("make", ONE_COORDINATE.values(), ids=ONE_COORDINATE)
seeds = st.integers(0, 2**32)


def places(seed: int, dimensions: int) -> np.ndarray:
    return np.random.default_rng(seed + 1).normal(0, 3, (500, dimensions))


@every_model_rule
@given(seed=seeds)
def test_a_rule_assigns_its_categories_and_survives_a_file(make, seed):
    rule = make(seed)
    u = places(seed, rule.dimensions)
    category = rule.assign(u)
    assert category.dtype == np.int64
    assert category.shape == (500,)
    assert set(category) <= set(range(rule.n_categories))
    adapter: TypeAdapter[Any] = TypeAdapter(Rule)
    loaded = adapter.validate_json(adapter.dump_json(rule))
    assert loaded == rule
    assert type(loaded) is type(rule)
    for same in (loaded, pickle.loads(pickle.dumps(rule))):
        assert np.array_equal(same.assign(u), category)
        assert np.array_equal(same.assign(u[:7]), category[:7])
        assert same.assign(u[:0]).shape == (0,)


@every_model_rule
@given(seed=seeds, data=st.data())
def test_the_regions_of_the_categories_that_stay_do_not_change(make, seed, data):
    rule = make(seed)
    order = data.draw(st.permutations(range(rule.n_categories)))
    kept = order[: data.draw(st.integers(1, len(order)))]
    u = places(seed, rule.dimensions)
    before, fewer = rule.assign(u), rule.select(kept)
    after = np.array(kept)[fewer.assign(u)]
    stays = np.isin(before, kept)
    assert np.array_equal(after[stays], before[stays])
    assert type(fewer) is type(rule)
    assert fewer.n_categories == len(kept)
    assert np.array_equal(rule.select(np.array(kept)).assign(u), fewer.assign(u))


@every_model_rule
@given(seed=seeds, data=st.data())
def test_a_category_left_out_leaves_all_others_as_they_are(make, seed, data):
    rule = make(seed)
    if rule.n_categories == 1:
        return
    category = data.draw(st.integers(0, rule.n_categories - 1))
    others = [k for k in range(rule.n_categories) if k != category]
    u = places(seed, rule.dimensions)
    before = rule.assign(u)
    ways = rule.without(category)
    assert ways
    for fewer in ways:
        assert fewer.n_categories == rule.n_categories - 1
        after = np.array(others)[fewer.assign(u)]
        assert np.array_equal(after[before != category], before[before != category])
    if not isinstance(rule, GridRule):
        (only,) = ways
        assert only == rule.select(others)


SELECTIONS = {
    "nothing": (lambda rule: rule.select([]), r"order must be distinct categories of 0 … \d+, got \[\]"),
    "twice": (lambda rule: rule.select([0, 1, 0]), r"distinct categories of 0 … \d+, got \[0, 1, 0\]"),
    "unknown": (lambda rule: rule.select([0, 99]), r"categories of 0 … \d+, got \[0, 99\]"),
    "negative": (lambda rule: rule.select([-1]), r"categories of 0 … \d+, got \[-1\]"),
    "without unknown": (lambda rule: rule.without(99), r"category must be one of 0 … \d+ .*, got 99"),
    "without negative": (lambda rule: rule.without(-1), r"category must be one of 0 … \d+ .*, got -1"),
    "without the only one": (lambda rule: rule.select([1]).without(0), "0 … 0 and not the only one, got 0"),
}


@pytest.mark.parametrize(("change", "message"), SELECTIONS.values(), ids=SELECTIONS)
@every_model_rule
def test_a_selection_that_cannot_be_is_refused(make, change, message):
    with pytest.raises(ConfigError, match=message):
        change(make(1))


# --- boundaries ---------------------------------------------------------------------------------------------


def check_intervals(found: Intervals) -> None:
    assert len(found.categories) == len(found.edges) + 1
    assert np.all(np.diff(found.edges) > 0)
    assert np.all(np.diff(found.categories) != 0)


@every_line_rule
@given(seed=seeds)
def test_boundaries_give_the_category_of_every_place(make, seed):
    rule = make(seed)
    found = rule.boundaries()
    check_intervals(found)
    u = places(seed, 1)
    edges = found.edges
    below = np.nextafter(edges, -np.inf)
    assert np.array_equal(rule.assign(u), found.categories[np.searchsorted(edges, u[:, 0], side="right")])
    assert np.array_equal(rule.assign(edges[:, None]), found.categories[1:])
    assert np.array_equal(rule.assign(below[:, None]), found.categories[:-1])
    assert np.array_equal(found.assign(u[:, 0]), rule.assign(u))


@pytest.mark.parametrize("make", MORE.values(), ids=MORE)
def test_several_coordinates_have_no_boundaries(make):
    with pytest.raises(ConfigError, match=r"only a rule of one coordinate has boundaries, this has [23]"):
        make(1).boundaries()


def test_scores_of_several_classes_have_no_boundaries():
    with pytest.raises(ConfigError, match="this has 2"):
        ArgmaxRule(edges=((), ())).boundaries()


def one_dimensional(weights: Sequence[float], means: Sequence[float], sigmas: Sequence[float]):
    total = math.fsum(weights)
    return GaussianMixtureRule(
        weights=tuple(w / total for w in weights),
        means=tuple((m,) for m in means),
        covariances=tuple(((s * s,),) for s in sigmas),
    )


def line_scores(rule: GaussianMixtureRule, u: np.ndarray) -> np.ndarray:
    """(n, K) log w_k + log N(u; μ_k, σ_k), without a constant."""
    sigmas = np.sqrt(np.array(rule.covariances)[:, 0, 0])
    z = (u[:, None] - np.array(rule.means)[:, 0]) / sigmas
    return np.log(rule.weights) - np.log(sigmas) - 0.5 * z * z


components = st.tuples(
    st.floats(-20, 0).map(math.exp),
    st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3)),
    st.one_of(st.sampled_from([1.0, 2.0, 1 + 1e-15]), st.floats(-6, 6).map(lambda x: 10.0**x)),
)


@given(
    mixture=st.lists(components, min_size=1, max_size=5), twice=st.booleans(), shift=st.sampled_from([0, 1e6])
)
def test_the_component_of_an_interval_is_the_most_probable_one(mixture, twice, shift):
    """Over twelve orders of magnitude in widths, and with components that are the same up to rounding."""
    weights, means, sigmas = zip(*(mixture * 2 if twice else mixture), strict=True)
    means = tuple(m + shift for m in means)
    rule = one_dimensional(weights, means, sigmas)
    found = rule.boundaries()
    check_intervals(found)
    steps = np.concatenate([np.logspace(-7, 7, 29), [0.0]])
    near = [e + s for e in (*found.edges, *means) for s in (*steps, *-steps)]
    u = np.array(near)
    scores = line_scores(rule, u)
    best = scores.max(axis=1)
    chosen = scores[np.arange(len(u)), rule.assign(u[:, None])]
    # A place has no more digits than its number: an error of the place is one of the score.
    slope = np.abs((u[:, None] - np.array(means)) / np.array(sigmas) ** 2).max(axis=1)
    rounding = 1e-12 * (1 + np.abs(best)) + 4 * np.finfo(float).eps * slope * np.abs(u)
    assert np.all(chosen >= best - rounding)


MIXTURES = {
    "two alike": (one_dimensional([1, 1], [-1, 3], [1, 1]), [1.0], [0, 1]),
    "unequal weights": (one_dimensional([math.e**2, 1], [0, 2], [1, 1]), [2.0], [0, 1]),
    "narrow in wide": (
        one_dimensional([1, 1], [0, 0], [1, 2]),
        [-math.sqrt(8 / 3 * math.log(2)), math.sqrt(8 / 3 * math.log(2))],
        [1, 0, 1],
    ),
    "very narrow": (
        one_dimensional([1, 1], [1, 0], [1e-9, 1e9]),
        [1 - 1e-9 * math.sqrt(2 * math.log(1e18)), 1 + 1e-9 * math.sqrt(2 * math.log(1e18))],
        [1, 0, 1],
    ),
    "wide around very narrow": (
        one_dimensional([1, 1], [0, 1], [1e9, 1e-9]),
        [1 - 1e-9 * math.sqrt(2 * math.log(1e18)), 1 + 1e-9 * math.sqrt(2 * math.log(1e18))],
        [0, 1, 0],
    ),
    "far from zero": (one_dimensional([1, 1.001], [1e9, 1e9], [1, 1]), [], [1]),
    "touching": (one_dimensional([1, 2], [0, 0], [1, 2]), [], [1]),
    "touching between others": (
        one_dimensional([1, 2, 1, 1], [0, 0, -3, 3], [1, 2, 1, 1]),
        [-6.0, -2.0, 2.0, 6.0],
        [1, 2, 1, 3, 1],
    ),
    "never the largest": (one_dimensional([1, 1e-9, 1], [-1, 0, 1], [1, 1, 1]), [0.0], [0, 2]),
    "the same twice": (one_dimensional([1, 1, 1], [0, 0, 1], [1, 1, 1]), [0.5], [0, 2]),
    "three meet": (one_dimensional([1, 1, 1], [-1, 0, 1], [1, 1, 1]), [-0.5, 0.5], [0, 1, 2]),
    "one": (one_dimensional([1], [5], [2]), [], [0]),
}


@pytest.mark.parametrize(("rule", "edges", "categories"), MIXTURES.values(), ids=MIXTURES)
def test_boundaries_of_mixtures_known_in_closed_form(rule, edges, categories):
    found = rule.boundaries()
    assert found.categories.tolist() == categories
    np.testing.assert_allclose(found.edges, edges, rtol=1e-14, atol=1e-15)


def exact_lines(
    slopes: Sequence[int], offsets: Sequence[int], positive: bool
) -> tuple[list[Fraction], list[int]]:
    """Boundaries and categories of argmax_k [a_k φ + c_k] in rational numbers, for φ > 0 or all φ."""
    lines = list(zip(slopes, offsets, strict=True))
    roots = {Fraction(c - e, b - a) for (a, c), (b, e) in itertools.combinations(lines, 2) if a != b}
    edges = sorted(r for r in roots if r > 0 or not positive)
    ends = [Fraction(0) if positive else (edges or [Fraction(0)])[0] - 2, (edges or [Fraction(0)])[-1] + 2]
    inside = [(a + b) / 2 for a, b in itertools.pairwise([ends[0], *edges, ends[1]])]
    winners = [max(range(len(lines)), key=lambda k: (lines[k][0] * x + lines[k][1], -k)) for x in inside]
    changes = [i for i in range(len(edges)) if winners[i] != winners[i + 1]]
    return [edges[i] for i in changes], [winners[0], *(winners[i + 1] for i in changes)]


@pytest.mark.parametrize("exponential", [True, False])
@given(lines=st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=7))
def test_boundaries_of_lines_equal_those_in_rational_numbers(exponential, lines):
    slopes, offsets = zip(*lines, strict=True)
    rule = MaxAffineRule(
        slopes=tuple((float(a),) for a in slopes),
        offsets=tuple(map(float, offsets)),
        exponential=(exponential,),
    )
    found = rule.boundaries()
    edges, categories = exact_lines(slopes, offsets, exponential)
    assert found.categories.tolist() == categories
    expected = [math.log(e) if exponential else float(e) for e in edges]
    np.testing.assert_allclose(found.edges, expected, rtol=1e-15, atol=1e-15)


@given(
    edges=st.lists(st.integers(0, 3), max_size=8).map(sorted),
    data=st.data(),
)
def test_joined_intervals_are_the_same_function(edges, data):
    categories = data.draw(st.lists(st.integers(0, 2), min_size=len(edges) + 1, max_size=len(edges) + 1))
    found = Intervals.joined(np.array(edges, np.float64), np.array(categories))
    check_intervals(found)
    u = np.arange(-0.5, 4, 0.25)
    assert found.assign(u).tolist() == [categories[sum(e <= x for e in edges)] for x in u]


def test_roots_that_differ_by_rounding_are_one():
    roots = np.array([1.0, np.nan, np.nextafter(1.0, 2.0), np.inf, -2.0, np.nextafter(-2.0, 0.0)])
    found = Intervals.between_roots(roots, lambda u: np.arange(len(u)))
    assert found.edges.tolist() == [-2.0, 1.0]
    assert found.categories.tolist() == [0, 1, 2]


def test_categories_are_decided_where_digits_are_left():
    """Widths that differ by rounding cross 10¹⁵ away, too: halfway to there all densities look the same."""
    wider = 1 + 1e-15
    rule = one_dimensional([1] * 5, [0, 0, 0, -1, 38], [1, 1, wider, wider, wider])
    assert rule.assign(np.array([[-10.0], [19.1]])).tolist() == [3, 4]
    assert rule.boundaries().edges[-1] == pytest.approx(19, rel=1e-14)


# --- the largest of affine functions ------------------------------------------------------------------------


@given(seed=seeds, n_scores=st.integers(2, 5), n_categories=st.integers(1, 8))
def test_functions_of_ratios_are_those_of_the_scores_themselves(seed, n_scores, n_categories):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n_categories, n_scores))
    logs = rng.normal(0, 4, (300, n_scores))
    scores = np.exp(logs - logs.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    rule = MaxAffineRule(
        slopes=nested(matrix[:, :-1]), offsets=nested(matrix[:, -1]), exponential=(True,) * (n_scores - 1)
    )
    values = scores @ matrix.T
    chosen = values[np.arange(300), rule.assign(np.log(scores[:, :-1] / scores[:, -1:]))]
    assert np.all(chosen >= values.max(axis=1) - 1e-12)


@given(
    u=arrays(np.float64, (50, 2), elements=st.floats(-1e6, 1e6)),
    seed=seeds,
)
def test_no_exponent_is_too_large(u, seed):
    """However large the coordinates: what counts are terms near the largest one."""
    rule = random_affine(seed, 4, (True, True))
    slopes, offsets = np.array(rule.slopes), np.array(rule.offsets)
    terms = np.concatenate([slopes, offsets[:, None]], axis=1)
    exponents = np.concatenate([u, np.zeros((50, 1))], axis=1)
    category = rule.assign(u)
    for k, place in zip(category, exponents, strict=True):
        leading = np.exp(np.maximum(place - place.max(), -700))
        values = terms @ leading
        assert values[k] >= values.max() - 1e-12


def test_equal_functions_go_to_the_lower_category():
    rule = MaxAffineRule(slopes=((1.0, 0.0),) * 3, offsets=(0.0, 1.0, 1.0), exponential=(True, False))
    assert rule.assign(np.array([[0.0, 5.0], [-3.0, 1e300]])).tolist() == [1, 1]


# --- tables -------------------------------------------------------------------------------------------------


def nearest_by_hand(keys: np.ndarray, address: np.ndarray) -> list[int]:
    """Position of the nearest of sorted integer addresses, the first of equals, in Python's integers."""
    return [
        min(
            range(len(keys)),
            key=lambda i: (sum((int(a) - int(b)) ** 2 for a, b in zip(keys[i], x, strict=True)), i),
        )
        for x in address
    ]


@given(
    keys=st.integers(1, 4).flatmap(
        lambda d: st.lists(st.tuples(*[st.integers(-4, 4)] * d), min_size=1, max_size=30, unique=True)
    ),
    seed=seeds,
)
def test_a_place_has_the_category_of_the_nearest_listed_cell(keys, seed):
    rng = np.random.default_rng(seed)
    sorted_keys = np.array(sorted(keys))
    categories = numbered(rng.integers(0, 5, len(keys)))
    widths = rng.uniform(0.1, 2.0, size=(sorted_keys.shape[1],))
    rule = TableRule.from_cells(widths, sorted_keys, categories)
    shuffled = rng.permutation(len(keys))
    assert TableRule.from_cells(widths, sorted_keys[shuffled], categories[shuffled]) == rule
    address = rng.integers(-7, 7, (100, len(widths)))
    u = (address + rng.uniform(0.01, 0.99, address.shape)) * widths
    expected = categories[nearest_by_hand(sorted_keys, address)]
    assert np.array_equal(rule.assign(u), expected)


def test_many_cells_as_near_as_one_another_go_to_the_lowest():
    """The 30 cells of a lattice that are 3 from one in the middle."""
    shell = np.array([k for k in itertools.product(range(-3, 4), repeat=3) if sum(i * i for i in k) == 9])
    assert len(shell) == 30
    rule = TableRule.from_cells(np.ones(3), shell[::-1], np.arange(30)[::-1])
    assert rule.assign(np.full((1, 3), 0.5)).tolist() == [0]


@pytest.mark.parametrize("far", [1e9, 1e17, 1e300])
def test_places_far_from_all_cells_have_a_category(far):
    rule = TableRule.from_cells(np.full(2, 1e-9), np.array([[0, 0], [0, 5], [7, 0]]), np.arange(3))
    assert rule.assign(np.array([[far, 0.0], [-far, 0.0], [0.0, far]])).tolist() == [2, 0, 1]


def test_cells_with_the_same_code_are_found_nevertheless(monkeypatch):
    rule = random_table(3, 4, 2)
    u = places(3, 2)
    expected = rule.assign(u)
    monkeypatch.setattr(table, "_codes", lambda address: np.zeros(len(address), np.uint64))
    assert np.array_equal(random_table(3, 4, 2).assign(u), expected)


def test_a_copy_with_other_cells_is_another_rule():
    rule = TableRule(widths=(1.0,), keys=((0,), (1,)), categories=(0, 1))
    u = np.array([[0.5], [1.5], [2.5]])
    assert rule.assign(u).tolist() == [0, 1, 1]
    assert rule.model_copy(update={"keys": ((1,), (2,))}).assign(u).tolist() == [0, 0, 1]
    assert rule.model_copy().assign(u).tolist() == [0, 1, 1]


@given(
    keys=st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=20, unique=True).map(sorted),
    width=st.floats(1e-3, 1e3),
)
def test_an_edge_of_cells_is_the_first_number_that_division_puts_above(keys, width):
    rule = TableRule.from_cells(np.array([width]), np.array(keys)[:, None], np.arange(len(keys)))
    edges = rule.boundaries().edges
    first = np.array([(a + b) // 2 + 1 for a, b in itertools.pairwise(keys)])
    assert np.array_equal(np.floor(edges / width), first)
    away_from_zero = first != 0
    below = np.nextafter(edges, -np.inf) / width
    assert np.array_equal(np.floor(below)[away_from_zero], first[away_from_zero] - 1)


# --- merged cells of grids ----------------------------------------------------------------------------------


def test_cells_of_a_grid_can_share_a_category():
    rule = GridRule(edges=((0.0,), (0.0, 1.0)), categories=(0, 0, 2, 1, 2, 2))
    u = np.array(list(itertools.product([-1.0, 1.0], [-1.0, 0.5, 2.0])))
    assert rule.n_categories == 3
    assert rule.assign(u).tolist() == [0, 0, 2, 1, 2, 2]


def test_a_grid_of_whole_cells_looks_as_it_always_did():
    plain = GridRule(edges=((0.5,), (0.25,)))
    assert plain.model_dump_json() == '{"kind":"grid","edges":[[0.5],[0.25]]}'
    assert GridRule(edges=plain.edges, categories=(0, 1, 2, 3)) == plain
    assert GridRule(edges=plain.edges, categories=(0, 1, 3, 2)) != plain
    assert GridRule.model_validate_json('{"kind":"grid","edges":[[0.5],[0.25]],"categories":null}') == plain


@given(seed=seeds, data=st.data())
def test_a_cell_falls_to_the_nearest_cell_by_steps_through_faces(seed, data):
    bins = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple))
    rule = random_grid(seed, 5, bins)
    whole = rule.categories or tuple(range(math.prod(bins)))
    order = data.draw(st.permutations(range(rule.n_categories)))
    kept = order[: data.draw(st.integers(1, len(order)))]
    cells = list(itertools.product(*map(range, bins)))
    remaining = [(cell, k) for cell, k in zip(cells, whole, strict=True) if k in kept]
    expected = [
        kept.index(
            min(remaining, key=lambda r: (sum(abs(a - b) for a, b in zip(r[0], cell, strict=True)), r[1]))[1]
        )
        for cell in cells
    ]
    fewer = rule.select(kept)
    assert list(fewer.categories or range(math.prod(bins))) == expected


def test_a_category_can_be_merged_into_each_of_its_neighbours():
    """
    0 0 1
    2 3 1
    4 3 5
    """
    rule = GridRule(edges=((0.0, 1.0), (0.0, 1.0)), categories=(0, 0, 1, 2, 3, 1, 4, 3, 5))
    expected = [
        (0, 0, 1, 2, 0, 1, 3, 0, 4),
        (0, 0, 1, 2, 1, 1, 3, 1, 4),
        (0, 0, 1, 2, 2, 1, 3, 2, 4),
        (0, 0, 1, 2, 3, 1, 3, 3, 4),
        (0, 0, 1, 2, 4, 1, 3, 4, 4),
    ]
    assert [way.categories for way in rule.without(3)] == expected
    assert [way.categories for way in rule.without(4)] == [
        (0, 0, 1, 2, 3, 1, 2, 3, 4),
        (0, 0, 1, 2, 3, 1, 3, 3, 4),
    ]


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


def test_the_region_of_a_component_left_out_falls_to_its_neighbours():
    u = np.random.default_rng(2).normal(0, 2, (500, 2))
    (fewer,) = MIXTURE.without(1)
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


# --- errors -------------------------------------------------------------------------------------------------


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
        "ragged",
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
    "affine shapes": (
        lambda: MaxAffineRule(slopes=((1.0, 2.0),), offsets=(0.0,), exponential=(True,)),
        r"shapes \(K, d\), \(K,\), \(d,\), got \(\(1, 2\), \(1,\), \(1,\)\)",
    ),
    "affine offsets": (
        lambda: MaxAffineRule(slopes=((1.0,), (2.0,)), offsets=(0.0,), exponential=(True,)),
        r"got \(\(2, 1\), \(1,\), \(1,\)\)",
    ),
    "no function": (lambda: MaxAffineRule(slopes=(), offsets=(), exponential=(True,)), "at least 1 item"),
    "no coordinate": (lambda: MaxAffineRule(slopes=((),), offsets=(0.0,), exponential=()), "at least 1 item"),
    "width": (lambda: TableRule(widths=(0.0,), keys=((0,),), categories=(0,)), "greater than 0"),
    "no cell": (lambda: TableRule(widths=(1.0,), keys=(), categories=()), "at least 1 item"),
    "key of two numbers": (
        lambda: TableRule(widths=(1.0,), keys=((0,), (1, 2)), categories=(0, 0)),
        "keys must be 1 integers each, one for each of widths",
    ),
    "key that is no integer": (
        lambda: TableRule.model_validate({"widths": [1.0], "keys": [[0.5]], "categories": [0]}),
        "valid integer",
    ),
    "distant key": (
        lambda: TableRule(widths=(1.0,), keys=((2**60,),), categories=(0,)),
        "less than or equal to 9007199254740992",
    ),
    "key twice": (
        lambda: TableRule.from_cells(np.ones(2), np.zeros((2, 2), int), np.arange(2)),
        r"keys must be distinct and increase, got \(0, 0\) before \(0, 0\)",
    ),
    "unsorted keys": (
        lambda: TableRule(widths=(1.0,), keys=((1,), (0,)), categories=(0, 1)),
        r"keys must be distinct and increase, got \(1,\) before \(0,\)",
    ),
    "category without a cell": (
        lambda: TableRule(widths=(1.0,), keys=((0,), (1,)), categories=(0, 2)),
        "categories must be 0 … K − 1, all of them, one for each of 2 keys",
    ),
    "cell without a category": (
        lambda: TableRule(widths=(1.0,), keys=((0,), (1,)), categories=(0,)),
        "one for each of 2 keys",
    ),
    "negative category": (
        lambda: TableRule(widths=(1.0,), keys=((0,), (1,)), categories=(0, -1)),
        "categories must be 0 … K − 1",
    ),
    "cells of a grid": (
        lambda: GridRule(edges=((0.0,), (1.0,)), categories=(0, 1, 2)),
        "categories must be 0 … K − 1, all of them, one for each of 4 cells",
    ),
    "a gap in a grid": (
        lambda: GridRule(edges=((0.0,),), categories=(0, 2)),
        "categories must be 0 … K − 1, all of them",
    ),
    "edges and categories": (
        lambda: GridRule(edges=((0.5, 0.5),), categories=(0, 1)),
        r"edges must increase, got \(0.5, 0.5\)",
    ),
}


@pytest.mark.parametrize(("make", "message"), RULE_ERRORS.values(), ids=RULE_ERRORS)
def test_what_is_no_rule_is_refused_with_the_reason(make, message):
    with pytest.raises(ValidationError, match=message):
        make()


def test_arrays_that_do_not_fit_together_are_no_table():
    with pytest.raises(ConfigError, match=r"shapes \(n, d\) and \(n,\), got \(2, 1\) and \(3,\)"):
        TableRule.from_cells(np.ones(1), np.array([[0], [1]]), np.arange(3))


def test_far_points_of_a_mixture_belong_to_the_widest_component_in_their_direction():
    """Also where squares are no numbers any more; warnings are errors."""
    rule = GaussianMixtureRule(
        weights=(0.3, 0.3, 0.4),
        means=((0.0, 0.0), (5.0, 0.0), (0.0, 5.0)),
        covariances=(((1.0, 0.0), (0.0, 1.0)), ((4.0, 0.0), (0.0, 1.0)), ((1.0, 0.0), (0.0, 9.0))),
    )
    directions = np.array([[1.0, 0.1], [0.1, 1.0], [-1.0, -0.2], [-0.2, -1.0], [1e-3, -1.0]])
    near = rule.assign(1e8 * directions)
    assert near.tolist() == [1, 2, 1, 2, 2]
    for distance in (1e100, 1e150, 1e160, 1e200, 1.7e308):
        assert rule.assign(distance * directions).tolist() == near.tolist()
    mixed = np.concatenate([1e170 * directions, directions])
    assert rule.assign(mixed)[5:].tolist() == rule.assign(directions).tolist()
