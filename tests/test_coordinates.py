"""Coordinates: bounded, ordered, invertible where they can be; and errors that say what to mend."""

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cortado.coordinates import DEFAULT_FLOOR, Features, Identity, Linear, Logit, LogRatio
from cortado.errors import InputError
from cortado.sample import Sample

finite = st.floats(-1e6, 1e6)
BOUND = math.log(1 / DEFAULT_FLOOR)


def columns(n_features: int, elements=finite, dtype=np.float64):
    return st.integers(0, 20).flatmap(lambda n: arrays(dtype, (n, n_features), elements=elements))


def softmax(z: np.ndarray) -> np.ndarray:
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


# --- the maps -----------------------------------------------------------------------------------------------


@given(x=columns(2))
def test_identity_is_the_features(x):
    assert np.array_equal(Features.declare(["a", "b"]).forward(x), x)


@given(x=columns(2))
def test_linear_coordinates_are_the_features(x):
    linear = Linear(features=("a", "b"), range=(20.0, 120.0))
    assert np.array_equal(Features.declare(["a", "b"], [linear]).forward(x), x)
    assert linear.widths(200) == (0.5, 0.5)


@given(p=columns(2, st.floats(1e-8, 1 - 1e-8)))
def test_logit_has_an_inverse(p):
    u = Features.declare(["a", "b"], "logit").forward(p)
    np.testing.assert_allclose(1 / (1 + np.exp(-u)), p, rtol=1e-9)


@given(z=columns(3, st.floats(-6, 6)))
def test_log_ratio_has_an_inverse(z):
    p = softmax(z)
    u = Features.declare(["a", "b", "c"], "logratio").forward(p)
    assert u.shape == (len(z), 2)
    np.testing.assert_allclose(softmax(np.column_stack([u, np.zeros(len(u))])), p, rtol=1e-9)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1.0, 0.0, 0.0], [BOUND, 0.0]),
        ([0.0, 1.0, 0.0], [0.0, BOUND]),
        ([0.0, 0.0, 1.0], [-BOUND, -BOUND]),
        ([0.5, 0.5, 0.0], [BOUND + math.log(0.5)] * 2),
        ([0.0, 0.0, 0.0], [0.0, 0.0]),
        ([1e-45, 1.0, 0.0], [0.0, BOUND]),  # the smallest float32
    ],
)
def test_saturated_single_precision_scores_are_legal(scores, expected):
    x = np.array([scores], np.float32).astype(np.float64)
    u = Features.declare(["a", "b", "c"], "logratio").forward(x)
    np.testing.assert_allclose(u, [expected], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(("score", "expected"), [(0.0, -BOUND), (1.0, BOUND), (0.5, 0.0), (1e-45, -BOUND)])
def test_saturated_single_scores_are_legal(score, expected):
    x = np.array([[score]], np.float32).astype(np.float64)
    assert Logit(features=("a",)).forward(x).item() == pytest.approx(expected, rel=1e-12)


@given(
    p=columns(3, st.floats(0, 1, width=32), np.float32),
    floor=st.floats(1e-30, 0.1),
    kind=st.sampled_from([Logit, LogRatio]),
)
def test_logarithms_stay_within_their_bound(p, floor, kind):
    group = kind(features=("a", "b", "c"), floor=floor)
    u = Features.declare(["a", "b", "c"], [group]).forward(p.astype(np.float64))
    assert np.isfinite(u).all()
    assert np.all(np.abs(u) <= math.log(1 / floor) * (1 + 1e-12))


@given(p=arrays(np.float64, (20, 1), elements=st.floats(0, 1)), kind=st.sampled_from(["identity", "logit"]))
def test_order_is_kept(p, kind):
    u = Features.declare(["a"], kind).forward(np.sort(p, axis=0))
    assert np.all(np.diff(u, axis=0) >= 0)


def test_groups_take_their_own_columns_in_the_order_of_the_groups():
    features = Features.declare(
        ["q", "a", "m", "b"],
        [
            {"kind": "logratio", "features": ["b", "a"]},
            {"kind": "linear", "features": ["m"], "range": [0, 10]},
            {"kind": "identity", "features": ["q"]},
        ],
    )
    u = features.forward(np.array([[7.0, 0.2, 5.0, 0.8]]))
    np.testing.assert_allclose(u, [[math.log(4), 5.0, 7.0]])
    assert features.labels == ("log(b/a)", "m", "q")
    assert features.dimensions == 3


# --- cell widths --------------------------------------------------------------------------------------------


def test_widths_are_known_but_for_identity_coordinates():
    features = Features.declare(
        ["a", "b", "c", "d", "e", "f"],
        [
            Identity(features=("a", "b")),
            Identity(features=("c",), width=(0.25,)),
            Linear(features=("d",), range=(0, 1)),
            LogRatio(features=("e", "f")),
        ],
    )
    assert features.widths[:3] == (None, None, 0.25)
    assert all(width is not None and width > 0 for width in features.widths[2:])


@pytest.mark.parametrize(("n", "cells"), [(1, 1280), (2, 32), (3, 32), (4, 20), (5, 20)])
def test_cells_are_as_small_as_few_coordinates_need(n, cells):
    names = [f"x{i}" for i in range(n)]
    assert Features.declare(names, "logit").widths == (1 / cells,) * n


@given(x=arrays(np.float64, (50, 2), elements=st.floats(-1e4, 1e4)))
def test_widths_from_events_are_powers_of_two_and_a_fraction_of_the_range(x):
    features = Features.declare(["a", "b"]).with_widths_from(x)
    for width, column in zip(features.widths, x.T, strict=True):
        assert width is not None
        low, high = np.quantile(column, [0.05, 0.95])
        span = high - low or max(abs(high), 1.0)
        assert math.frexp(width)[0] == 0.5
        assert 1 / 1.5 < width / max(span / 320, np.abs(column).max() / 2**48, 2.0**-900) < 1.5
    assert features.with_widths_from(10 * x) == features  # what is set stays


@pytest.mark.parametrize("noise", [0.0, 5e-324, 1e-200, 1e-17])
def test_a_feature_that_is_nearly_always_the_same_has_cells_for_the_rest(noise):
    x = np.array([[noise * i] for i in range(100)] + [[3.0], [-1e6]])
    sample = Sample.from_arrays({"p": (x, np.ones(len(x)))})
    assert sample.cells.count.sum() == len(x)
    assert len(sample.points().place) >= 2


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf, -np.inf]])
def test_widths_without_any_number_are_those_of_a_unit_range(values):
    x = np.array(values, np.float64)[:, None]
    (width,) = Features.declare(["a"]).with_widths_from(x).widths
    assert width == 2.0**-14


# --- declaring ----------------------------------------------------------------------------------------------

ERRORS = {
    "unknown kind": (["a"], "softmax", None, r"\['identity', 'logit', 'logratio'\].* got 'softmax'"),
    "linear needs a range": (["a"], "linear", None, "list of groups, got 'linear'"),
    "a single name": ("score", "identity", None, "list of names, got the single name 'score'"),
    "no feature": ([], "identity", None, r"features \[\]: .*at least 1 item"),
    "twice": (["a", "a"], "identity", None, r"names must not repeat a feature, got \['a', 'a'\]"),
    "one softmax score": (["a"], "logratio", None, r"features \['a'\]: .*at least 2 items.*\('a',\)"),
    "ungrouped": (
        ["a", "b"],
        [{"kind": "logit", "features": ["a"]}],
        None,
        r"every feature exactly once.*\['a', 'b'\].*\['a'\]",
    ),
    "grouped twice": (
        ["a"],
        [{"kind": "logit", "features": ["a"]}, {"kind": "identity", "features": ["a"]}],
        None,
        r"exactly once.*\['a', 'a'\]",
    ),
    "unknown sentinel": (["a"], "identity", {"b": -999.0}, r"missing names \['b'\].*\['a'\]"),
    "downwards": (
        ["a"],
        [{"kind": "linear", "features": ["a"], "range": [2.0, 1.0]}],
        None,
        r"range.*upwards, got \[2.0, 1.0\]",
    ),
    "endless": (
        ["a"],
        [{"kind": "linear", "features": ["a"], "range": [0.0, np.inf]}],
        None,
        r"range.*finite number \(got inf\)",
    ),
    "widths": (
        ["a", "b"],
        [{"kind": "identity", "features": ["a", "b"], "width": [0.1]}],
        None,
        r"width needs one number a feature \(2\), got 1",
    ),
    "no width": (
        ["a"],
        [{"kind": "identity", "features": ["a"], "width": [0.0]}],
        None,
        r"width.*greater than 0 \(got 0.0\)",
    ),
    "endless width": (
        ["a"],
        [{"kind": "identity", "features": ["a"], "width": [np.inf]}],
        None,
        r"width.*finite number \(got inf\)",
    ),
    "floor": (
        ["a"],
        [{"kind": "logit", "features": ["a"], "floor": 0.5}],
        None,
        r"floor.*less than 0.5 \(got 0.5\)",
    ),
    "unknown key": (
        ["a"],
        [{"kind": "logit", "features": ["a"], "bins": 3}],
        None,
        r"coordinates.0.logit.bins: unknown key",
    ),
}


@pytest.mark.parametrize(("names", "coordinates", "missing", "message"), ERRORS.values(), ids=ERRORS)
def test_what_cannot_be_declared_is_refused_with_the_reason(names, coordinates, missing, message):
    with pytest.raises(InputError, match=message) as caught:
        Features.declare(names, coordinates, missing)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sentinel", [-999.0, math.nan, math.inf])
def test_features_survive_json_and_pickle(sentinel):
    features = Features.declare(["a", "b"], "logratio", {"b": sentinel})
    for copy in (
        Features.model_validate_json(features.model_dump_json()),
        Features.model_validate(json.loads(json.dumps(features.model_dump(mode="json")))),
        pickle.loads(pickle.dumps(features)),
    ):
        assert copy == features
        assert hash(copy) == hash(features)
        assert repr(copy.missing["b"]) == repr(sentinel)


@pytest.mark.parametrize(
    "other",
    [
        Features.declare(["a", "c"], "logratio", {"a": -1.0}),
        Features.declare(["a", "b"], "logit", {"a": -1.0}),
        Features.declare(["a", "b"], "logratio", {"a": -2.0}),
        Features.declare(["a", "b"], "logratio", {"a": math.nan}),
        Features.declare(["a", "b"], "logratio"),
        "features",
    ],
)
def test_features_differ_in_names_coordinates_and_missing_values(other):
    assert Features.declare(["a", "b"], "logratio", {"a": -1.0}) != other


@pytest.mark.parametrize("kind", ["identity", "logit", "logratio"])
def test_features_come_back_from_coordinates(kind):
    rng = np.random.default_rng(3)
    x = rng.dirichlet([1, 1, 1], 50)
    features = Features.declare(["a", "b", "c"], kind)
    np.testing.assert_allclose(features.inverse(features.forward(x)), x, rtol=1e-9)


def test_features_of_several_groups_come_back_in_their_order():
    groups: list[dict[str, Any]] = [
        {"kind": "logratio", "features": ["p", "q"]},
        {"kind": "linear", "features": ["mass"], "range": [100, 200]},
    ]
    features = Features.declare(["q", "mass", "p"], groups)
    x = np.array([[0.25, 125.0, 0.75], [0.5, 91.0, 0.5]])
    np.testing.assert_allclose(features.inverse(features.forward(x)), x, rtol=1e-12)
    assert features.logarithmic.tolist() == [True, False]
