"""Folds: fixed for ever by the identifier of an event, and nothing else."""

import math
from itertools import pairwise
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortado.errors import ConfigError, InputError
from cortado.folds import assign_folds, checked_ids, chosen_folds, content_ids, entry_ids, fold_of, mix

anything = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)
tables = st.lists(st.tuples(anything, anything), min_size=1, max_size=20).map(np.array)
identifiers = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50)

# A later change of the hash would move events between training and held-out parts of finished analyses.
EVENTS = [0, 1, 2, 12345, 2**40, 2**64 - 1]
GOLDEN = {
    1: [0, 0, 0, 0, 0, 0],
    2: [1, 1, 0, 0, 1, 0],
    3: [1, 2, 1, 2, 0, 2],
    5: [0, 0, 0, 4, 1, 1],
}
CONTENT = [15019273331026289357, 5580079720296042945, 1266667432649725434]


def chunk(start: int, stop: int, filename: str = "/data/a.root", dataset: str = "ggH") -> SimpleNamespace:
    """Events of a coffea chunk, as far as ``entry_ids`` looks at them."""
    return SimpleNamespace(
        metadata={"dataset": dataset, "filename": filename, "entrystart": start, "entrystop": stop}
    )


def test_mix_is_the_finaliser_of_splitmix64():
    """The first outputs of the published generator, seeded with 1234567."""
    state = 1234567 + 0x9E3779B97F4A7C15 * np.arange(5, dtype=object)
    seeds = np.array([int(s) % 2**64 for s in state], np.uint64)
    assert mix(seeds).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_folds_never_change():
    assert {n: assign_folds(np.array(EVENTS, np.uint64), n).tolist() for n in GOLDEN} == GOLDEN


def test_entry_identifiers_never_change():
    assert entry_ids(chunk(0, 3)).tolist() == [
        11293614483339459313,
        7406837379502837887,
        10821088090179350350,
    ]


@given(numbers=identifiers, n_folds=st.integers(1, 10), data=st.data())
def test_folds_do_not_depend_on_the_other_events(numbers, n_folds, data):
    events = np.array(numbers, np.uint64)
    folds = assign_folds(events, n_folds)
    assert np.all((folds >= 0) & (folds < n_folds))
    order = np.array(data.draw(st.permutations(range(len(events)))))
    assert np.array_equal(assign_folds(events[order], n_folds), folds[order])
    assert [assign_folds(events[i : i + 1], n_folds).item() for i in range(len(events))] == folds.tolist()


@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), n_folds=st.integers(2, 7))
def test_signed_identifiers_are_taken_by_their_bits(numbers, n_folds):
    signed = np.array(numbers, np.int64)
    assert np.array_equal(assign_folds(signed, n_folds), assign_folds(signed.view(np.uint64), n_folds))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.int16, np.int32, np.int64, np.uint64])
def test_the_width_of_an_integer_does_not_matter(dtype):
    numbers = np.arange(100)
    expected = assign_folds(numbers.astype(np.uint64), 5)
    assert np.array_equal(fold_of(numbers.astype(dtype), 100, 5), expected)
    assert np.array_equal(fold_of(ak.Array(numbers.astype(dtype)), 100, 5), expected)
    assert np.array_equal(fold_of(numbers.astype(dtype).tolist(), 100, 5), expected)


@pytest.mark.parametrize("n_folds", [2, 3, 5, 10])
@pytest.mark.parametrize("events", [np.arange(20_000), np.arange(20_000) * 2**20, -np.arange(20_000)])
def test_folds_are_roughly_equal(n_folds, events):
    counts = np.bincount(assign_folds(events, n_folds), minlength=n_folds)
    expected = len(events) / n_folds
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 < n_folds - 1 + 5 * np.sqrt(2 * n_folds)


@given(cuts=st.lists(st.integers(0, 100), max_size=5))
def test_entry_identifiers_do_not_depend_on_chunks(cuts):
    edges = [0, *sorted(cuts), 100]
    parts = [entry_ids(chunk(i, j)) for i, j in pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), entry_ids(chunk(0, 100)))


@pytest.mark.parametrize("folder", ["", "/elsewhere/", "root://server//store/", "../"])
def test_entry_identifiers_do_not_depend_on_the_folder(folder):
    assert np.array_equal(entry_ids(chunk(0, 10, f"{folder}a.root")), entry_ids(chunk(0, 10)))


def test_entry_identifiers_are_unique():
    many = [
        entry_ids(chunk(0, 1000, file, dataset)) for file in ("a.root", "b.root") for dataset in ("x", "y")
    ]
    assert len(np.unique(np.concatenate(many))) == 4000


def test_content_identifiers_never_change():
    values = np.array([[0.5, 1.5, 1.0], [-0.5, 1.5, 1.0], [0.0, math.nan, math.inf]])
    assert content_ids(values).tolist() == CONTENT


@given(values=tables, data=st.data())
def test_content_identifiers_do_not_depend_on_the_other_events(values, data):
    expected = content_ids(values)
    order = np.array(data.draw(st.permutations(range(len(values)))))
    some = order[: data.draw(st.integers(0, len(order)))]
    found = content_ids(values[some])
    assert set(found.tolist()) <= set(expected.tolist())
    alone = [i for i in some if (values == values[i]).all(axis=1).sum() == 1]
    assert set(expected[alone].tolist()) <= set(found.tolist())


@given(values=tables)
def test_content_identifiers_differ_where_a_value_does(values):
    rows = [tuple(None if math.isnan(v) else v for v in row) for row in values.tolist()]  # 0.0 == -0.0
    first = [rows.index(row) for row in dict.fromkeys(rows)]
    assert len(set(content_ids(values)[first].tolist())) == len(first)


def test_equal_events_spread_over_folds():
    """Whole values of a coarse or saturated score must not end in one fold."""
    score = np.repeat(np.arange(21.0), 1000)
    identifiers = content_ids(np.column_stack([score, np.ones(len(score))]))
    assert len(np.unique(identifiers)) == len(score)
    per_value = np.bincount(score.astype(int), weights=assign_folds(identifiers, 2))
    assert np.all(np.abs(per_value - 500) < 5 * np.sqrt(250))
    shuffled = np.random.default_rng(1).permutation(len(score))
    again = content_ids(np.column_stack([score[shuffled], np.ones(len(score))]))
    assert np.array_equal(np.sort(again), np.sort(identifiers))


def test_zeros_of_either_sign_and_all_nan_are_alike():
    strange = np.array([0xFFF8000000000123, 0x7FF0000000000001], np.uint64).view(np.float64)
    values = np.array([[0.0, math.nan], [-0.0, -math.nan], [-0.0, 0.0], [0.0, 0.0]])
    values[2:, 1] = strange
    assert len({int(content_ids(row[None])[0]) for row in values}) == 1


def test_the_order_of_columns_counts():
    assert content_ids(np.array([[1.0, 2.0]])) != content_ids(np.array([[2.0, 1.0]]))


@pytest.mark.parametrize("n_folds", [2, 3, 5, 10])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("shape", ["normal", "uniform", "steps"])
def test_folds_of_continuous_values_are_roughly_equal(n_folds, dtype, shape):
    rng = np.random.default_rng(5)
    n = 20_000
    first = {"normal": rng.normal(size=n), "uniform": rng.uniform(size=n), "steps": np.arange(n) % 2000}[
        shape
    ]
    values = np.column_stack([first, rng.normal(size=n)]).astype(dtype).astype(np.float64)
    counts = np.bincount(assign_folds(content_ids(values), n_folds), minlength=n_folds)
    chi2 = ((counts - n / n_folds) ** 2 / (n / n_folds)).sum()
    assert chi2 < n_folds - 1 + 5 * np.sqrt(2 * n_folds)


def test_folds_know_nothing_of_where_an_event_lies():
    """In every slice of a feature each fold has its share: a hash, not a cut."""
    values = np.random.default_rng(6).normal(size=(40_000, 2))
    fold = assign_folds(content_ids(values), 2)
    slices = np.digitize(values[:, 0], np.linspace(-2, 2, 20))
    n = np.bincount(slices)
    chi2 = (4 * (np.bincount(slices, weights=fold) - n / 2) ** 2 / n).sum()
    assert abs(chi2 - len(n)) < 5 * np.sqrt(2 * len(n))


def test_identifiers_are_called_what_the_caller_calls_them():
    assert checked_ids([1, 2], 2).tolist() == [1, 2]
    with pytest.raises(
        InputError, match=r"^numbers must be one integer an event, shape \(3,\), got int64 of"
    ):
        checked_ids([1, 2], 3, "numbers")


def test_one_fold_needs_no_identifiers():
    assert fold_of(None, 3, 1).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("event_id", "message"),
    [
        (None, "event_id is needed"),
        (np.arange(2), r"shape \(3,\), got int64 of shape \(2,\)"),
        (np.arange(3.0), r"one integer an event.*float64"),
        (np.ones((3, 1), int), r"of shape \(3, 1\)"),
        (["a", "b", "c"], "one integer an event"),
        (ak.Array([1, None, 3]), "one integer an event"),
        (np.ma.array([1, 2, 3], mask=[True, False, False]), "one integer an event"),
    ],
)
def test_identifiers_are_one_integer_an_event(event_id, message):
    with pytest.raises(InputError, match=message):
        fold_of(event_id, 3, 2)


@pytest.mark.parametrize(("folds", "expected"), [(None, {0, 1, 2}), ([1], {1}), ((2, 2, 0), {0, 2})])
def test_chosen_folds_are_a_set(folds, expected):
    assert chosen_folds(folds, 3) == expected


@pytest.mark.parametrize("folds", [[], [3], [-1, 0], [0, 1, 2, 3]])
def test_folds_that_do_not_exist_are_refused(folds):
    with pytest.raises(ConfigError, match=r"folds must be some of 0 … 2, got \["):
        chosen_folds(folds, 3)
