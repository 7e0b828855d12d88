"""A network of convolutions for images of jets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cortado.classifiers.given import WeightedEvents
from cortado.classifiers.multilayer_perceptron import checked_dropout
from cortado.classifiers.network import ACTIVATIONS, Network, checked_widths, initial
from cortado.errors import ConfigError, InputError, checked_integer
from cortado.models.tensorflow import keras

NORMALISATIONS = ("maximum", "logarithm", "none")


@keras.saving.register_keras_serializable("cortado")
class ConvolutionalNetwork(Network):
    """Convolutions, each followed by a pooling of 2 × 2, a global average, dropout, and a softmax.

    Images are (n, h, w) or (n, h, w, 1).

    Parameters
    ----------
    image_shape
        (h, w) of the images.
    n_classes
        Number of classes.
    filters
        Number of filters of each convolution.
    kernel_size
        Pixels along each side of a filter; the edge of an image is filled up with zeros.
    activation
        Of the convolutions: one of ``ACTIVATIONS``.
    dropout
        Fraction of the averages left out of each training step.
    normalisation
        What becomes of an image first: it is divided by its largest pixel ("maximum"; an empty image stays
        empty), a pixel of value p becomes ln(1 + p) ("logarithm"), or nothing ("none").
    classes
        Names of the classes; numbers without them.
    seed
        The same seed and events give the same network.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        n_classes: int = 2,
        *,
        filters: Sequence[int] = (8, 16, 32),
        kernel_size: int = 3,
        activation: str = "relu",
        dropout: float = 0.5,
        normalisation: str = "maximum",
        classes: Sequence[str] = (),
        seed: int = 0,
        **options: Any,
    ) -> None:
        widths = checked_widths("filters", filters)
        shape = _checked_shape(image_shape, len(widths))
        super().__init__(shape, n_classes, classes, seed, **options)
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        if normalisation not in NORMALISATIONS:
            raise ConfigError(
                f"normalisation must be one of {', '.join(NORMALISATIONS)}, got {normalisation!r}"
            )
        self.observables: tuple[str, ...] = ()
        self.filters = widths
        self.kernel_size = checked_integer("kernel_size", kernel_size, 1)
        self.activation = activation
        self.dropout = checked_dropout(dropout)
        self.normalisation = normalisation
        self.convolutions = [
            keras.layers.Conv2D(
                n, kernel_size, padding="same", activation=activation, kernel_initializer=initial(seed, i)
            )
            for i, n in enumerate(self.filters)
        ]
        self.pooling = keras.layers.MaxPooling2D()
        self.average = keras.layers.GlobalAveragePooling2D()
        self.left_out = keras.layers.Dropout(self.dropout, seed=seed)
        self.last = keras.layers.Dense(
            n_classes, "softmax", kernel_initializer=initial(seed, len(self.filters))
        )
        self.build((None, *shape))

    def build(self, input_shape: Any) -> None:
        """Make the weights of all layers."""
        if self.built:
            return
        height, width, channels = int(input_shape[1]), int(input_shape[2]), 1
        for layer in self.convolutions:
            layer.build((None, height, width, channels))
            height, width, channels = height // 2, width // 2, layer.filters
        self.last.build((None, channels))
        self.built = True

    def adapt(self, events: WeightedEvents) -> None:
        if self.normalisation == "logarithm" and (events.x < 0).any():
            raise InputError("pixels must not be negative where their logarithm is taken")

    def call(self, x: Any, training: bool = False) -> Any:
        """Probabilities (n, n_classes) of images (n, h, w)."""
        x = keras.ops.reshape(x, (-1, *self.event_shape, 1))
        if self.normalisation == "maximum":
            largest = keras.ops.max(x, axis=(1, 2, 3), keepdims=True)
            x = x / keras.ops.where(largest > 0, largest, 1.0)
        elif self.normalisation == "logarithm":
            x = keras.ops.log1p(x)
        for layer in self.convolutions:
            x = self.pooling(layer(x))
        return self.last(self.left_out(self.average(x), training=training))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "image_shape": list(self.event_shape),
            "filters": list(self.filters),
            "kernel_size": self.kernel_size,
            "activation": self.activation,
            "dropout": self.dropout,
            "normalisation": self.normalisation,
        }


def _checked_shape(image_shape: Sequence[int], n_halvings: int) -> tuple[int, ...]:
    """(h, w), large enough to be halved as often as there are convolutions; else ``ConfigError``."""
    if not isinstance(image_shape, tuple | list) or len(image_shape) != 2:
        raise ConfigError(f"image_shape must be (height, width), got {image_shape!r}")
    return tuple(checked_integer("image_shape", n, 2**n_halvings) for n in image_shape)
