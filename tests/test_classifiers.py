"""Networks and boosted trees: one interface, the right curves, files and ONNX graphs that decide alike."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import zipfile
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from threadpoolctl import threadpool_limits

from cortado.classifiers import (
    AUC,
    ConvolutionalNetwork,
    CutAndCount,
    GradientBoostedDecisionTree,
    MaxSignificance,
    MultiLayerPerceptron,
    Predictions,
    RejectionAtEfficiency,
    export_onnx,
    load_classifier,
)
from cortado.classifiers.network import ACTIVATIONS
from cortado.classifiers.performance import auc, max_significance, rejection_at_efficiency
from cortado.columnar import Scorer
from cortado.errors import ConfigError, InputError, TrainingError
from cortado.models.tensorflow import tf

NAMES = ("background", "signal", "other")
KINDS = ("cuts", "trees", "perceptron", "convolutions")
WITHOUT_CUTS = KINDS[1:]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Where the machine is shared, threads of OpenMP wait for one another."""
    with threadpool_limits(1):
        yield


def events(kind, n_classes=2, n=600, seed=1):
    """Observables or images that tell the classes apart, class numbers and weights."""
    random = np.random.default_rng(seed)
    y = random.integers(0, n_classes, n)
    weight = random.uniform(0.5, 1.5, n) * np.where(y == 1, 0.01, 1.0)
    if kind == "convolutions":
        x = random.exponential(1.0, (n, 9, 8))
        x[:, :4] *= (1 + 2 * y)[:, None, None]
        x[0] = 0
        return x.astype(np.float32), y, weight
    x = random.normal(size=(n, 4))
    x[:, 0] += 2 * y
    x[:, 1] = 1e3 + 100 * x[:, 1] * (1 + y)
    x[:, 3] = 7.0
    return x.astype(np.float32), y, weight


def made(kind, n_classes=2, *, eagerly=True, **options) -> Any:
    """A compiled classifier, small enough to train in no time; a graph takes longer to trace than to run."""
    names: Any = {"classes": NAMES[:n_classes]}
    observables: Any = {"observables": ("pt", "mass", "eta", "charge")}
    if kind == "cuts":
        model: Any = CutAndCount(4, **names, **observables, **options)
        model.compile(metrics=["accuracy"])
    elif kind == "trees":
        model = GradientBoostedDecisionTree(
            4, n_classes, **names, **observables, **({"n_rounds": 5} | options)
        )
        model.compile(metrics=["accuracy"])
    else:
        model = (
            MultiLayerPerceptron(4, n_classes, **names, **observables, **options)
            if kind == "perceptron"
            else ConvolutionalNetwork((9, 8), n_classes, **names, **options)
        )
        model.compile(keras.optimizers.Adam(0.01), metrics=["accuracy"], run_eagerly=eagerly)
    return model


def options_of(kind):
    return {"epochs": 2, "batch_size": 64} if kind in ("perceptron", "convolutions") else {}


@pytest.fixture(scope="module")
def trained():
    """A function that gives a trained classifier of a kind, its history and its events; once for all."""
    known: dict[Any, Any] = {}

    def train(kind, n_classes=None):
        n_classes = n_classes or (3 if kind == "convolutions" else 2)
        if (kind, n_classes) not in known:
            x, y, weight = events(kind, n_classes)
            validation = events(kind, n_classes, seed=2)
            model = made(kind, n_classes, eagerly=False)
            history = model.fit(x, y, weight, validation_data=validation, verbose=0, **options_of(kind))
            known[kind, n_classes] = model, history.history, (x, y, weight), validation
        return known[kind, n_classes]

    return train


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_of_all_events_are_for_all_of_them(kind):
    x, y, weight = events(kind)
    model = made(kind)
    metrics = [AUC(), MaxSignificance(), RejectionAtEfficiency(0.5)]
    model.compile(metrics=metrics, **({} if kind in ("cuts", "trees") else {"run_eagerly": True}))
    history = model.fit(x, y, weight, verbose=0, **options_of(kind)).history
    assert len(history["auc"]) == len(history["loss"])
    found = model.evaluate(x, y, weight)
    predictions = Predictions(y, model.predict(x), weight)
    assert found["auc"] == pytest.approx(auc(predictions).value, rel=1e-6)
    assert found["max_significance"] == pytest.approx(max_significance(predictions).value, rel=1e-6)
    assert found["rejection_at_50"] == pytest.approx(
        rejection_at_efficiency(predictions, 0.5).value, rel=1e-6
    )


def test_xla_is_not_used_unasked_where_there_is_a_gpu(monkeypatch):
    devices = [tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: devices)
    model = MultiLayerPerceptron(4)
    model.compile(metrics=[AUC()])
    assert not model.jit_compile
    model.compile(jit_compile="auto")
    assert model.jit_compile


MULTI = [("cuts", 2), ("trees", 2), ("trees", 3), ("perceptron", 2), ("perceptron", 3), ("convolutions", 3)]


@pytest.mark.parametrize(("kind", "n_classes"), MULTI)
def test_one_interface(trained, kind, n_classes):
    model, history, (x, y, weight), _ = trained(kind, n_classes)
    p = model.predict(x)
    assert p.shape == (len(x), n_classes)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len({len(values) for values in history.values()}) == 1
    values = model.evaluate(x, y, 3 * weight)
    assert values["accuracy"] == pytest.approx(np.average(p.argmax(axis=1) == y, weights=weight), abs=1e-6)
    assert model.predict(x[:0]).shape == (0, n_classes)
    if kind != "cuts":
        cross_entropy = np.average(-np.log(p[np.arange(len(y)), y]), weights=weight)
        assert values["loss"] == pytest.approx(cross_entropy, rel=1e-5)


@pytest.mark.parametrize(("kind", "n_classes"), MULTI)
def test_curves_end_where_an_evaluation_does(trained, kind, n_classes):
    """The validation curve is that of all validation events, with their weights."""
    model, history, (x, y, weight), validation = trained(kind, n_classes)
    assert model.evaluate(*validation) == pytest.approx(
        {name: history[f"val_{name}"][-1] for name in ("loss", "accuracy")}, rel=1e-5
    )
    if kind in ("cuts", "trees"):  # networks change from batch to batch
        assert model.evaluate(x, y, weight) == pytest.approx(
            {name: history[name][-1] for name in ("loss", "accuracy")}, rel=1e-5
        )


@pytest.mark.parametrize("kind", WITHOUT_CUTS)
def test_the_same_seed_gives_the_same_classifier(kind):
    x, y, weight = events(kind, n=200)
    first, second = made(kind), made(kind)
    histories = [m.fit(x, y, weight, verbose=0, **options_of(kind)).history for m in (first, second)]
    np.testing.assert_array_equal(first.predict(x), second.predict(x))
    assert histories[0] == histories[1]


@pytest.mark.parametrize("kind", ["perceptron", "convolutions"])
def test_another_seed_gives_another_network(trained, kind):
    model, _, (x, _, _), _ = trained(kind)
    other = made(kind, seed=5)
    assert not np.allclose(other.get_weights()[-2], made(kind).get_weights()[-2])
    assert model.predict(x).std() > 0


@pytest.mark.parametrize("kind", WITHOUT_CUTS)
def test_only_ratios_of_weights_matter(kind):
    x, y, weight = events(kind, n=200)
    one, other = made(kind), made(kind)
    one.fit(x, y, weight, verbose=0, **options_of(kind))
    other.fit(x, y, 2.0**-20 * weight, verbose=0, **options_of(kind))
    np.testing.assert_allclose(one.predict(x), other.predict(x), atol=1e-6)


def test_weights_count_like_copies():
    """In trees, with a bin for each value: events of weight 2 are events given twice."""
    x, y, _ = events("trees", n=150)
    twice = np.arange(len(y)) % 3 == 0
    weighted, copied = (made("trees", min_samples_leaf=1) for _ in range(2))
    first = weighted.fit(x, y, np.where(twice, 2.0, 1.0), verbose=0)
    repeated = np.concatenate([np.arange(len(y)), np.flatnonzero(twice)])
    second = copied.fit(x[repeated], y[repeated], verbose=0)
    np.testing.assert_allclose(first.history["loss"], second.history["loss"], rtol=1e-6)
    np.testing.assert_allclose(weighted.predict(x), copied.predict(x), atol=1e-6)


def test_scaling_is_the_weighted_standardisation_of_the_first_fit(trained):
    model, _, (x, y, weight), _ = trained("perceptron")
    mean = np.average(x, axis=0, weights=weight)
    deviation = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    np.testing.assert_allclose(model.mean.numpy(), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.deviation.numpy()[:3], deviation[:3], rtol=1e-5)
    assert model.deviation.numpy()[3] == 7.0  # all the same: any number will do, but not 0
    goes_on = made("perceptron")
    goes_on.fit(x, y, verbose=0)
    before = goes_on.mean.numpy()
    goes_on.fit(2 * x, y, verbose=0)
    np.testing.assert_array_equal(goes_on.mean.numpy(), before)


def test_the_unit_of_an_observable_does_not_matter():
    x, y, _ = events("perceptron")
    scale = 2.0 ** np.array([10, -10, 3, 0])
    a, b = made("perceptron"), made("perceptron")
    a.fit(x, y, verbose=0)
    b.fit(scale * x, y, verbose=0)
    np.testing.assert_allclose(a.predict(x), b.predict(scale * x), atol=1e-5)


def test_shapes_are_those_asked_for():
    x, y, _ = events("perceptron", 3)
    model = MultiLayerPerceptron(4, 3)
    assert [layer.units for layer in model.hidden] == [32, 64, 32]
    assert model.count_params() - 9 == 4 * 32 + 32 + 32 * 64 + 64 + 64 * 32 + 32 + 32 * 3 + 3
    small = MultiLayerPerceptron(4, 3, units=[5], activation="tanh", dropout=0.2)
    small.compile(run_eagerly=True)
    small.fit(x, y, verbose=0)
    assert [tuple(w.shape) for w in small.trainable_weights] == [(4, 5), (5,), (5, 3), (3,)]
    images = ConvolutionalNetwork((33, 33))
    assert [layer.filters for layer in images.convolutions] == [8, 16, 32]
    assert {layer.kernel_size for layer in images.convolutions} == {(3, 3)}
    assert images.dropout == 0.5


@pytest.mark.parametrize("kind", ["perceptron", "convolutions"])
def test_dropout_is_used_in_training_alone(kind):
    x, _, _ = events(kind, n=50)
    model = made(kind, dropout=0.5)
    assert np.ptp([model(x, training=True).numpy() for _ in range(2)], axis=0).max() > 0
    assert np.ptp([model(x, training=False).numpy() for _ in range(2)], axis=0).max() == 0


def test_images_may_have_a_channel_axis(trained):
    model, _, (x, _, _), _ = trained("convolutions")
    np.testing.assert_array_equal(model.predict(x[..., None]), model.predict(x))


def test_the_scale_of_an_image_goes_with_its_maximum():
    x, y, _ = events("convolutions")
    model = made("convolutions", normalisation="maximum")
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(model.predict(1000 * x), model.predict(x), atol=1e-5)
    logarithm = made("convolutions", normalisation="logarithm")
    with pytest.raises(InputError, match="pixels must not be negative"):
        logarithm.fit(-x, y, verbose=0)


def test_a_network_learns():
    x, y, _ = events("perceptron", 3)
    model = made("perceptron", 3, eagerly=False)
    history = model.fit(x, y, epochs=10, batch_size=64, verbose=0).history
    assert history["accuracy"][-1] > 0.75
    assert history["loss"][-1] < 0.7 * history["loss"][0]


# --- boosting -----------------------------------------------------------------------------------------------


def test_early_stopping_looks_at_the_validation_loss():
    (x, y, _), (more, of_more, _) = events("trees"), events("trees", seed=2)
    options = {"n_rounds": 60, "learning_rate": 0.3, "min_samples_leaf": 3}
    curves = []
    for patience in (None, 3):
        model = made("trees", patience=patience, **options)
        curves.append(model.fit(x, y, validation_data=(more, of_more), verbose=0).history["val_loss"])
    whole, stopped = curves
    assert len(whole) == 60
    assert 4 < len(stopped) < 60
    assert stopped == whole[: len(stopped)]
    assert min(stopped) == stopped[-4]


def test_the_bar_changes_nothing(capsys):
    x, y, weight = events("trees", 3)
    silent, shown = made("trees", 3), made("trees", 3)
    first = silent.fit(x, y, weight, validation_data=(x, y), verbose=0)
    assert capsys.readouterr().out == ""
    second = shown.fit(x, y, weight, validation_data=(x, y), verbose=1)
    out = capsys.readouterr().out
    assert "5/5" in out
    assert f"val_loss: {second.history['val_loss'][-1]:.4f}" in out
    assert first == second
    np.testing.assert_array_equal(silent.predict(x), shown.predict(x))


def test_missing_observables_are_known_to_trees_alone(trained):
    x, y, _ = events("trees")
    x[::3, 0] = np.nan
    model = made("trees")
    model.fit(x, y, verbose=0)
    assert np.isfinite(model.predict(x)).all()
    with pytest.raises(InputError, match=r"finite, which 200 of 600 events break; the first is in row 0"):
        trained("perceptron")[0].predict(x)


def test_without_the_extra(trained, tmp_path, monkeypatch):
    x, y, _ = events("trees")
    for name in ("sklearn.ensemble", "skops.io"):
        monkeypatch.setitem(sys.modules, name, None)
    for act in (lambda: made("trees").fit(x, y), lambda: trained("trees")[0].save(tmp_path / "m.skops")):
        with pytest.raises(ConfigError, match=r"pip install 'cortado-hep\[classifiers\]'"):
            act()


# --- files --------------------------------------------------------------------------------------------------

ENDINGS = {"cuts": ".json", "trees": ".skops", "perceptron": ".keras", "convolutions": ".keras"}


@pytest.mark.parametrize(("kind", "n_classes"), MULTI)
def test_files_hold_what_predicts(trained, kind, n_classes, tmp_path):
    model, _, (x, y, weight), _ = trained(kind, n_classes)
    path = tmp_path / f"model{ENDINGS[kind]}"
    model.save(path)
    loaded = load_classifier(path)
    assert type(loaded) is type(model)
    assert loaded.classes == NAMES[:n_classes]
    assert loaded.observables == model.observables
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    loaded.compile(metrics=["accuracy"])
    assert loaded.evaluate(x, y, weight) == pytest.approx(model.evaluate(x, y, weight), rel=1e-5)
    unnamed = shutil.copy(path, tmp_path / "model")
    np.testing.assert_array_equal(load_classifier(unnamed).predict(x), model.predict(x))
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_what_its_name_says(trained, kind, tmp_path):
    right = tmp_path / f"model{ENDINGS[kind]}"
    trained(kind)[0].save(right)
    for ending in {".json", ".skops", ".keras"} - {ENDINGS[kind]}:
        wrong = shutil.copy(right, tmp_path / f"model{ending}")
        with pytest.raises(InputError, match="is not what its name says: it holds"):
            load_classifier(wrong)
        with pytest.raises(ConfigError, match=f"whose name ends in {ENDINGS[kind]}"):
            trained(kind)[0].save(wrong)


class Evil:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return eval, ("1 / 0",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.keras", b"hello"),
        ("nothing.skops", b""),
        ("pickle.skops", pickle.dumps(Evil())),
        ("list.json", b"[]"),
        ("other.json", b'{"format": "cortado-categorizer"}'),
    ],
)
def test_files_that_hold_no_classifier(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match="holds no classifier"):
        load_classifier(path)
    with pytest.raises(InputError, match="cannot read"):
        load_classifier(tmp_path / "absent.keras")


def rewritten(path, target, **members):
    """A copy of an archive with some members changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.get(name.partition(".")[0], old.read(name)))
    return target


def test_strangers_in_a_file_of_keras_are_refused(trained, tmp_path):
    model = trained("perceptron")[0]
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    assert "compile_config" not in config or config["compile_config"] is None
    other = {**config, "registered_name": "Functional", "class_name": "Functional"}
    stranger = {"class_name": "Lambda", "module": "builtins", "config": {}}
    changed = {
        "holds no network of cortado, but 'Functional'": other,
        "its configuration holds more than": {**config, "config": {**config["config"], "units": stranger}},
        "is no valid file of Keras": [],
        "is no valid network": {**config, "config": {**config["config"], "units": [3]}},
    }
    for message, content in changed.items():
        path = rewritten(tmp_path / "model.keras", tmp_path / "bad.keras", config=json.dumps(content))
        with pytest.raises(InputError, match=message):
            load_classifier(path)
    path = rewritten(tmp_path / "model.keras", tmp_path / "bad.keras", model=b"no weights")
    with pytest.raises(InputError, match="is no valid network"):
        load_classifier(path)


def test_strangers_in_a_file_of_skops_are_refused(trained, tmp_path):
    from sklearn.linear_model import LogisticRegression
    from skops import io

    io.dump(Evil(), tmp_path / "evil.skops")
    with pytest.raises(InputError, match="holds no valid boosted trees"):
        load_classifier(tmp_path / "evil.skops")
    io.dump(LogisticRegression(), tmp_path / "other.skops")
    with pytest.raises(InputError, match="holds no boosted trees of cortado"):
        load_classifier(tmp_path / "other.skops")
    trained("trees")[0].save(tmp_path / "trees.skops")
    path = rewritten(tmp_path / "trees.skops", tmp_path / "bad.skops", schema=b"{}")
    with pytest.raises(InputError, match="holds no valid boosted trees"):
        load_classifier(path)


# --- ONNX ---------------------------------------------------------------------------------------------------


def scored(model, x, path):
    export_onnx(model, path)
    return Scorer.load(path)(x)


@pytest.mark.parametrize(("kind", "n_classes"), MULTI)
def test_onnx_gives_the_same_probabilities(trained, kind, n_classes, tmp_path):
    model, _, (x, _, _), (more, _, _) = trained(kind, n_classes)
    points = np.concatenate([x, more, np.zeros_like(x[:1]), 1e4 * np.abs(x[:5])])
    scores = scored(model, points, tmp_path / "model.onnx")
    np.testing.assert_allclose(scores, model.predict(points), atol=0 if kind == "cuts" else 2e-6)
    metadata = {p.key: json.loads(p.value) for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert tuple(metadata["classes"]) == NAMES[:n_classes]
    assert tuple(metadata["observables"]) == model.observables


@pytest.mark.parametrize("n_classes", [2, 3])
def test_trees_and_cuts_decide_alike_at_every_threshold(n_classes, tmp_path):
    """At thresholds, the numbers beside them, infinite distances and NaN."""
    random = np.random.default_rng(1)
    x, y, _ = events("trees", n_classes, n=200)  # fewer than bins: thresholds are between two values
    x[random.random(x.shape) < 0.1] = np.nan
    model = made("trees", n_classes, n_rounds=20, min_samples_leaf=2)
    model.fit(x, y, verbose=0)
    nodes = np.concatenate([p.nodes for trees in model.trees._predictors for p in trees])
    inner = nodes[nodes["is_leaf"] == 0]
    assert len({*inner["missing_go_to_left"].tolist()}) == 2
    rounded = inner["num_threshold"].astype(np.float32)
    assert (rounded > inner["num_threshold"]).any()  # else rounding downwards would prove nothing
    near = [rounded, *(np.nextafter(rounded, np.float32(to)) for to in (np.inf, -np.inf))]
    values = np.concatenate([*near, np.array([np.nan, 3e38, -3e38, 0], np.float32)])
    values = values[~np.isinf(values)]  # a split between missing and all others is at infinity
    points = random.choice(values, (5000, 4))
    scores = scored(model, points, tmp_path / "trees.onnx")
    # Another leaf would change a probability by much more.
    np.testing.assert_allclose(scores, model.predict(points), atol=2e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_those_of_onnx(activation, tmp_path):
    x, y, _ = events("perceptron", n=64)
    model = made("perceptron", activation=activation, units=(8,))
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(scored(model, x, tmp_path / "m.onnx"), model.predict(x), atol=2e-6)


@pytest.mark.parametrize("normalisation", ["maximum", "logarithm", "none"])
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_normalisations_and_kernels_are_in_the_graph(normalisation, kernel_size, tmp_path):
    x, y, _ = events("convolutions", n=64)
    options = {"normalisation": normalisation, "kernel_size": kernel_size, "filters": (3, 4)}
    model = made("convolutions", **options)
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(scored(model, x, tmp_path / "m.onnx"), model.predict(x), atol=2e-6)


# --- bad input ----------------------------------------------------------------------------------------------

NAN, INF = np.nan, np.inf


def broken(what, x, y, weight):
    """Events with one thing wrong, and what is said about it."""
    if what == "shape":
        return x[:, :-1], y, weight, "x must have shape"
    if what == "infinite":
        x[3, 0] = INF
        return x, y, weight, "1 of 600 events break; the first is in row 3"
    if what == "lengths":
        return x, y[:-1], weight, r"y must be one class number an event, integers of shape \(600,\)"
    if what == "one-hot":
        return x, np.eye(2)[y], weight, "y must be one class number an event"
    if what == "unknown class":
        return x, y + 1, weight, r"y must be 0 … 1, the numbers of the classes .*, got 1 … 2"
    if what == "no signal":
        return x, 0 * y, weight, r"every class must have events .*\['signal'\] have none"
    if what == "no weight":
        return x, y, weight * (y == 0), r"every class must have events .*\['signal'\] have none"
    if what == "negative":
        return x, y, weight - 0.02, "sample_weight must not be negative to train with.*balanced_weight"
    if what == "text":
        return np.full(x.shape, "a"), y, weight, "x must be an array of numbers"
    return x, y, weight[:-1], "sample_weight must be one finite number an event"


BROKEN = (
    *("shape", "infinite", "lengths", "one-hot", "unknown class", "no signal", "no weight", "negative"),
    *("text", "weights"),
)


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_events_are_one_clear_sentence(kind, what):
    x, y, weight, message = broken(what, *events(kind))
    with pytest.raises(InputError, match=message) as error:
        made(kind).fit(x, y, weight, verbose=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_either_sign_are_for_evaluation(trained, kind):
    model, _, (x, y, weight), _ = trained(kind)
    signed = np.where(np.arange(len(y)) % 5 == 0, -1, 1) * weight
    right = model.predict(x).argmax(axis=1) == y
    accuracy = (signed * right).sum() / signed.sum()
    assert model.evaluate(x, y, signed)["accuracy"] == pytest.approx(accuracy, rel=1e-4)
    with pytest.raises(InputError, match="must add up to more than 0"):
        model.evaluate(x, y, -weight)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_predicted_before_a_fit(kind, tmp_path):
    model, (x, y, _) = made(kind), events(kind)
    for act in (
        lambda: model.predict(x),
        lambda: model.evaluate(x, y),
        lambda: model.save(tmp_path / f"model{ENDINGS[kind]}"),
        lambda: export_onnx(model, tmp_path / "model.onnx"),
    ):
        with pytest.raises(ConfigError, match="fit"):
            act()
    with pytest.raises(InputError, match="validation_data must be"):
        model.fit(x, y, validation_data=(x,))


def test_a_loss_that_is_not_finite_is_an_error():
    x, y, _ = events("perceptron", n=100)
    model = MultiLayerPerceptron(4)
    model.compile(loss=lambda _, p: p[:, 0] * np.nan, run_eagerly=True)
    with pytest.raises(TrainingError, match="the loss was not finite after 1 epoch"):
        model.fit(x, y, verbose=0)


def wrong(value: Any) -> Any:
    """A value of another type than an argument has."""
    return value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiLayerPerceptron(0), "n_observables must be at least 1, got 0"),
        (lambda: MultiLayerPerceptron(3, 1), "n_classes must be at least 2, got 1"),
        (lambda: MultiLayerPerceptron(3, activation="swish"), "activation must be one of"),
        (lambda: MultiLayerPerceptron(3, dropout=1.0), "dropout must be a fraction from 0 to below 1"),
        (lambda: MultiLayerPerceptron(3, dropout=wrong("1")), "dropout must be a fraction from 0 to below 1"),
        (lambda: MultiLayerPerceptron(3, units=(0,)), "units must be at least 1"),
        (
            lambda: MultiLayerPerceptron(3, units=wrong(32)),
            "units must be a list of integers, one a layer, got 32",
        ),
        (lambda: MultiLayerPerceptron(3).compile(optimizer="adamm"), "optimizer must be one of Keras, got"),
        (lambda: MultiLayerPerceptron(3).compile(loss="hinges"), "loss must be one of Keras, got 'hinges'"),
        (lambda: MultiLayerPerceptron(3).compile(metrics=["what"]), "metrics must be those of Keras"),
        (lambda: MultiLayerPerceptron(3).compile(metrics="acc"), "metrics must be a list, got 'acc'"),
        (lambda: made("perceptron").fit(*events("perceptron"), epochs=0), "epochs must be at least 1, got 0"),
        (
            lambda: ConvolutionalNetwork((9, 9), filters=wrong(8)),
            "filters must be a list of integers, one a layer",
        ),
        (lambda: ConvolutionalNetwork((7, 7)), "image_shape must be at least 8, got 7"),
        (lambda: ConvolutionalNetwork((33,)), r"image_shape must be \(height, width\), got"),
        (lambda: ConvolutionalNetwork((9, 9), normalisation="mean"), "normalisation must be one of"),
        (lambda: GradientBoostedDecisionTree(3, classes=["a"]), "classes must be 2 distinct names"),
        (lambda: GradientBoostedDecisionTree(3, n_rounds=0), "n_rounds must be at least 1"),
        (lambda: GradientBoostedDecisionTree(3, max_bins=256), "max_bins must be at most 255, got 256"),
        (
            lambda: GradientBoostedDecisionTree(3, max_leaf_nodes=1),
            "max_leaf_nodes must be at least 2, got 1",
        ),
        (lambda: GradientBoostedDecisionTree(3, learning_rate=0), "learning_rate must be positive, got 0"),
        (lambda: GradientBoostedDecisionTree(3, min_improvement=-1), "min_improvement must not be negative"),
        (lambda: GradientBoostedDecisionTree(3).compile(loss="hinge"), "loss must be one of log_loss"),
        (lambda: GradientBoostedDecisionTree(3).compile(metrics=["acc", "what"]), "metrics must be those"),
        (lambda: GradientBoostedDecisionTree(3).fit([[1, 2, 3]], [0]), "has to be compiled first"),
        (lambda: export_onnx(keras.Sequential(), "x.onnx"), "only classifiers of cortado are exported"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
