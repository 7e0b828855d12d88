"""Background rejection at a given signal efficiency as a Keras metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cortado.classifiers.metrics.of_all_events import MetricOfAllEvents
from cortado.classifiers.performance import Predictions, rejection_at_efficiency
from cortado.classifiers.performance.rejection import checked_efficiency
from cortado.models.tensorflow import keras


@keras.saving.register_keras_serializable(package="cortado")
class RejectionAtEfficiency(MetricOfAllEvents):
    """1/ε of the background at the highest threshold that keeps a fraction ``efficiency`` of the signal.

    It is infinite where no background passes that threshold.

    Parameters
    ----------
    efficiency
        Of the signal, in (0, 1].
    signal
        As for :class:`MetricOfAllEvents`.
    name
        In the history of a training; "rejection_at_50" for an efficiency of 0.5 without it.

    Raises
    ------
    ConfigError
        For an efficiency out of its range.
    """

    def __init__(
        self, efficiency: float, signal: int | Sequence[int] | None = None, name: str | None = None
    ) -> None:
        # No dots: Keras puts the names of metrics into format fields of file names.
        percent = f"{100 * checked_efficiency(efficiency):g}".replace(".", "_")
        super().__init__(signal, name or f"rejection_at_{percent}")
        self.efficiency = float(efficiency)

    def value(self, predictions: Predictions) -> float:
        return rejection_at_efficiency(predictions, self.efficiency, self.signal, n_replicas=0).value

    def get_config(self) -> dict[str, Any]:
        return {"efficiency": self.efficiency, **super().get_config()}
