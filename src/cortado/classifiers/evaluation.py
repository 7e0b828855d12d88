"""What classifiers outside of Keras have in common with those inside: a history, and metrics of Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.classifiers.given import WeightedEvents
from cortado.errors import ConfigError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class History:
    """What became of a training: for each quantity its values in turn, those of validation as ``val_…``."""

    history: dict[str, list[float]] = field(default_factory=dict)

    def add(self, values: dict[str, float]) -> None:
        """Append a value to each of the quantities."""
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)


class Metrics:
    """Metrics of Keras, by name or as objects, of all events at once; errors as of :func:`keras_metrics`."""

    def __init__(self, metrics: Sequence[Any] = ()) -> None:
        self._metrics = keras_metrics(metrics)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return tuple(metric.name for metric in self._metrics)

    def values(self, events: WeightedEvents, probabilities: Floats, prefix: str = "") -> dict[str, float]:
        """The value of every metric by its name, behind ``prefix``, from probabilities (n, n_classes)."""
        found = {}
        for metric in self._metrics:
            metric.reset_state()
            metric.update_state(events.y, probabilities, sample_weight=events.weight)
            found[f"{prefix}{metric.name}"] = float(metric.result())
        return found


def keras_metrics(metrics: Sequence[Any]) -> list[Any]:
    """Metrics of Keras by name, classes or objects, as objects.

    "accuracy" is that of class numbers and probabilities. Raises ``ConfigError`` for what is no list of
    metrics.
    """
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise ConfigError(f"metrics must be a list, got {metrics!r}")
    return [_metric(m) for m in metrics]


def _metric(metric: Any) -> Any:
    from cortado.models.tensorflow import keras

    if metric in ("accuracy", "acc"):
        return keras.metrics.SparseCategoricalAccuracy(name=metric)
    try:
        found = keras.metrics.get(metric)
    except ValueError as error:
        raise ConfigError(f"metrics must be those of Keras, {metric!r} is none") from error
    if isinstance(found, type):
        found = found()
    if not isinstance(found, keras.metrics.Metric):
        raise ConfigError(f"metrics must be those of Keras, got {metric!r}")
    return found


def refuse_keras_options(what: str, **options: Any) -> None:
    """Raise ``ConfigError`` for an option of Keras that means nothing to this classifier."""
    if given := [name for name, value in options.items() if value is not None]:
        raise ConfigError(f"{given[0]} is for networks: {what} has none, got {options[given[0]]!r}")
