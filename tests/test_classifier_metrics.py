"""Keras metrics: those of all events at once, in whatever batches, graphs and epochs they come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortado.classifiers.metrics import AUC, MaxSignificance, MetricOfAllEvents, RejectionAtEfficiency
from cortado.classifiers.performance import (
    Expectation,
    Predictions,
    accuracy,
    auc,
    max_significance,
    rejection_at_efficiency,
)
from cortado.errors import ConfigError, InputError
from cortado.models.tensorflow import keras, tf

SECTIONS: dict[str, Any] = {"cross_sections": [3000.0, 20.0, 0.3], "luminosity": 10.0}
EXPECTATION = Expectation("s/sqrt(s+b)", min_background=5.0, **SECTIONS)


def metrics(**signal: Any) -> list[MetricOfAllEvents]:
    return [
        AUC(**signal),
        MaxSignificance(**signal),
        MaxSignificance("s/sqrt(s+b)", min_background=5.0, name="of_sections", **SECTIONS, **signal),
        RejectionAtEfficiency(0.5, **signal),
        RejectionAtEfficiency(0.995, **signal),
    ]


def expected(predictions: Predictions, signal: Any) -> dict[str, float]:
    """What the metrics are, by the functions of all events."""
    largest = {"max_significance": Expectation(), "of_sections": EXPECTATION}
    return {
        "auc": auc(predictions, signal).value,
        **{
            name: max_significance(predictions, signal, expectation=each, n_replicas=0).value
            for name, each in largest.items()
        },
        "rejection_at_50": rejection_at_efficiency(predictions, 0.5, signal, n_replicas=0).value,
        "rejection_at_99_5": rejection_at_efficiency(predictions, 0.995, signal, n_replicas=0).value,
    }


def events(n: int = 500, seed: int = 1) -> tuple[Any, Any, Any]:
    """Observables, three classes and weights, some of them negative; all in single precision."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = rng.normal(y[:, None], 1.2, (n, 2)).astype("f4")
    weight = np.where(rng.random(n) < 0.05, -1, 1) * rng.uniform(0.5, 1.5, n)
    return x, y, weight.astype("f4")


def probabilities(n: int = 500, seed: int = 1) -> Any:
    """Of few different values, so that scores are tied between batches."""
    x, _, _ = events(n, seed)
    powers = np.exp(-np.round((x.mean(axis=1)[:, None] - np.arange(3)) ** 2, 1))
    return (powers / powers.sum(axis=1, keepdims=True)).astype("f4")


def network(**options: Any) -> Any:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(3, activation="softmax")])
    given = {"optimizer": keras.optimizers.SGD(0.3), "loss": "sparse_categorical_crossentropy"}
    model.compile(**(given | options))
    return model


class TestInBatches:
    @settings(max_examples=10)
    @given(st.integers(15, 500), st.permutations(range(10)), st.booleans(), st.booleans())
    def test_it_is_that_of_all_events(self, size, order, in_graph, column):
        _, y, weight = events()
        p = probabilities()
        found = metrics(signal=[2])
        shuffled = np.concatenate([np.arange(500)[part::10] for part in order])
        for metric in found:
            update = tf.function(metric.update_state) if in_graph else metric.update_state
            for start in range(0, 500, size):
                batch = shuffled[start : start + size]
                truth = tf.constant(y[batch, None] if column else y[batch])
                update(truth, tf.constant(p[batch]), tf.constant(weight[batch]))
        values = {metric.name: float(metric.result()) for metric in found}
        assert values == pytest.approx(expected(Predictions(y, p, weight), [2]), rel=1e-12)

    def test_a_reset_forgets_everything(self):
        _, y, weight = events()
        p = probabilities()
        for metric in metrics(signal=1):
            metric.update_state(y[:250], p[:250], weight[:250])
            first = float(metric.result())
            metric.update_state(y[250:], 1 - p[250:], weight[250:])
            assert float(metric.result()) != first
            metric.reset_state()
            assert np.isnan(float(metric.result()))
            metric.update_state(y[:250], p[:250], weight[:250])
            assert float(metric.result()) == first

    def test_it_is_not_known_until_all_classes_have_events(self):
        p = np.array([[0.8, 0.2], [0.7, 0.3], [0.1, 0.9]], "f4")
        for metric in (
            AUC(),
            RejectionAtEfficiency(0.5),
            MaxSignificance(cross_sections=[1, 1], luminosity=1),
        ):
            metric.update_state([0, 0], p[:2])
            assert np.isnan(float(metric.result()))
            metric.update_state([1], p[2:])
            assert float(metric.result()) > 0

    def test_graphs_follow(self):
        """There, the value may lag by a third of the events; the result outside never does."""
        _, y, _ = events()
        p = probabilities()
        metric = AUC(2)

        @tf.function
        def step(y: Any, p: Any) -> Any:
            metric.update_state(y, p)
            return metric.result()

        known = [auc(Predictions(y[:n], p[:n]), 2).value for n in range(20, 501, 20)]
        seen = []
        for number, value in enumerate(known, start=1):
            batch = slice(20 * number - 20, 20 * number)
            seen.append(float(step(tf.constant(y[batch]), tf.constant(p[batch]))))
            assert float(metric.result()) == pytest.approx(value, rel=1e-12)
            assert min(abs(seen[-1] - v) for v in known[int(number * 2 / 3) : number]) < 1e-12
        assert seen[:3] == pytest.approx(known[:3], rel=1e-12)
        assert len(set(seen)) < len(set(known))  # else nothing is saved

    def test_the_best_cut(self):
        _, y, weight = events()
        metric = MaxSignificance(signal=2)
        with pytest.raises(InputError, match="needs events since its last reset, got none"):
            _ = metric.best
        metric.update_state(y, probabilities(), weight)
        assert metric.best.value == float(metric.result())
        chosen = probabilities()[:, 2].astype("f8") >= metric.best.threshold
        assert metric.best.signal == pytest.approx(weight[chosen & (y == 2)].sum(dtype="f8"))


class Recorder(keras.callbacks.Callback):
    """What a network predicts after each epoch."""

    def __init__(self, x: Any) -> None:
        super().__init__()
        self.x, self.predictions = x, list[Any]()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.predictions.append(np.asarray(self.model(self.x)))


class TestInTrainings:
    @pytest.mark.parametrize(
        "options", [{}, {"run_eagerly": True}, {"steps_per_execution": 4}], ids=["graph", "eager", "steps"]
    )
    def test_epochs_and_evaluations_are_those_of_all_events(self, options):
        x, y, weight = events()
        other_x, other_y, other_weight = events(301, seed=2)
        model = network(weighted_metrics=metrics(signal=2), **options)
        recorder = Recorder(other_x)
        history = model.fit(
            x,
            y,
            sample_weight=weight,
            batch_size=64,
            epochs=2,
            validation_data=(other_x, other_y, other_weight),
            callbacks=[recorder],
            verbose=0,
        ).history
        for epoch, p in enumerate(recorder.predictions):
            values = expected(Predictions(other_y, p, other_weight), 2)
            found = {name: history[f"val_{name}"][epoch] for name in values}
            assert found == pytest.approx(
                values, rel=1e-5
            )  # another graph rounds differently in single precision
        assert len(set(history["val_auc"])) == 2
        evaluated = model.evaluate(x, y, sample_weight=weight, batch_size=77, return_dict=True, verbose=0)
        values = expected(Predictions(y, model.predict(x, batch_size=77, verbose=0), weight), 2)
        assert {name: evaluated[name] for name in values} == pytest.approx(values, rel=1e-5)

    def test_a_training_epoch_is_that_of_its_own_predictions(self):
        """Of a network that learns nothing, so that these are known."""
        x, y, _ = events()
        model = network(optimizer=keras.optimizers.SGD(0.0), metrics=metrics(signal=2))
        history = model.fit(x, y, batch_size=32, epochs=2, verbose=0).history
        values = expected(Predictions(y, model.predict(x, batch_size=32, verbose=0)), 2)
        for epoch in range(2):
            assert {name: history[name][epoch] for name in values} == pytest.approx(values, rel=1e-5)

    def test_weights_are_those_of_weighted_metrics(self):
        x, y, weight = events()
        model = network(metrics=[AUC(2)], weighted_metrics=[AUC(2, name="weighted")])
        found = model.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0)
        p = model.predict(x, verbose=0)
        assert found["auc"] == pytest.approx(auc(Predictions(y, p), 2).value, rel=1e-6)
        assert found["weighted"] == pytest.approx(auc(Predictions(y, p, weight), 2).value, rel=1e-6)

    # Keras asks numpy for copies of TensorFlow's variables in a way that these do not know.
    @pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    )
    def test_a_model_is_saved_with_its_metrics(self, tmp_path):
        x, y, weight = events()
        model = network(weighted_metrics=metrics(signal=[1, 2]))
        model.fit(x, y, sample_weight=weight, verbose=0)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
        first, second = (
            m.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0) for m in (model, again)
        )
        assert second == pytest.approx(first, rel=1e-6)

    def test_xla_is_refused(self):
        x, y, _ = events()
        model = network(metrics=[AUC(2)], jit_compile=True)
        with pytest.raises(ConfigError, match=r"auc keeps .* which XLA cannot: .* jit_compile=False"):
            model.fit(x, y, verbose=0)

    def test_a_network_that_diverged_is_an_error_in_words(self):
        x, y, _ = events()
        model = network(metrics=[AUC(2)])
        model.layers[-1].bias.assign([np.nan, 0.0, 0.0])
        with pytest.raises(InputError, match="probabilities must be finite, but 500 of 500 events"):
            model.evaluate(x, y, verbose=0)


@pytest.mark.parametrize("metric", metrics(signal=[0, 2]), ids=lambda m: m.name)
def test_configurations_make_the_same_again(metric):
    config = metric.get_config()
    again = type(metric).from_config(config)
    assert again.get_config() == config
    assert (
        keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric)).name == metric.name
    )


def test_accuracy_is_keras_own():
    """It takes weights and adds up over batches, in single precision."""
    _, y, weight = events()
    p = probabilities()
    metric = keras.metrics.SparseCategoricalAccuracy()
    for batch in np.array_split(np.arange(500), 7):
        metric.update_state(y[batch], p[batch], weight[batch])
    assert float(metric.result()) == pytest.approx(accuracy(Predictions(y, p, weight)).value, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RejectionAtEfficiency(1.5), "efficiency must be a number above 0, at most 1, got 1.5"),
        (lambda: MaxSignificance("s/b"), "kind must be one of asimov"),
        (lambda: MaxSignificance(luminosity=1.0), "cross_sections and luminosity must be given together"),
        (lambda: AUC("ggH"), "signal must be the number of a class"),  # type: ignore[arg-type]
        (lambda: AUC().update_state([0], [[0.1, 0.2, 0.7]]), "signal must name the signal classes"),
        (
            lambda: AUC(3).update_state([0], [[0.1, 0.2, 0.7]]),
            "signal must be some, not all, of the classes 0 to 2",
        ),
        (
            lambda: MaxSignificance(**SECTIONS).update_state([0], [[0.1, 0.9]]),
            "cross_sections must have one for each of 2 classes, got 3",
        ),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


@pytest.mark.parametrize(
    ("y", "p", "weight", "words"),
    [
        ([0, 1], [0.2, 0.7], None, r"y_pred must be \(n, n_classes\) probabilities, got \(2,\)"),
        ([0, 1, 1], [[0.2, 0.8]] * 2, None, r"y must have one value for each of 2 events, got \(3,\)"),
        ([0, 1], [[0.2, 0.8]] * 2, [1.0], r"weight must have one value for each of 2 events, got \(1,\)"),
        ([0, 2], [[0.2, 0.8]] * 2, None, "y must be a class, 0 to 1"),
        ([0, 1], [[3.2, -2.2]] * 2, None, "probabilities must be between 0 and 1"),
    ],
)
def test_wrong_data(y, p, weight, words):
    def judged() -> Any:
        metric = AUC()
        metric.update_state(y, p, weight)
        return metric.result()

    with pytest.raises(InputError, match=words):
        judged()
