"""What the networks have in common: how they are trained, and what they refuse."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cortado.classifiers.evaluation import keras_metrics
from cortado.classifiers.given import Expects, WeightedEvents
from cortado.classifiers.names import checked_ending, names_or_numbers
from cortado.errors import ConfigError, TrainingError, checked_integer
from cortado.files import write_whole
from cortado.models.tensorflow import keras, tf

Floats = npt.NDArray[np.float64]

ACTIVATIONS = ("relu", "elu", "selu", "sigmoid", "softplus", "tanh")
"""Those that an ONNX graph has, too."""

_BATCH_SIZE = 256
_AT_ONCE = 4096  # events whose probabilities are asked for together


class Network(keras.Model):
    """Base of networks whose last layer is a softmax: probabilities of the classes add up to 1.

    Weights of layers, dropout and the order of the events follow from ``seed``. A subclass is built when it
    is made, and adapts to the training events where it has something to adapt.
    """

    built: bool

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        classes: Sequence[str],
        seed: int,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.n_classes = checked_integer("n_classes", n_classes, 2)
        self.classes = names_or_numbers("classes", classes, n_classes)
        self.seed = checked_integer("seed", seed, 0)
        self.event_shape = shape
        self.fitted = self.add_weight(name="fitted", shape=(), initializer="zeros", trainable=False)
        # Mean weights of the events that are trained on and tested with; no part of a saved model.
        self._mean_weights = {True: tf.Variable(1.0), False: tf.Variable(1.0)}

    @property
    def expects(self) -> Expects:
        """Shape and classes of the events that it takes."""
        return Expects(self.event_shape, self.classes)

    def adapt(self, events: WeightedEvents) -> None:
        """Take from the training events what is no weight of a layer, such as the scaling."""

    def get_compile_config(self) -> None:
        """None: a file holds what predicts, and no losses and metrics, which may be anybody's code."""

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = "sparse_categorical_crossentropy",
        metrics: Sequence[Any] = (),
        *,
        jit_compile: bool | str = False,
        **options: Any,
    ) -> None:
        """Say how to train, as in Keras; metrics take the events' weights.

        The loss is one of class numbers (n,) and probabilities (n, n_classes). Without ``jit_compile`` XLA is
        not used, on no device: the metrics of :mod:`cortado.classifiers.metrics` cannot be compiled, and
        which metrics are looked at must not change what is trained. Raises ``ConfigError`` for what is no
        optimizer, loss or metric.
        """
        super().compile(
            optimizer=_known("optimizer", keras.optimizers.get, optimizer),
            loss=_known("loss", keras.losses.get, loss),
            weighted_metrics=keras_metrics(metrics),
            jit_compile=jit_compile,
            **options,
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss of a batch; over the batches of an epoch its mean is Σ w·loss / Σ w of all events."""
        if sample_weight is not None:
            sample_weight = sample_weight / self._mean_weights[bool(training)]
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def fit(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        batch_size: int | None = None,
        epochs: int = 1,
        validation_data: Sequence[Any] | None = None,
        callbacks: Any = None,
        verbose: Any = "auto",
        **options: Any,
    ) -> Any:
        """Train on observables x (n, …), class numbers y (n,) and weights (n,); another call goes on.

        Parameters
        ----------
        x, y, sample_weight
            Events; only the ratios of weights matter. Each class has some, and no weight is negative.
        batch_size
            Events in a gradient step, 256 without it; each epoch takes them in an order of its own.
        epochs
            How often every event is seen.
        validation_data
            (x, y) or (x, y, weight), of which loss and metrics are reported as ``val_…`` after each epoch.
        callbacks, verbose
            As in Keras.
        **options
            Others of Keras's ``fit``, such as ``initial_epoch``.

        Returns
        -------
        keras.callbacks.History
            Its ``history`` holds loss and metrics by epoch: weighted means over the events of the epoch.

        Raises
        ------
        ConfigError
            For numbers of epochs or events in a step that are not positive.
        InputError
            Events are none to train on: shapes, classes, weights or numbers that are not finite.
        TrainingError
            The loss is not finite any more.
        """
        events = self.expects.training_events(x, y, sample_weight)
        validation = self.expects.validation_events(validation_data)
        size = _BATCH_SIZE if batch_size is None else checked_integer("batch_size", batch_size, 1)
        if not self.fitted.numpy():
            self.adapt(events)
            self.fitted.assign(1.0)
        self._mean_weights[True].assign(events.weight.mean())
        if validation is not None:
            self._mean_weights[False].assign(validation.weight.mean())
        history = super().fit(
            _batches(events, size, self.seed),
            epochs=checked_integer("epochs", epochs, 1),
            shuffle=False,  # it is, by its own seed
            validation_data=None if validation is None else _batches(validation, _AT_ONCE),
            callbacks=callbacks,
            verbose=verbose,
            **options,
        )
        if not np.isfinite(history.history["loss"]).all():
            raise TrainingError(
                f"the loss was not finite after {len(history.history['loss'])} epochs of training; a smaller "
                "learning rate is the usual remedy"
            )
        return history

    def predict(self, x: npt.ArrayLike, batch_size: int = _AT_ONCE, verbose: Any = 0) -> Floats:
        """(n, n_classes) probabilities of the classes for events x (n, …).

        Raises ``ConfigError`` before ``fit``, ``InputError`` for what are no such events.
        """
        observables = self.expects.observables(x)
        self._require_fit()
        if not len(observables):
            return np.zeros((0, self.n_classes))
        return super().predict(observables, batch_size, verbose).astype(np.float64)

    def evaluate(
        self,
        x: Any,
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: Any = 0,
        **options: Any,
    ) -> dict[str, float]:
        """Loss and metrics by name, of all events at once: weighted means."""
        if isinstance(x, tf.data.Dataset):  # Keras, which validates while it fits
            return super().evaluate(x, verbose=verbose, **options)
        events = self.expects.evaluation_events(x, () if y is None else y, sample_weight)
        self._require_fit()
        self._mean_weights[False].assign(events.weight.mean())
        return super().evaluate(_batches(events, batch_size or _AT_ONCE), verbose=verbose, return_dict=True)

    def save(self, path: Any, **options: Any) -> None:
        """Write what predicts as a ``.keras`` file, whole or not at all.

        Raises ``ConfigError`` before ``fit`` and for a path that does not end in ``.keras``.
        """
        target = checked_ending("a network", path, ".keras")
        self._require_fit()
        with write_whole(target) as partial, warnings.catch_warnings():
            # Keras 3.15 makes arrays of its variables in a way that numpy 2 wants otherwise.
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            super().save(partial, **options)

    def get_config(self) -> dict[str, Any]:
        """The arguments that it was made with: numbers, texts and lists of them."""
        return {
            "name": self.name,
            "n_classes": self.n_classes,
            "classes": list(self.classes),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A model of the same arguments."""
        return cls(**config)

    def _require_fit(self) -> None:
        if not self.fitted.numpy():
            raise ConfigError(f"{type(self).__name__} has to be fitted first: model.fit(x, y)")


def _known(what: str, get: Callable[[Any], Any], given: Any) -> Any:
    """What Keras makes of a name or an object; ``ConfigError`` where it knows none."""
    try:
        return get(given)
    except ValueError as error:
        raise ConfigError(f"{what} must be one of Keras, got {given!r}") from error


def checked_widths(what: str, widths: Any) -> tuple[int, ...]:
    """How wide each layer is: a list of positive integers; else ``ConfigError``."""
    if not isinstance(widths, Sequence) or isinstance(widths, str):
        raise ConfigError(f"{what} must be a list of integers, one a layer, got {widths!r}")
    return tuple(checked_integer(what, n, 1) for n in widths)


def initial(seed: int, layer: int) -> Any:
    """The initialiser of Keras's layers (Glorot and Bengio, AISTATS 2010) with a seed of its own."""
    own = np.random.SeedSequence([seed, layer]).generate_state(1)[0]
    return keras.initializers.GlorotUniform(seed=int(own))


def _batches(events: WeightedEvents, size: int, seed: int | None = None) -> Any:
    """Batches (x, y, weight) of all events in a new order every time, or in their own without a seed."""
    with tf.device("CPU"):  # where batches are made
        arrays = [tf.convert_to_tensor(v) for v in (events.x, events.y, events.weight.astype(np.float32))]
    rows = tf.data.Dataset.range(len(events.y))
    if seed is not None:
        rows = rows.shuffle(len(events.y), seed=seed, reshuffle_each_iteration=True)
    return rows.batch(size).map(lambda i: tuple(tf.gather(a, i) for a in arrays)).prefetch(2)
