"""Cuts: the best of all that the edges allow, in both topologies, for every loss."""

from __future__ import annotations

import itertools
import json
import time
from math import inf
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cortado as ct
from cortado.classifiers import CutAndCount, load_classifier
from cortado.classifiers.cut_losses import loss_of_cuts
from cortado.classifiers.cuts import Cut, Passing, best_cut, edges_of
from cortado.errors import ConfigError, InputError
from cortado.objectives.asimov import squared_significance
from cortado.objectives.counting import SQUARED_SIGNIFICANCES
from cortado.plotting import cut as draw_cut
from cortado.plotting import cuts as draw_cuts

CLASSES = ("background", "signal")
LOSSES = {
    "significance": "significance",
    "signal over root total": "s/sqrt(s+b)",
    "with uncertainty": ct.AsimovWithUncertainty("signal"),
    "cross entropy": "binary_crossentropy",
    "squared error": "mean_squared_error",
}


def events(n=2000, seed=1, spread=1.0):
    """A signal above, one in the middle and one on both sides of a background, each in its observable."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, n)
    signal = y == 1
    x = random.normal(size=(n, 3)) * spread
    x[:, 0] += 2 * signal
    x[:, 1] *= np.where(signal, 0.3, 1.5)
    x[:, 2] *= np.where(signal, 2.0, 0.4)
    return x.astype(np.float32), y, random.uniform(0.5, 1.5, n) * np.where(signal, 0.05, 1.0)


def fitted(topology="sequential", loss="significance", **options):
    x, y, weight = events()
    model = CutAndCount(3, topology=topology, **options)
    model.compile(loss=loss)
    history = model.fit(x, y, weight)
    return model, history, (x, y, weight)


def all_cuts(edges):
    """Every cut that the edges allow."""
    yield Cut("x")
    for a in edges:
        yield Cut("x", high=float(a))
        yield Cut("x", low=float(a))
    for a, b in itertools.combinations(edges, 2):
        yield Cut("x", float(a), float(b))
        yield Cut("x", float(a), float(b), outside=True)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 1), st.floats(0, 3).filter(lambda w: w == 0 or w > 1e-3)),
        min_size=2,
        max_size=40,
    )
)
def test_no_cut_is_better_than_the_best(loss, rows):
    """Few values, most of them on edges, so that what is kept at an end matters."""
    x, y, weight = (np.array(v) for v in zip(*rows, strict=True))
    x, weight = x.astype(np.float32), weight.astype(np.float64)
    edges = edges_of(x, np.ones(len(x)), 6, "quantile")
    of = loss_of_cuts(loss, CLASSES)
    if not weight.sum() > 0:
        return

    def worth(cut):
        return float(of(Passing.of(cut.keeps(x), y, weight, 2))[0])

    best = best_cut("x", x, y, weight, edges, 2, of)
    assert worth(best) <= min(map(worth, all_cuts(edges))) + 1e-9


@pytest.mark.parametrize("kind", SQUARED_SIGNIFICANCES)
def test_significances_are_those_of_the_objectives(kind):
    passing = Passing.of(np.array([True, True, False]), np.array([0, 1, 1]), np.array([9.0, 4.0, 1.0]), 2)
    (loss,) = loss_of_cuts(kind, CLASSES)(passing)
    assert loss == pytest.approx(-np.sqrt(SQUARED_SIGNIFICANCES[kind](4.0, 9.0)))
    if kind == "asimov":
        assert loss == loss_of_cuts("significance", CLASSES)(passing)
        assert loss == pytest.approx(loss_of_cuts(ct.Asimov("signal"), CLASSES)(passing)[0])


def test_every_kind_is_found():
    model, _, _ = fitted("parallel", loss=ct.AsimovWithUncertainty("signal"))
    above, between, outside = model.cuts
    assert above.low > 0
    assert above.high == inf
    assert -1 < between.low < between.high < 1
    assert not between.outside
    assert outside.outside
    mirrored = CutAndCount(1)
    mirrored.compile(loss=ct.AsimovWithUncertainty("signal"))
    x, y, weight = events()
    mirrored.fit(-x[:, :1], y, weight)
    assert mirrored.cuts[0].low == -inf


@pytest.mark.parametrize("topology", ["parallel", "sequential"])
def test_the_loss_is_that_of_the_events_that_pass(topology):
    model, history, (x, y, weight) = fitted(topology)
    passes = np.ones(len(x), bool)
    for cut, column, loss in zip(model.cuts, x.T, history.history["loss"], strict=True):
        passes &= cut.keeps(column)
        s, b = (weight[passes & (y == k)].sum() for k in (1, 0))
        assert loss == pytest.approx(-(squared_significance(s, b) ** 0.5))
    assert model.evaluate(x, y, weight) == {"loss": history.history["loss"][-1]}
    np.testing.assert_array_equal(model.predict(x)[:, 1], passes)
    np.testing.assert_array_equal(model.predict(x).sum(axis=1), 1)


def test_sequential_cuts_come_from_what_passed_all_earlier_ones():
    """Each is that of a model of one observable, trained on these events alone; no loss is larger."""
    model, history, (x, y, weight) = fitted("sequential")
    passes = np.ones(len(x), bool)
    for i, cut in enumerate(model.cuts):
        alone = CutAndCount(1, observables=(f"x{i}",))
        alone.compile()
        alone.fit(x[passes, i : i + 1], y[passes], weight[passes])
        assert alone.cuts == (cut,)
        passes &= cut.keeps(x[:, i])
    assert np.all(np.diff(history.history["loss"]) <= 0)
    assert fitted("parallel")[0].cuts[0] == model.cuts[0]
    assert fitted("parallel")[0].cuts[1:] != model.cuts[1:]


def test_cross_entropy_is_that_of_keras():
    model, history, (x, y, weight) = fitted(loss="binary_crossentropy")
    import keras

    of_keras = keras.losses.SparseCategoricalCrossentropy(reduction="none")(y, model.predict(x))
    assert history.history["loss"][-1] == pytest.approx(np.average(of_keras, weights=weight), rel=1e-5)
    wrong = np.average(model.predict(x).argmax(axis=1) != y, weights=weight)
    assert history.history["loss"][-1] == pytest.approx(16.118 * wrong, rel=1e-3)


def test_metrics_and_validation_take_weights():
    x, y, weight = events()
    model = CutAndCount(3)
    model.compile(metrics=["accuracy"])
    history = model.fit(x, y, weight, validation_data=(x[:500], y[:500], weight[:500])).history
    right = model.predict(x).argmax(axis=1) == y
    assert history["accuracy"][-1] == pytest.approx(np.average(right, weights=weight))
    assert history["val_accuracy"][-1] == pytest.approx(np.average(right[:500], weights=weight[:500]))
    assert {len(values) for values in history.values()} == {3}


@pytest.mark.parametrize("topology", ["parallel", "sequential"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_categorizer_decides_alike(topology, loss, tmp_path):
    """On the edges and beside them, too, and after both were kept in files."""
    model, _, (x, _, _) = fitted(topology, loss)
    ends = np.array([end for cut in model.cuts for end in cut.ends], np.float32)
    near = np.concatenate([ends, np.nextafter(ends, np.float32(inf)), np.nextafter(ends, np.float32(-inf))])
    points = np.concatenate([x, np.random.default_rng(1).choice(near, (2000, 3))])
    model.save(tmp_path / "cuts.json")
    model.categorizer().save(tmp_path / "categorizer.json")
    categorizer = ct.Categorizer.load(tmp_path / "categorizer.json")
    named = dict(zip(model.observables, points.T, strict=True))
    category = categorizer(named)
    np.testing.assert_array_equal(category == 1, load_classifier(tmp_path / "cuts.json").passes(points))
    assert categorizer.labels == ("fail", "pass")
    assert {0, 1} == set(category.tolist())


def test_events_far_out_change_no_cut_between_quantiles():
    x, y, weight = events()
    with_one = np.append(x[:, 0], np.float32(1e6))[:, None], np.append(y, 0), np.append(weight, 1.0)
    losses = {}
    for binning in ("quantile", "equidistant"):
        model = CutAndCount(1, binning=binning)
        model.compile()
        model.fit(*with_one)
        losses[binning] = model.evaluate(x[:, :1], y, weight)["loss"]
    assert losses["quantile"] == pytest.approx(fitted()[1].history["loss"][0], rel=0.1)
    assert losses["equidistant"] > 0.7 * losses["quantile"]


def test_an_observable_that_tells_nothing_is_not_cut_on():
    y = np.arange(400) % 2
    model = CutAndCount(2, topology="sequential")
    model.compile()
    model.fit(np.ones((400, 2)), y)
    assert [str(cut) for cut in model.cuts] == ["x0: no cut", "x1: no cut"]
    assert model.passes(np.full((1, 2), 5.0)).all()
    with pytest.raises(ConfigError, match="no cuts to make categories of"):
        model.categorizer()


def test_nothing_may_pass():
    """Where it is best to call every event background: a rare signal of no shape, by its cross entropy."""
    random = np.random.default_rng(1)
    y = np.arange(1000) % 10 == 0
    model = CutAndCount(2, topology="sequential")
    model.compile(loss="binary_crossentropy")
    history = model.fit(random.normal(size=(1000, 2)), y.astype(int)).history
    assert history["loss"][-1] < 16.2 * 0.1


def test_cuts_are_said_in_words():
    words = {
        "m: no cut": Cut("m"),
        "m ≤ 0.1": Cut("m", high=float(np.float32(0.1))),
        "m ≥ -2": Cut("m", low=-2.0),
        "80 ≤ m ≤ 100": Cut("m", 80.0, 100.0),
        "m < 80 or m > 100": Cut("m", 80.0, 100.0, outside=True),
    }
    assert {str(cut): cut for cut in words.values()} == words


def test_it_takes_milliseconds():
    x, y, weight = events(2000)
    model = CutAndCount(3, topology="sequential")
    model.compile()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        model.fit(x, y, weight)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1  # it is 4 ms where nothing else runs


@pytest.mark.parametrize("topology", ["parallel", "sequential"])
def test_cuts_are_drawn_on_the_events_that_they_were_chosen_from(topology):
    model, _, (x, y, weight) = fitted(topology)
    figure, axes = plt.subplots(1, 3, layout="constrained")
    drawn = draw_cuts(model, x, y, weight, axes=axes, bins=40)
    assert [ax.get_title() for ax in drawn] == [str(cut) for cut in model.cuts]
    rows = np.ones(len(x), bool)
    for ax, cut, column in zip(drawn, model.cuts, x.T, strict=True):
        lines: list[Any] = list(ax.lines)
        assert sorted({line.get_xdata()[0] for line in lines}) == list(cut.ends)
        background: Any = ax.patches[0]
        outline = background.get_data()
        of_background = rows & (y == 0)
        expected, _ = np.histogram(column[of_background], outline.edges, weights=weight[of_background])
        np.testing.assert_allclose(outline.values, expected / expected.sum() / np.diff(outline.edges))
        if topology == "sequential":
            rows &= cut.keeps(column)
    with pytest.raises(ConfigError, match="axes must be one for each of 3 observables, got 2"):
        draw_cuts(model, x, y, weight, axes=axes[:2])
    plt.close(figure)


@pytest.mark.parametrize(("largest", "bins", "width"), [(29, 50, 1), (29, 30, 1), (30, 30, 2), (0, 30, 1)])
def test_bins_of_integers_hold_the_same_number_of_them(largest, bins, width):
    values = np.tile(np.arange(largest + 1.0), 100).astype(np.float32)
    ax = draw_cut(
        Cut("n"), {"background": (values, np.ones(len(values)))}, ax=plt.figure().add_subplot(), bins=bins
    )
    patch: Any = ax.patches[0]
    counts, edges, _ = patch.get_data()
    assert len(counts) <= bins
    np.testing.assert_array_equal(np.diff(edges), width)
    assert edges[0] < 0
    assert edges[-1] > largest
    np.testing.assert_allclose(counts[:-1], counts[0])
    plt.close(ax.figure)


def test_damaged_files_are_refused(tmp_path):
    model, _, _ = fitted()
    path = tmp_path / "cuts.json"
    model.save(path)
    content = json.loads(path.read_text())
    changes: list[dict[str, Any]] = [{"version": 2}, {"cuts": []}, {"topology": "both"}, {"more": 1}]
    for change in changes:
        path.write_text(json.dumps(content | change))
        with pytest.raises(InputError, match="holds no valid cuts"):
            load_classifier(path)
    path.write_text("{")
    with pytest.raises(InputError, match="holds no classifier"):
        load_classifier(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topology": "both"}, "topology must be one of parallel, sequential, got 'both'"),
        ({"n_bins": 1}, "n_bins must be at least 2, got 1"),
        ({"binning": "log"}, "binning must be one of quantile, equidistant, got 'log'"),
        ({"classes": ("a", "b", "c")}, "classes must be 2 distinct names"),
        ({"observables": ("m", "m", "n")}, "observables must be 3 distinct names"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ConfigError, match=message):
        CutAndCount(3, **options)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("significanse", r"loss must be 'significance', .*'s/sqrt\(b\)', .* or a loss of Keras, got 'signi"),
        (ct.Asimov("ggH"), r"the signal of the loss must be 'signal', got \['ggH'\]"),
        (3, "loss must be"),
    ],
)
def test_wrong_losses(loss, message):
    with pytest.raises(ConfigError, match=message):
        CutAndCount(3).compile(loss=loss)


def test_in_the_wrong_order():
    x, y, _ = events(50)
    model = CutAndCount(3)
    with pytest.raises(ConfigError, match="has to be compiled first"):
        model.fit(x, y)
    with pytest.raises(ConfigError, match="optimizer is for networks"):
        model.compile(optimizer="adam")
    model.compile()
    with pytest.raises(ConfigError, match="no cuts before fit"):
        model.predict(x)
    with pytest.raises(ConfigError, match="epochs is for networks"):
        model.fit(x, y, epochs=3)
    model.fit(x, y)
    with pytest.raises(ConfigError, match=r"ends in \.json"):
        model.save("cuts.keras")
