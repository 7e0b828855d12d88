"""The exact area below the ROC curve as a Keras metric."""

from __future__ import annotations

from collections.abc import Sequence

from cortado.classifiers.metrics.of_all_events import MetricOfAllEvents
from cortado.classifiers.performance import Predictions, auc
from cortado.models.tensorflow import keras


@keras.saving.register_keras_serializable(package="cortado")
class AUC(MetricOfAllEvents):
    """Area below the ROC curve of signal against the rest, by trapezoids between all thresholds.

    Keras's own ``AUC`` knows 200 thresholds, in between which events count as tied.

    Parameters
    ----------
    signal, name
        As for :class:`MetricOfAllEvents`.
    """

    def __init__(self, signal: int | Sequence[int] | None = None, name: str = "auc") -> None:
        super().__init__(signal, name)

    def value(self, predictions: Predictions) -> float:
        return auc(predictions, self.signal).value
