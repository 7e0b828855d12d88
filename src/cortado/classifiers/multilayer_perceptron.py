"""A network of dense layers on standardised observables."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from cortado.classifiers.given import WeightedEvents
from cortado.classifiers.names import names_or_numbers
from cortado.classifiers.network import ACTIVATIONS, Network, checked_widths, initial
from cortado.errors import ConfigError, checked_integer
from cortado.models.tensorflow import keras


@keras.saving.register_keras_serializable("cortado")
class MultiLayerPerceptron(Network):
    """Dense layers and a softmax, of observables that the first fit brings to mean 0 and variance 1.

    Parameters
    ----------
    n_observables
        Number d of observables.
    n_classes
        Number of classes.
    units
        Width of each hidden layer.
    activation
        Of the hidden layers: one of ``ACTIVATIONS``.
    dropout
        Fraction of the last hidden layer's units left out of each training step.
    classes, observables
        Names; numbers, and x0, x1, … without them.
    seed
        The same seed and events give the same network.
    """

    def __init__(
        self,
        n_observables: int,
        n_classes: int = 2,
        *,
        units: Sequence[int] = (32, 64, 32),
        activation: str = "relu",
        dropout: float = 0.0,
        classes: Sequence[str] = (),
        observables: Sequence[str] = (),
        seed: int = 0,
        **options: Any,
    ) -> None:
        checked_integer("n_observables", n_observables, 1)
        super().__init__((n_observables,), n_classes, classes, seed, **options)
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.observables = names_or_numbers("observables", observables, n_observables, "x")
        self.units = checked_widths("units", units)
        self.activation = activation
        self.dropout = checked_dropout(dropout)
        self.mean = self.add_weight(name="mean", shape=(n_observables,), initializer="zeros", trainable=False)
        self.deviation = self.add_weight(
            name="deviation", shape=(n_observables,), initializer="ones", trainable=False
        )
        self.hidden = [
            keras.layers.Dense(n, activation, kernel_initializer=initial(seed, i))
            for i, n in enumerate(self.units)
        ]
        self.left_out = keras.layers.Dropout(self.dropout, seed=seed)
        self.last = keras.layers.Dense(
            n_classes, "softmax", kernel_initializer=initial(seed, len(self.units))
        )
        self.build((None, n_observables))

    def build(self, input_shape: Any) -> None:
        """Make the weights of all layers."""
        if self.built:
            return
        width = input_shape[-1]
        for layer in self.hidden:
            layer.build((None, width))
            width = layer.units
        self.last.build((None, width))
        self.built = True

    def adapt(self, events: WeightedEvents) -> None:
        x, w = events.x.astype(np.float64), events.weight[:, None] / events.weight.sum()
        mean = (w * x).sum(axis=0)
        deviation = np.sqrt((w * (x - mean) ** 2).sum(axis=0))
        self.mean.assign(mean)
        # What is the same in all events says nothing, whatever it is divided by.
        self.deviation.assign(
            np.where(deviation > 1e-6 * np.abs(mean), deviation, np.maximum(np.abs(mean), 1))
        )

    def call(self, x: Any, training: bool = False) -> Any:
        """Probabilities (n, n_classes) of events (n, d)."""
        x = (x - self.mean) / self.deviation
        for layer in self.hidden:
            x = layer(x)
        return self.last(self.left_out(x, training=training))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "n_observables": self.event_shape[0],
            "units": list(self.units),
            "activation": self.activation,
            "dropout": self.dropout,
            "observables": list(self.observables),
        }


def checked_dropout(dropout: Any) -> float:
    """A fraction from 0 to below 1; else ``ConfigError``."""
    if not isinstance(dropout, Real) or not 0 <= float(dropout) < 1:
        raise ConfigError(f"dropout must be a fraction from 0 to below 1, got {dropout!r}")
    return float(dropout)
