"""Categorizers: exact regions, the same answer from every container, and files that cannot be misread.

The file in ``golden/`` is what a categorizer looks like. After a change that is meant, write it anew with
``CORTADO_UPDATE_GOLDEN=1 pytest tests/test_categorizer.py`` and look at the difference.
"""

import json
import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import jsonschema
import numpy as np
import pytest
from coffea.analysis_tools import PackedSelection
from hypothesis import given
from hypothesis import strategies as st

from cortado.categorizer import (
    UNCATEGORISED,
    ArgmaxRule,
    Categorizer,
    Expected,
    GaussianMixtureRule,
    GridRule,
    MaxAffineRule,
    TableRule,
    Training,
    argmax_projections,
    equidistant,
)
from cortado.categorizer.baselines import even_factors
from cortado.coordinates import Features, Linear
from cortado.errors import ConfigError, InputError

GOLDEN = Path(__file__).parent / "golden" / "categorizer.json"
SCHEMA = Path(__file__).parents[1] / "docs" / "categorizer.schema.json"
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
            signals=("ggH", "qqH"),
            processes=("DY", "ggH", "qqH"),
            n_folds=2,
            seed=1,
            objective=0.5,
            sample="0" * 64,
            expected=(
                Expected(
                    events="training cells",
                    significances={"ggH": 0.5, "qqH": 0.5},
                    objective=0.5,
                    yields={"DY": (90.0, 9.0, 9.0), "ggH": (3.0, 5.0, 0.5), "qqH": (1.0, 0.5, 5.0)},
                ),
            ),
        ),
    )


# --- events -------------------------------------------------------------------------------------------------


def events() -> tuple[np.ndarray, np.ndarray]:
    """Softmax scores of 300 events, every seventh without p_qqH, and their categories."""
    z = np.random.default_rng(4).normal(0, 3, (300, 3))
    x = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    u = np.column_stack([z[:, 0] - z[:, 2], z[:, 1] - z[:, 2]])
    expected = MIXTURE.assign(u)
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
    "structured array": np.array(list(map(tuple, X)), [(name, "f8") for name in SCORES]),
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


LISTS = {
    "lists": ak.Array([[0, 1, 2], [], [3, 4]]),
    "regular": ak.to_regular(ak.Array([[0, 1], [2, 3], [4, 5]])),
    "absent lists": ak.Array([[0, 1, 2], None, [], [3, 4]]),
    "masked lists": ak.mask(ak.Array([[0, 1, 2], [7], [], [3, 4]]), [True, False, True, True]),
    "lists of lists": ak.Array([[[0, 1], []], [], None, [None, [2, 3, 7]]]),
}


@pytest.mark.parametrize("rows", LISTS.values(), ids=LISTS)
def test_elements_of_lists_have_categories_in_the_same_lists(rows):
    category = categorizer()({name: _at(column, rows) for name, column in COLUMNS.items()})
    assert isinstance(category, ak.Array)
    assert category.tolist() == _at(EXPECTED, rows).tolist()


def _at(column: np.ndarray, rows: Any) -> Any:
    """The column at rows in lists of any depth."""
    if isinstance(rows, ak.Array):
        return ak.Array(_at(column, rows.tolist()))
    return [_at(column, r) if isinstance(r, list) else r if r is None else column[r].item() for r in rows]


def test_a_value_of_the_event_counts_for_all_elements():
    jets = ak.Array([[0.5, 0.1], [], [0.2]])
    values = {"p_ggH": jets, "p_qqH": np.array([0.1, 0.2, 0.3]), "p_bkg": 1 - jets}
    each = [
        categorizer()([[j, q, 1 - j]])[0] for js, q in zip(jets, [0.1, 0.2, 0.3], strict=True) for j in js
    ]
    category = categorizer()(values)
    assert ak.num(category).tolist() == [2, 0, 1]
    assert ak.flatten(category).tolist() == each


def test_absent_elements_are_not_finite():
    values = dict.fromkeys(SCORES, ak.Array([[0.3, None], [0.3]]))
    with pytest.raises(InputError, match="1 of 3 events have features that are not finite"):
        categorizer()(values)
    assert categorizer()(values, invalid="uncategorised").tolist() == [[0, -1], [0]]


@pytest.mark.parametrize("form", [list, np.ma.array, ak.Array])
def test_an_absent_value_of_an_event_with_lists_is_invalid_for_all_its_elements(form):
    categorizer = Categorizer(
        features=Features.declare(["a", "b"]), rule=GridRule(edges=((0.5,), (0.5,)), categories=(0, 1, 2, 3))
    )
    given = np.ma.array([0.9, 0.0], mask=[False, True]) if form is np.ma.array else form([0.9, None])
    events = {"a": ak.Array([[0.1, 0.2], [0.2]]), "b": given}
    with pytest.raises(InputError, match="1 of 3 events have features that are not finite"):
        categorizer(events)
    assert categorizer(events, invalid="uncategorised").tolist() == [[1, 1], [-1]]
    deeper = {"a": ak.Array([[[0.1, 0.2], [0.2]], []]), "b": ak.Array([[None, 0.9], []])}
    assert categorizer(deeper, invalid="uncategorised").tolist() == [[[-1, -1], [1]], []]


def test_lists_must_be_there_in_all_features_or_in_none():
    categorizer = Categorizer(features=Features.declare(["a", "b"]), rule=GridRule(edges=((0.5,), (0.5,))))
    lists = ak.Array([[0.1, 0.2], None, [0.7]])
    assert categorizer({"a": lists, "b": lists}).tolist() == [[0, 0], None, [3]]
    for other in ([[0.1, 0.2], [0.3], [0.7]], [[0.1, 0.2], None, None]):
        for values in ({"a": lists, "b": ak.Array(other)}, {"b": lists, "a": ak.Array(other)}):
            with pytest.raises(InputError, match="must be there in all of them, or absent in all"):
                categorizer(values, invalid="uncategorised")


def test_lists_must_be_equally_long():
    values = dict.fromkeys(SCORES, ak.Array([[0.3, 0.3], [0.3]])) | {"p_bkg": ak.Array([[0.3], [0.3]])}
    with pytest.raises(InputError, match="must be lists of equal lengths"):
        categorizer()(values)


def test_of_virtual_events_only_the_features_are_read():
    events = ak.zip({**COLUMNS, "other": COLUMNS["p_ggH"]}, depth_limit=1)
    form, length, buffers = ak.to_buffers(events)
    read: list[str] = []

    def reader(key: str) -> Callable[[], np.ndarray]:
        def content() -> np.ndarray:
            read.append(key)
            return buffers[key]

        return content

    virtual = ak.from_buffers(form, length, {key: reader(key) for key in buffers})
    assert np.array_equal(categorizer()(virtual), EXPECTED)
    assert len(read) == len(set(read)) == 3 < len(buffers)


def test_masks_are_for_packed_selections():
    masks = categorizer().masks(COLUMNS)
    selection = PackedSelection()
    selection.add_multiple(masks)
    assert list(masks) == ["background", "ggH", "qqH"]
    for k, label in enumerate(masks):
        assert np.array_equal(selection.all(label), k == EXPECTED)
    assert not selection.any(*masks)[EXPECTED == UNCATEGORISED].any()
    with pytest.raises(InputError, match="1 of 300 events"):
        categorizer().masks({**COLUMNS, "p_ggH": np.append(np.nan, X[1:, 0]), "p_qqH": X[:, 2]})
    with pytest.raises(InputError, match="masks need one value of each feature an event, got lists"):
        categorizer().masks(dict.fromkeys(SCORES, ak.Array([[0.3], []])))


def test_an_axis_has_a_bin_a_category_and_the_others_below():
    filled = hist.Hist(categorizer().axis("k", label="learned"))
    filled.fill(k=EXPECTED)
    counts = [np.count_nonzero(k == EXPECTED) for k in range(-1, 3)]
    assert (filled.axes[0].name, filled.axes[0].label) == ("k", "learned")
    assert filled.values(flow=True).tolist() == counts


def test_a_pickle_is_small_however_often_it_was_used():
    """A table of 10 000 cells takes about ten bytes a cell; its index would take ten times as many."""
    keys = np.random.default_rng(1).permutation(np.stack(np.divmod(np.arange(10_000), 100), axis=1))
    table = TableRule.from_cells(np.ones(2), keys, np.arange(10_000) % 7)
    for original, most in (
        (categorizer(), 3_000),
        (Categorizer(features=Features.declare(["a", "b"]), rule=table), 150_000),
    ):
        x = np.random.default_rng(2).uniform(0, 1, (1_000, len(original.features.names)))
        category = original(x)
        pickled = pickle.dumps(original)
        assert len(pickled) < most
        assert np.array_equal(pickle.loads(pickled)(x), category)
        assert pickle.loads(pickled) == original


@pytest.mark.parametrize("names", [["p_ggH", "p_bkg"], []])
def test_absent_features_are_named(names):
    with pytest.raises(InputError, match=r"features \['p_"):
        categorizer()({name: COLUMNS[name] for name in names})


# --- boundaries ---------------------------------------------------------------------------------------------

LINE = MaxAffineRule(slopes=((-1.0,), (0.0,), (1.0,)), offsets=(0.0, -0.5, -2.0), exponential=(True,))
BINS = GridRule(edges=((-30.0, -2.0, 0.5, 30.0),))
EXPIT = [1 / (1 + math.exp(2)), 1 / (1 + math.exp(-0.5))]

# Coordinates, rule, edges in the unit of the feature and categories.
BOUNDARIES: dict[str, tuple[Features, Any, list[float], list[int]]] = {
    "identity": (Features.declare(["m"]), BINS, [-30.0, -2.0, 0.5, 30.0], [0, 1, 2, 3, 4]),
    "linear": (
        Features.declare(["m"], [Linear(features=("m",), range=(0.0, 1.0))]),
        BINS,
        [-30.0, -2.0, 0.5, 30.0],
        [0, 1, 2, 3, 4],
    ),
    "logit": (Features.declare(["p"], "logit"), BINS, EXPIT, [1, 2, 3]),
    "two scores": (Features.declare(["s", "b"], "logratio"), BINS, EXPIT, [1, 2, 3]),
    "two scores in another order": (
        Features.declare(["b", "s"], [{"kind": "logratio", "features": ["s", "b"]}]),
        BINS,
        EXPIT,
        [1, 2, 3],
    ),
    "ratio": (Features.declare(["p"], "logit"), LINE, [1 / 3, 0.6], [0, 1, 2]),
    "one": (Features.declare(["p"], "logit"), GridRule(edges=((),)), [], [0]),
    "beyond the floor": (Features.declare(["p"], "logit"), GridRule(edges=((25.0,),)), [], [0]),
}


@pytest.mark.parametrize(("features", "rule", "edges", "categories"), BOUNDARIES.values(), ids=BOUNDARIES)
@given(data=st.data())
def test_boundaries_are_those_of_the_feature(features, rule, edges, categories, data):
    trained = Categorizer(features=features, rule=rule)
    found = trained.boundaries()
    np.testing.assert_allclose(found.edges, edges, rtol=1e-14)
    assert found.categories.tolist() == categories
    span = st.floats(0, 1) if features.logarithmic.all() else st.floats(-50, 50)
    value = np.array([*data.draw(st.lists(span, max_size=10)), *edges, 0.0, 1.0])
    value = value[np.abs(value[:, None] - found.edges).min(axis=1, initial=1.0) > 1e-12]
    columns = {"m": value, "p": value, "s": value, "b": 1 - value}
    assert np.array_equal(trained(columns), found.assign(value))


def test_edges_that_are_the_same_score_are_one():
    """Near 1 there are fewer numbers than in coordinates: 20 and 20 + 10⁻⁹ are the same p."""
    rule = GridRule(edges=((0.0, 20.0, 20.0 + 1e-9),))
    found = Categorizer(features=Features.declare(["p"], "logit"), rule=rule).boundaries()
    assert found.edges.tolist() == [0.5, pytest.approx(1 - 2e-9, abs=1e-10)]
    assert found.categories.tolist() == [0, 1, 3]


@pytest.mark.parametrize("rule", [MIXTURE, ArgmaxRule(edges=((0.5,), ()))])
def test_only_one_coordinate_has_boundaries(rule):
    with pytest.raises(ConfigError, match="only a rule of one coordinate has boundaries, this has 2"):
        Categorizer(features=Features.declare(["a", "b"]), rule=rule).boundaries()


# --- files --------------------------------------------------------------------------------------------------


def test_a_categorizer_equals_the_golden_file(tmp_path):
    categorizer().save(tmp_path / "categorizer.json")
    text = (tmp_path / "categorizer.json").read_text(encoding="utf-8")
    if os.environ.get("CORTADO_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")
    assert Categorizer.load(GOLDEN) == categorizer()


def normal(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape).tolist()


RULES: dict[str, Callable[[int], Any]] = {
    "mixture": lambda seed: MIXTURE.model_copy(update={"means": tuple(map(tuple, normal(seed, 3, 2)))}),
    "max_affine": lambda seed: MaxAffineRule(
        slopes=normal(seed, 4, 2), offsets=normal(seed + 1, 4), exponential=(True, False)
    ),
    "table": lambda seed: TableRule.from_cells(
        np.exp(normal(seed, 2)), np.array([[-2, 0], [0, 0], [0, 3], [1, -1]]), np.array([0, 1, 2, 0])
    ),
    "grid": lambda seed: GridRule(edges=np.sort(normal(seed, 2, 3)).tolist()),
    "merged grid": lambda seed: GridRule(edges=np.sort(normal(seed, 2, 1)).tolist(), categories=(1, 0, 0, 2)),
    "argmax": lambda seed: ArgmaxRule(edges=np.sort(normal(seed, 2, 3)).tolist()),
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


DIGESTS = {
    "golden": (
        lambda: Categorizer.load(GOLDEN),
        "09e1ab0bda779e2c2d8b651a51111849f0ac73588692535ba7a67dcc7e76bc59",
    ),
    "grid": (
        lambda: Categorizer(
            features=Features.declare(["a", "b"]), rule=GridRule(edges=((0.5,), (-1.0, 1.0)))
        ),
        "6d9562e9ac9777c34ca0726a65034654ff399c04730acc073a430e80642ad87b",
    ),
}


@pytest.mark.parametrize(("make", "digest"), DIGESTS.values(), ids=DIGESTS)
def test_a_digest_stays_what_it_was_when_rules_are_added(make, digest):
    assert make().digest == digest


def test_a_table_is_written_in_one_line(tmp_path):
    rule = TableRule.from_cells(np.ones(1), np.arange(1000)[:, None], np.arange(1000) % 7)
    Categorizer(features=Features.declare(["a"]), rule=rule).save(tmp_path / "categorizer.json")
    assert (tmp_path / "categorizer.json").read_text(encoding="utf-8").count("\n") == 1


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in document.items() if k != key}


EXPECTATION = {"events": "training cells", "significances": {}, "objective": 0.5, "yields": {}}
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
    "no version": (lambda d: without(d, "version"), "version: required in a file"),
    "no format": (lambda d: without(d, "format"), "format: required in a file"),
    "yields": (
        lambda d: {
            **d,
            "training": {**d["training"], "expected": [{**EXPECTATION, "yields": {"DY": [1.0]}}]},
        },
        "yields of 'DY' must be 3 numbers, one a category, got 1",
    ),
    "infinite objective": (
        lambda d: {**d, "training": {**d["training"], "objective": math.inf}},
        r"training.objective: .*finite number \(got inf\)",
    ),
    "labels": (
        lambda d: {**d, "labels": ["a", "b", "b"]},
        r"labels must be 3 distinct names, got \['a', 'b',",
    ),
    "version true": (lambda d: {**d, "version": True}, r"version: Input should be 1 \(got True\)"),
    "number as text": (
        lambda d: {**d, "rule": {**d["rule"], "weights": ["0.5", 0.25, 0.25]}},
        r"weights.0: .*valid number \(got '0.5'\)",
    ),
    "missing value as text": (
        lambda d: {**d, "features": {**d["features"], "missing": {"p_qqH": "-999.0"}}},
        r"features.missing.p_qqH: .*valid number \(got '-999.0'\)",
    ),
    "integer as text": (
        lambda d: {**d, "training": {**d["training"], "n_folds": "2"}},
        r"training.n_folds: .*integer \(got '2'\)",
    ),
    "folds that are not there": (
        lambda d: {**d, "training": {**d["training"], "n_folds": 2, "folds": [0, 2]}},
        r"training: folds must be some of 0 … 1, got \[0, 2\]",
    ),
    "no missing": (
        lambda d: {**d, "features": without(d["features"], "missing")},
        "features.missing: required in a file",
    ),
    "no floor": (
        lambda d: {
            **d,
            "features": {
                **d["features"],
                "coordinates": [without(g, "floor") for g in d["features"]["coordinates"]],
            },
        },
        "features.coordinates.0.floor: required in a file",
    ),
    "ragged means": (
        lambda d: {**d, "rule": {**d["rule"], "means": [[0.0, 1.0], [1.0], [0.0, 0.0]]}},
        r"must have shapes \(K,\), \(K, d\), \(K, d, d\), got \(\(3,\), 'ragged', ",
    ),
    "ragged slopes": (
        lambda d: {
            **d,
            "rule": {
                "kind": "max_affine",
                "slopes": [[1.0, 2.0], [1.0]],
                "offsets": [0.0, 1.0],
                "exponential": [True, True],
            },
        },
        r"must have shapes \(K, d\), \(K,\), \(d,\), got \('ragged', ",
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


@pytest.mark.parametrize("make", RULES.values(), ids=RULES)
@pytest.mark.parametrize("sentinel", [math.nan, -math.inf, -999.0])
def test_files_follow_the_published_schema(tmp_path, make, sentinel):
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    features = Features.declare(["a", "b"], missing={"a": sentinel})
    Categorizer(features=features, rule=make(1)).save(tmp_path / "categorizer.json")
    jsonschema.validate(json.loads((tmp_path / "categorizer.json").read_text(encoding="utf-8")), schema)


def test_a_key_that_is_given_twice_is_refused(tmp_path):
    path = tmp_path / "categorizer.json"
    text = GOLDEN.read_text(encoding="utf-8")
    path.write_text(text.replace('"weights":', '"weights": [1.0], "weights":', 1), encoding="utf-8")
    with pytest.raises(InputError, match="is not a valid categorizer: key 'weights' is given twice"):
        Categorizer.load(path)


IN_SCHEMA = ("unknown field", "version", "version true", "format", "no version", "no features", "word")


@pytest.mark.parametrize("name", [*IN_SCHEMA, "number as text", "integer as text", "no missing", "no floor"])
def test_the_published_schema_refuses_what_the_reader_refuses(name):
    change, _ = FILE_ERRORS[name]
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    document = json.loads(GOLDEN.read_text(encoding="utf-8"))
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(change(document), schema)


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
