"""Events with their class: where they come from, parts by hash, weights for training, files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cortado as ct
from cortado.classifiers import LabelledEvents
from cortado.classifiers.training_weights import NegativeWeights
from cortado.folds import assign_folds

CLASSES = {"signal": ["ggH", "qqH"], "background": ["DY", "W"]}


def some_arrays(seed=1, n=300, negative=0.0, shape=(3,)):
    random = np.random.default_rng(seed)
    return {
        process: (
            random.normal(size=(n, *shape)),
            random.exponential(size=n) * np.where(random.random(n) < negative, -1, 1),
        )
        for process in ("ggH", "qqH", "DY", "W")
    }


def some_events(**options):
    return LabelledEvents.from_arrays(some_arrays(**options), ["a", "b", "c"], classes=CLASSES)


def assert_equal(a, b):
    assert (a.classes, a.observables, a.n_folds) == (b.classes, b.observables, b.n_folds)
    for name in ("x", "y", "weight", "event_id", "process", "fold"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype.kind == getattr(b, name).dtype.kind


def test_arrays_keep_their_values():
    arrays = some_arrays()
    events = LabelledEvents.from_arrays(arrays, ["a", "b", "c"], classes=CLASSES)
    assert events.classes == ("signal", "background")
    assert [str(a.dtype) for a in (events.x, events.y, events.weight)] == ["float32", "int64", "float64"]
    for process, (x, w) in arrays.items():
        rows = events.process == process
        np.testing.assert_array_equal(events.x[rows], x.astype(np.float32))
        np.testing.assert_array_equal(events.weight[rows], w)
        assert set(events.y[rows]) == {0 if process in CLASSES["signal"] else 1}


def test_without_classes_every_process_is_one():
    events = LabelledEvents.from_arrays(some_arrays())
    assert events.classes == ("ggH", "qqH", "DY", "W")
    assert events.observables == ("x0", "x1", "x2")


def test_processes_of_no_class_are_left_out():
    events = LabelledEvents.from_arrays(some_arrays(), classes={"signal": ["ggH"], "background": ["DY"]})
    assert set(events.process) == {"ggH", "DY"}


def test_images_have_no_observables():
    events = LabelledEvents.from_arrays(some_arrays(shape=(4, 5)), classes=CLASSES)
    assert events.is_images
    assert events.observables == ()
    assert events.x.shape == (1200, 4, 5)


def test_folds_are_those_of_the_sinks():
    ids = {process: np.arange(300) + 1000 * i for i, process in enumerate(some_arrays())}
    events = LabelledEvents.from_arrays(some_arrays(), event_ids=ids, n_folds=7)
    np.testing.assert_array_equal(events.fold, assign_folds(events.event_id, 7))
    np.testing.assert_array_equal(events.event_id[events.process == "DY"], ids["DY"])


def test_negative_identifiers_are_those_of_the_sinks_too():
    ids = dict.fromkeys(some_arrays(), np.arange(-300, 0))
    events = LabelledEvents.from_arrays(some_arrays(), event_ids=ids)
    np.testing.assert_array_equal(events.fold[:300], assign_folds(np.arange(-300, 0), 5))


def known(chosen):
    """What tells the events of a part apart, sorted."""
    return sorted(zip(chosen.event_id.tolist(), chosen.process.tolist(), strict=True))


@given(st.integers(0, 1000))
def test_parts_do_not_depend_on_the_order(seed):
    events = some_events(n=60)
    shuffled = events.select(np.random.default_rng(seed).permutation(len(events)))
    for name in ("train", "validation", "test"):
        assert known(getattr(events.split(), name)) == known(getattr(shuffled.split(), name))
    for a, b in zip(events.k_fold(), shuffled.k_fold(), strict=True):
        assert known(a.test) == known(b.test)


def test_a_part_does_not_depend_on_other_events():
    events = some_events()
    half = events.select(np.arange(0, len(events), 2))
    train = set(events.split().train.event_id.tolist())
    assert set(half.split().train.event_id.tolist()) == train & set(half.event_id.tolist())


@pytest.mark.parametrize("shares", [(0.6, 0.2, 0.2), (0.1, 0.3, 0.6)])
def test_a_split_has_its_shares_and_every_event_once(shares):
    events = some_events(n=5000)
    split = events.split(*shares)
    parts = (split.train, split.validation, split.test)
    assert sorted(np.concatenate([p.event_id for p in parts])) == sorted(events.event_id)
    n = len(events)
    for part, share in zip(parts, shares, strict=True):
        assert len(part) == pytest.approx(share * n, abs=5 * np.sqrt(share * n))


def test_splits_of_other_seeds_and_folds_are_others():
    events = some_events(n=5000)
    first, second = (set(events.split(seed=s).train.event_id.tolist()) for s in (0, 1))
    assert len(first & second) / len(first) == pytest.approx(0.6, abs=0.03)
    in_fold = np.bincount(events.split().test.fold, minlength=5) / np.bincount(events.fold)
    np.testing.assert_allclose(in_fold, 0.2, atol=0.03)


def test_every_event_is_scored_by_who_did_not_see_it():
    events = some_events()
    tests = []
    for parts in events.k_fold():
        ids = [set(p.event_id.tolist()) for p in (parts.train, parts.validation, parts.test)]
        assert set.union(*ids) == set(events.event_id.tolist())
        assert sum(map(len, ids)) == len(events)
        assert set(parts.test.fold) == {parts.fold}
        tests.append(parts.fold)
    assert tests == [0, 1, 2, 3, 4]


def test_folds_without_events_are_no_parts():
    rest = some_events().in_folds([0, 2, 3])
    assert [parts.fold for parts in rest.k_fold()] == [0, 2, 3]


def test_predictions_come_back_in_the_order_of_events():
    events = some_events()
    predictions = {parts.fold: parts.test.x[:, :2] * 2 for parts in events.k_fold()}
    np.testing.assert_array_equal(events.out_of_fold(predictions), events.x[:, :2] * 2)
    predictions[3] = predictions[3][:-1]
    with pytest.raises(ct.InputError, match="as many events as every fold has"):
        events.out_of_fold(predictions)


@pytest.mark.parametrize("negative", ["absolute", "drop"])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_classes_balance_and_processes_keep_their_shares(negative, share):
    events = some_events(negative=share)
    w = events.balanced_weight(negative)
    assert (w >= 0).all()
    np.testing.assert_allclose(np.bincount(events.y, w), len(events) / 2)
    for members in CLASSES.values():
        physical = [events.weight[events.process == p].sum() for p in members]
        training = [w[events.process == p].sum() for p in members]
        np.testing.assert_allclose(np.divide(*training), np.divide(*physical))
    if negative == "drop":
        np.testing.assert_array_equal(w == 0, events.weight < 0)


def test_without_negative_weights_all_treatments_are_the_same():
    events = some_events()
    first, *others = (events.balanced_weight(negative) for negative in get_args(NegativeWeights))
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_factors_of_processes_change_shares_within_a_class():
    events = some_events()
    plain, more = events.balanced_weight(), events.balanced_weight(process_factors={"qqH": 3.0})
    ratio = more / plain
    qqh, ggh = ratio[events.process == "qqH"], ratio[events.process == "ggH"]
    np.testing.assert_allclose(qqh, 3 * ggh[0])
    np.testing.assert_allclose(ratio[events.y == 1], 1)
    np.testing.assert_allclose(np.bincount(events.y, more), len(events) / 2)


@pytest.mark.parametrize(
    ("negative", "factor"),
    [("absolute", lambda f: 1 / (1 - 2 * f)), ("drop", lambda f: (1 - f) / (1 - 2 * f))],
)
def test_treatments_are_biased_as_they_say(negative, factor):
    """Two places, with shares 0.1 and 0.4 of negative weights: what becomes of the ratio of densities."""
    n = 1000
    weight = np.where(np.tile(np.arange(n), 2) < np.repeat([0.1, 0.4], n) * n, -1.0, 1.0)
    place = np.repeat([0, 1], n)
    x = place[:, None].astype(float)
    events = LabelledEvents.from_arrays({"b": (x, weight), "s": (x, np.ones(2 * n))}, ["a"])
    trained = np.bincount(place, events.balanced_weight(negative)[events.y == 0])
    bias = trained / np.bincount(place, weight)
    assert bias[1] / bias[0] == pytest.approx(factor(0.4) / factor(0.1))


@pytest.mark.parametrize(
    ("options", "error", "part"),
    [
        ({"negative": "ignore"}, ct.ConfigError, "absolute, drop, refuse"),
        ({"negative": "refuse"}, ct.InputError, r"must not be negative, \d+ are"),
        ({"process_factors": {"ttbar": 2.0}}, ct.ConfigError, "ttbar"),
        ({"process_factors": {"DY": 0.0}}, ct.ConfigError, "must be positive"),
    ],
)
def test_weights_for_training_are_checked(options, error, part):
    with pytest.raises(error, match=part):
        some_events(negative=0.1).balanced_weight(**options)


def test_processes_need_a_positive_sum_of_weights():
    arrays = some_arrays() | {"DY": (np.zeros((2, 3)), np.array([1.0, -2.0]))}
    events = LabelledEvents.from_arrays(arrays, classes=CLASSES)
    with pytest.raises(ct.InputError, match="positive sum, got -1 for 'DY'"):
        events.balanced_weight()


def test_events_add_up():
    events = some_events()
    first, second = events.in_folds([0, 1]), events.in_folds([2, 3, 4])
    together = first + second
    assert len(together) == len(events)
    np.testing.assert_array_equal(together.x, np.concatenate([first.x, second.x]))
    with pytest.raises(ct.InputError, match="same observables"):
        _ = first + LabelledEvents.from_arrays(some_arrays(), classes=CLASSES)
    with pytest.raises(ct.InputError, match="same classes"):
        _ = first + LabelledEvents.from_arrays(some_arrays(), ["a", "b", "c"])


@pytest.mark.parametrize("shape", [(3,), (4, 5)])
def test_files_hold_all_of_it(tmp_path, shape):
    events = LabelledEvents.from_arrays(some_arrays(shape=shape), classes=CLASSES, n_folds=4)
    path = tmp_path / "events.parquet"
    events.save(path)
    assert_equal(LabelledEvents.load(path), events)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_files_can_be_read_without_cortado(tmp_path):
    events = some_events()
    events.save(tmp_path / "events.parquet")
    table = pq.read_table(tmp_path / "events.parquet")
    assert table.column_names == ["a", "b", "c", "class", "process", "weight", "event_id"]
    assert table["class"].to_pylist()[:2] == ["signal", "signal"]
    assert json.loads(table.schema.metadata[b"cortado"])["classes"] == ["signal", "background"]


def test_selections_are_those_of_numpy():
    events = some_events()
    mask = np.arange(len(events)) < 5
    everything: list[Any] = [mask, np.flatnonzero(mask), slice(5), [0, 1, 2, 3, 4]]
    for chosen in everything:
        np.testing.assert_array_equal(events.select(chosen).x, events.x[:5])
    assert len(events.select([])) == 0
    nothing: list[Any] = [mask[:-1], [len(events)], [0.5]]
    for unusable in nothing:
        with pytest.raises(ct.InputError, match="chosen must be a mask of 1200 events, or numbers"):
            events.select(unusable)


@pytest.mark.parametrize("shape", [(3,), (4, 5)])
def test_files_in_pieces_are_read_whole(tmp_path, shape):
    """As other programs may write them, and without events."""
    events = LabelledEvents.from_arrays(some_arrays(shape=shape), classes=CLASSES)
    events.save(tmp_path / "whole.parquet")
    pq.write_table(pq.read_table(tmp_path / "whole.parquet"), tmp_path / "pieces.parquet", row_group_size=13)
    assert_equal(LabelledEvents.load(tmp_path / "pieces.parquet"), events)
    events.select(slice(0)).save(tmp_path / "none.parquet")
    assert LabelledEvents.load(tmp_path / "none.parquet").x.shape == (0, *shape)


def no_parquet(path: Path) -> None:
    path.write_text("no Parquet", encoding="utf-8")


def other_table(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata(), path)


def other_kind(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata({"cortado": '{"format": "other-1"}'}), path)


def unknown_class(path: Path) -> None:
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[b"cortado"]) | {"classes": ["signal", "noise"]}
    pq.write_table(table.replace_schema_metadata({"cortado": json.dumps(header)}), path)


def no_weights(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["weight"]), path)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (no_parquet, "not a file of format"),
        (other_table, "no metadata of cortado"),
        (other_kind, "got 'other-1'"),
        (unknown_class, r"classes \['background'\] are not among"),
        (no_weights, "'weight' is not there"),
        (cut_off, "not a file of format"),
        (Path.unlink, "not a file of format"),
    ],
)
def test_other_files_are_refused(tmp_path, damage: Callable[[Path], None], part):
    path = tmp_path / "events.parquet"
    some_events().save(path)
    damage(path)
    with pytest.raises(ct.InputError, match=part):
        LabelledEvents.load(path)


X, W = np.zeros((2, 3)), np.ones(2)
BAD = np.array([[0.0, 0.0, 0.0], [0.0, np.nan, np.inf]])


@pytest.mark.parametrize(
    ("arrays", "options", "error", "part"),
    [
        ({}, {}, ct.ConfigError, "at least two classes"),
        ({"a": (X, W)}, {}, ct.ConfigError, "at least two classes"),
        ({"a": (X, W), "b": (X[:0], W[:0])}, {}, ct.InputError, r"none of \['b'\]"),
        ({"a": (X, W), "b": (X[:, 0], W)}, {}, ct.InputError, r"'b': .* shape .*\(2,\)"),
        ({"a": (X, W), "b": (X, W[:1])}, {}, ct.InputError, r"'b': .* got \(2, 3\) and \(1,\)"),
        ({"a": (X, W), "b": (X[:, :2], W)}, {}, ct.InputError, "same observables"),
        ({"a": (X, W), "b": (BAD, W)}, {}, ct.InputError, "'x1' must be finite, 1 .* in row 1, of 'b'"),
        ({"a": (X, W), "b": (X + 1e39, W)}, {}, ct.InputError, "'x0' must be finite, 2"),
        (
            {"a": (X, W), "b": (X, W * np.nan)},
            {},
            ct.InputError,
            "weights must be finite, 2 .* row 0, of 'b'",
        ),
        ({"a": (X[:, None], W), "b": (BAD[:, None], W)}, {}, ct.InputError, "2 pixels .* row 1, of 'b'"),
        ({"a": (X, W), "b": ([["u"] * 3] * 2, W)}, {}, ct.InputError, "must be numbers"),
        ({"a": (X, W), "b": (X, W)}, {"observables": ["p", "q"]}, ct.InputError, "one a column"),
        ({"a": (X, W), "b": (X, W)}, {"observables": ["p", "q", "weight"]}, ct.ConfigError, "'weight'"),
        ({"a": (X, W), "b": (X, W)}, {"observables": ["p", "q", "p"]}, ct.ConfigError, "must differ"),
        ({"a": (X, W), "b": (X, W)}, {"n_folds": 0}, ct.ConfigError, "n_folds"),
        ({"a": (X, W), "b": (X, W)}, {"event_ids": {"a": [1, 2]}}, ct.InputError, "without 'b'"),
        ({"a": (X, W), "b": (X, W)}, {"event_ids": {"a": [1, 2], "b": [1.5, 2]}}, ct.InputError, "integer"),
        ({"a": (X, W)}, {"classes": {"s": ["a"], "b": ["c"]}}, ct.InputError, r"no events of \['c'\]"),
        ({"a": (X, W)}, {"classes": {"s": ["a"], "b": ["a"]}}, ct.ConfigError, "in two"),
        ({"a": (X, W)}, {"classes": {"s": ["a"], "b": "a"}}, ct.ConfigError, "list of processes"),
    ],
)
def test_arrays_are_checked(arrays, options, error, part):
    with pytest.raises(error, match=part):
        LabelledEvents.from_arrays(arrays, **options)


def test_classes_are_numbers_of_those_that_there_are():
    with pytest.raises(ct.InputError, match="numbers of classes, 0 to 1, got 0 to 2"):
        replace(LabelledEvents.from_arrays({"a": (X, W), "b": (X, W)}), y=np.array([0, 0, 1, 2]))


@pytest.mark.parametrize("name", ["x", "y", "weight", "event_id", "process"])
def test_every_array_has_one_row_an_event(name):
    events = some_events()
    with pytest.raises(ct.InputError, match="one row an event"):
        replace(events, **{name: getattr(events, name)[:-1]})
    if name != "x":
        with pytest.raises(ct.InputError, match=f"{name} must have one row an event, 1200, got shape"):
            replace(events, **{name: getattr(events, name)[:, None]})


def test_parts_need_every_class():
    few = LabelledEvents.from_arrays({"a": (X, W), "b": (X, W)})
    with pytest.raises(ct.InputError, match="every class needs events"):
        few.split()
    with pytest.raises(ct.InputError, match=r"at least 3 folds|every class needs events"):
        list(few.k_fold())


@pytest.mark.parametrize("shares", [(0.6, 0.4, 0.0), (0.5, 0.2, 0.2), (0.5, np.nan, 0.5)])
def test_shares_add_up_to_one(shares):
    with pytest.raises(ct.ConfigError, match="add up to 1"):
        some_events().split(*shares)
