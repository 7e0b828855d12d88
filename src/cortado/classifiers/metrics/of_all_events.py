"""Keras metrics that are no sum over batches: the predictions of all events are kept.

What depends on the order of all scores cannot be had exactly from variables of a fixed size. The batches are
kept as numpy arrays outside the graph, so that a metric is the numpy function of all events at once. Of a
growing TensorFlow variable, every batch would copy all that came before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from cortado.classifiers.performance.predictions import (
    MissingEvents,
    Predictions,
    named_classes,
    signal_classes,
)
from cortado.errors import ConfigError, InputError
from cortado.models.tensorflow import keras, tf

# In a graph the metric is worked out again when so many more events have come. Each time costs a sorting; all
# of them cost what three of all events do.
_MORE = 1 / 2


class MetricOfAllEvents(keras.metrics.Metric):
    """Base of metrics of the predictions of all events since the last reset.

    ``result()`` is exact. In the graph of a training or an evaluation, which asks after every batch, it is
    worked out anew when there are half more events than the last time, so that progress bars lag behind. At
    the end of an epoch or evaluation Keras asks once more, outside of the graph, for what it returns.
    While signal or background has no events, or no positive sum of weights, the metric is NaN.

    Keras gives weights to ``weighted_metrics`` alone, not to ``metrics``, and rounds them to single
    precision; networks of cortado have weighted metrics alone. XLA cannot keep events: models are compiled
    with ``jit_compile=False``, the default of networks of cortado, and of all without a GPU.

    Parameters
    ----------
    signal
        The number of the class that is signal, or a list of them; the second of two classes without it.
    name
        In the history of a training.
    """

    def __init__(self, signal: int | Sequence[int] | None, name: str) -> None:
        super().__init__(name=name, dtype="float64")
        self.signal = None if signal is None else named_classes(signal)
        self._kept = _Kept()

    @property
    def predictions(self) -> Predictions:
        """Those of all events since the last reset; ``InputError`` where there are none."""
        return self._kept.predictions()

    def value(self, predictions: Predictions) -> float:
        """The metric of the predictions of all events."""
        raise NotImplementedError

    def check_classes(self, n_classes: int) -> None:
        """Raise ``ConfigError`` where the metric is not one of so many classes."""
        signal_classes(self.signal, n_classes)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Keep the predictions of a batch.

        Parameters
        ----------
        y_true
            (n,) or (n, 1) numbers of the true classes.
        y_pred
            (n, n_classes) probabilities.
        sample_weight
            (n,) weights, 1 without it.

        Raises
        ------
        InputError
            For other shapes. Values are looked at when there is a result.
        ConfigError
            Where the metric does not fit the number of classes, or XLA compiles the graph.
        """
        if GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
            raise ConfigError(
                f"{self.name} keeps the predictions of all events, which XLA cannot: compile the model with "
                "jit_compile=False"
            )
        probabilities = tf.convert_to_tensor(y_pred)
        if probabilities.shape.rank != 2:
            raise InputError(f"y_pred must be (n, n_classes) probabilities, got {probabilities.shape}")
        if probabilities.shape[1] is not None:
            self.check_classes(probabilities.shape[1])
        n = tf.shape(probabilities)[:1]
        weight = tf.ones(n, tf.float64) if sample_weight is None else sample_weight
        tf.numpy_function(self._kept.add, [y_true, probabilities, weight], [])

    def result(self) -> Any:
        """The metric of all events since the last reset, a float64 scalar.

        Raises ``InputError`` where predictions are not what :class:`Predictions` has to be; in a graph it is
        NaN then.
        """
        if tf.executing_eagerly():
            return tf.constant(self._exact(), tf.float64)
        value = tf.numpy_function(self._recent, [], tf.float64)
        value.set_shape(())
        return value

    def reset_state(self) -> None:
        """Forget all events."""
        self._kept.clear()

    def get_config(self) -> dict[str, Any]:
        """What the metric is made from again."""
        return {"signal": self.signal and list(self.signal), "name": self.name}

    def _exact(self) -> float:
        try:
            return self.value(self.predictions)
        except MissingEvents:
            return float("nan")

    def _recent(self) -> np.float64:
        if self._kept.n >= self._kept.n_judged * (1 + _MORE):
            try:
                self._kept.judge(self._exact())
            except InputError:  # what is wrong says the result outside of the graph
                self._kept.judge(float("nan"))
        return np.float64(self._kept.judged)


class _Kept:
    """Batches of predictions, and the value that a metric had last in a graph."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.batches: list[tuple[Any, Any, Any]] = []
        self.n = 0
        self.judge(float("nan"))

    def add(self, y: Any, probabilities: Any, weight: Any) -> None:
        # The arrays are views of tensors, whose memory is used again.
        self.batches.append((np.array(y), np.array(probabilities), np.array(weight)))
        self.n += len(probabilities)

    def judge(self, value: float) -> None:
        self.judged, self.n_judged = value, self.n

    def predictions(self) -> Predictions:
        if not self.n:
            raise MissingEvents("a metric needs events since its last reset, got none")
        return Predictions(*map(np.concatenate, zip(*self.batches, strict=True)))
