"""What a fill is given becomes clean arrays, whatever it comes in."""

import awkward as ak
import numpy as np
import pytest

from cortado.coordinates import Features
from cortado.errors import InputError
from cortado.events import clean, feature_array

FEATURES = Features.declare(["a", "b"], missing={"b": -999.0})
A, B = np.array([1.0, 2.0, 3.0]), np.array([10.0, -999.0, 30.0])
EXPECTED = np.column_stack([A, B])

CONTAINERS = {
    "array": EXPECTED,
    "float32 array": EXPECTED.astype(np.float32),
    "integers": EXPECTED.astype(np.int32),
    "rows": EXPECTED.tolist(),
    "mapping": {"b": B, "a": A, "other": ["x", "y", "z"]},
    "mapping of lists": {"a": A.tolist(), "b": B.tolist()},
    "mapping of awkward arrays": {"a": ak.Array(A), "b": ak.Array(B)},
    "records": ak.zip({"b": B, "a": A, "jets": ak.Array([[1.0], [], [2.0, 3.0]])}, depth_limit=1),
    "option type": ak.zip({"a": ak.mask(ak.Array(A), [True] * 3), "b": ak.Array(B)}),
    "booleans and integers": {"a": A, "b": B.astype(np.int16)},
}


@pytest.mark.parametrize("values", CONTAINERS.values(), ids=CONTAINERS)
def test_features_come_in_the_declared_order(values):
    x = feature_array(FEATURES, values)
    assert x.dtype == np.float64
    assert type(x) is np.ndarray
    assert np.array_equal(x, EXPECTED)


def test_an_awkward_array_without_names_is_in_the_declared_order():
    assert np.array_equal(feature_array(FEATURES, ak.Array(EXPECTED)), EXPECTED)
    assert np.array_equal(feature_array(FEATURES, ak.from_iter(EXPECTED.tolist())), EXPECTED)
    with pytest.raises(InputError, match=r"features must have shape \(n, 2\) .*got \(3,\)"):
        feature_array(FEATURES, ak.Array(A))
    with pytest.raises(InputError, match="features must be numbers"):
        feature_array(FEATURES, ak.Array([[1.0], [2.0, 3.0]]))


def test_what_is_no_number_is_said_once():
    with pytest.raises(InputError) as error:
        feature_array(FEATURES, {"a": ["x", "y", "z"], "b": B})
    assert str(error.value) == "feature 'a' must be numbers: got <U1 of shape (3,)"


ABSENT = {
    "awkward option": {"a": ak.Array([1.0, None, 3.0]), "b": B},
    "awkward integers": {"a": ak.Array([1, None, 3]), "b": B},
    "masked array": {"a": np.ma.array([1.0, 7.0, 3.0], mask=[False, True, False]), "b": B},
    "masked integers": {"a": np.ma.array([1, 7, 3], mask=[False, True, False]), "b": B},
    "masked table": np.ma.array(EXPECTED, mask=[[False, False], [True, False], [False, False]]),
    "list": [[1.0, 10.0], [None, -999.0], [3.0, 30.0]],
}


@pytest.mark.parametrize("values", ABSENT.values(), ids=ABSENT)
def test_absent_values_become_nan(values):
    x = feature_array(FEATURES, values)
    assert type(x) is np.ndarray
    np.testing.assert_array_equal(x, [[1.0, 10.0], [np.nan, -999.0], [3.0, 30.0]])


@pytest.mark.parametrize("n", [0, 1])
def test_few_or_no_events_are_fine(n):
    for values in (EXPECTED[:n], {"a": A[:n], "b": B[:n]}, ak.zip({"a": A, "b": B})[:n]):
        events = clean(FEATURES, values, np.ones(n))
        assert events.x.shape == (n, 2)
        assert events.weight.shape == events.usable.shape == (n,)


def test_missing_and_unusable_events_are_told_apart():
    x = np.array([[1.0, 2.0], [np.nan, 2.0], [np.nan, -999.0], [-999.0, 2.0], [np.inf, -np.inf]])
    events = clean(FEATURES, x, np.ones(5))
    assert events.missing.tolist() == [False, False, True, False, False]
    assert events.usable.tolist() == [True, False, False, True, False]
    assert events.invalid == {"a": 2, "b": 1}
    assert events.n_missing == 1


@pytest.mark.parametrize("sentinel", [-999.0, -99.9, 1e-3, 1e300, -9999.123456])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_missing_values_are_found_in_single_and_double_precision(sentinel, dtype):
    features = Features.declare(["a"], missing={"a": sentinel})
    with np.errstate(over="ignore"):
        x = np.array([[sentinel], [0.5]], dtype)
    events = clean(features, x, np.ones(2))
    if np.isfinite(x).all():
        assert events.missing.tolist() == [True, False]
    else:
        assert events.invalid == {"a": 1}  # 10³⁰⁰ is infinite as a float32, and nobody called that missing


def test_one_missing_feature_is_enough():
    features = Features.declare(["a", "b"], missing={"a": -999.0, "b": -1.0})
    x = np.array([[-999.0, 5.0], [5.0, -1.0], [-1.0, -999.0], [-999.0, -1.0]])
    assert clean(features, x, np.ones(4)).missing.tolist() == [True, True, False, True]


def test_missing_may_be_nan():
    features = Features.declare(["a", "b"], missing={"a": np.nan})
    events = clean(features, np.array([[np.nan, 1.0], [1.0, np.nan], [1.0, 1.0]]), np.ones(3))
    assert events.missing.tolist() == [True, False, False]
    assert events.usable.tolist() == [False, False, True]
    assert events.invalid == {"b": 1}


ERRORS = {
    "absent feature": ({"a": A}, A, r"features \['b'\] are not there; there are \['a'\]"),
    "not a table": (A, A, r"shape \(n, 2\) for \['a', 'b'\], got \(3,\)"),
    "too many columns": (np.ones((3, 3)), A, r"got \(3, 3\)"),
    "too deep": ({"a": A, "b": ak.Array([[1.0], [], [2.0]])}, A, "feature 'b' must have one value.*2 dim"),
    "table as column": ({"a": A, "b": np.ones((3, 2))}, A, r"feature 'b' must have one number.*\(3, 2\)"),
    "words": ({"a": A, "b": np.array(["x", "y", "z"])}, A, "feature 'b' must be numbers: got <U1"),
    "words in awkward": ({"a": A, "b": ak.Array(["x", "y", "z"])}, A, "feature 'b' must be numbers"),
    "ragged rows": ([[1.0, 2.0], [1.0]], A, "features must be numbers: .*inhomogeneous"),
    "lengths": ({"a": A, "b": B[:2]}, A, r"\['a', 'b'\] must have equal length, got \[2, 3\]"),
    "nothing": (None, A, "mapping or an awkward record array, got NoneType"),
    "short weight": (EXPECTED, A[:2], r"weight must have one value an event, 3, got shape \(2,\)"),
    "one weight": (EXPECTED, 1.0, r"weight must have one number an event, got shape \(\)"),
    "infinite weights": (EXPECTED, [1.0, np.inf, np.nan], "weight must be finite, got 2 values"),
    "masked weight": (
        EXPECTED,
        np.ma.array(A, mask=[True, False, False]),
        "weight must be finite, got 1 values",
    ),
}


@pytest.mark.parametrize(("values", "weight", "message"), ERRORS.values(), ids=ERRORS)
def test_what_cannot_be_filled_is_refused_with_the_reason(values, weight, message):
    with pytest.raises(InputError, match=message):
        clean(FEATURES, values, weight)
