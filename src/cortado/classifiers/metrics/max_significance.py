"""The largest expected significance of a cut on the score as a Keras metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cortado.classifiers.metrics.of_all_events import MetricOfAllEvents
from cortado.classifiers.performance import BestCut, Expectation, Predictions, max_significance
from cortado.models.tensorflow import keras


@keras.saving.register_keras_serializable(package="cortado")
class MaxSignificance(MetricOfAllEvents):
    """The largest significance over all thresholds on the probability of signal.

    ``best`` is the cut that gives it, with its threshold.

    Parameters
    ----------
    kind, cross_sections, luminosity, min_background
        Which significance of which yields, as for :class:`cortado.classifiers.performance.Expectation`: the
        Asimov one of the sums of the weights without them.
    signal, name
        As for :class:`MetricOfAllEvents`.

    Raises
    ------
    ConfigError
        For another kind, one of cross sections and luminosity alone, and numbers that are negative.
    """

    def __init__(
        self,
        kind: str = "asimov",
        cross_sections: Sequence[float] | None = None,
        luminosity: float | None = None,
        min_background: float = 0.0,
        signal: int | Sequence[int] | None = None,
        name: str = "max_significance",
    ) -> None:
        super().__init__(signal, name)
        self.expectation = Expectation(kind, cross_sections, luminosity, min_background)

    @property
    def best(self) -> BestCut:
        """The best cut on all events since the last reset; ``InputError`` where there are none."""
        return self._cut(self.predictions)

    def value(self, predictions: Predictions) -> float:
        return self._cut(predictions).value

    def check_classes(self, n_classes: int) -> None:
        super().check_classes(n_classes)
        self.expectation.check_classes(n_classes)

    def get_config(self) -> dict[str, Any]:
        return {**asdict(self.expectation), **super().get_config()}

    def _cut(self, predictions: Predictions) -> BestCut:
        return max_significance(predictions, self.signal, expectation=self.expectation, n_replicas=0)
