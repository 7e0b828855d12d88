"""Events by falling score: what passes each threshold on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortado.classifiers.performance.predictions import (
    Floats,
    Integers,
    MissingEvents,
    Predictions,
    Signal,
    check_positive,
)


@dataclass(frozen=True, eq=False)
class Ranking:
    """The events of some predictions in falling order of score.

    An event passes a threshold with a score of at least that. The m thresholds are the scores that occur, so
    that events of one score pass together.

    Attributes
    ----------
    thresholds
        (m,) falling.
    order
        (n,) the events by falling score.
    ends
        (m,) the place in ``order`` of the last event that passes each threshold.
    is_signal
        (n,) whether the events are signal, in this order.
    """

    thresholds: Floats
    order: Integers
    ends: Integers
    is_signal: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, predictions: Predictions, signal: Signal = None) -> Ranking:
        """Raises ``ConfigError`` for wrong classes, ``MissingEvents`` where Σw of a side is not positive."""
        score, is_signal = predictions.score(signal), predictions.is_signal(signal)
        for name, side in (("signal", is_signal), ("background", ~is_signal)):
            if not side.any():
                raise MissingEvents(f"predictions need {name} events, got none among {len(side)}")
            check_positive(name, predictions.weight[side].sum())
        order = np.argsort(-score, kind="stable")
        falling = score[order]
        ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
        return cls(thresholds=falling[ends], order=order, ends=ends, is_signal=is_signal[order])

    def passing(self, weight: Floats) -> tuple[Floats, Floats]:
        """(m,) sums of the weights of signal and of background at each threshold.

        ``weight`` is (n,), in the order of the predictions; the last sums are those of all events.
        """
        ranked = weight[self.order]
        signal = np.where(self.is_signal, ranked, 0.0)
        return np.cumsum(signal)[self.ends], np.cumsum(ranked - signal)[self.ends]
