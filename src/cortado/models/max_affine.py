"""Linear model: a category is the region where one affine function is the largest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.categorizer.rules import MaxAffineRule
from cortado.models.model import LateModel, coordinates, over_processes, tempered
from cortado.models.start import Start
from cortado.models.tensorflow import tf

Floats = npt.NDArray[np.float64]

_FIRST_GAP = 2.0  # between the two largest logits where a training begins, where it matters
_LEAST_VARIANCE = 1e-6


class MaxAffine(LateModel):
    """The largest of K affine functions a_k·φ + c_k of likelihood ratios; K (d + 1) parameters.

    φ_i = exp(u_i) for coordinates that are logarithms of ratios (log-ratio, logit), whatever the cells; φ_i =
    u_i for others. In the scores p of a softmax that is argmax_k a_k·p. The optimal regions have this form
    where the scores are calibrated: each event goes to the category to which it is worth most, and that is
    linear in the densities of the processes.

    Memberships are softmax(sharpness · (a_k·φ + c_k) / D) with the positive D = 1 + Σ_i exp(u_i − location_i)
    over the logarithmic coordinates: divided by it, the functions are linear in probabilities, whose prior is
    such that typical events have equal ones. D changes no argmax.
    """

    def __init__(self, n_categories: int) -> None:
        super().__init__(n_categories)
        self._logarithmic: npt.NDArray[np.bool_] = np.zeros(0, bool)

    def _fixed(self) -> tuple[str, ...]:
        return ("location", "scale", "logarithmic")

    def _shapes(self, state: Mapping[str, Floats]) -> dict[str, tuple[int, ...]]:
        d = len(state["location"])
        return {
            "location": (d,),
            "scale": (d,),
            "logarithmic": (d,),
            "coefficients": (d + 1, self.n_categories),
        }

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Set the variables to the :attr:`state` of a model that was made like this one.

        Raises ``InputError`` where names or shapes differ.
        """
        super().restore(state)
        self._logarithmic = np.asarray(state["logarithmic"]) > 0

    def initialise(self, start: Start) -> bool:
        """The functions that come closest to what the points are worth to the categories (least squares)."""
        location, scale = start.location_and_scale()
        logarithmic = start.points.features.logarithmic
        place = start.points.place
        centre = np.average(place, axis=0, weights=start.importance)
        d = len(location)
        state = {
            "location": np.where(logarithmic, centre, location),
            "scale": np.where(logarithmic, 1.0, scale),
            "logarithmic": logarithmic.astype(np.float64),
            "coefficients": np.zeros((d + 1, self.n_categories)),
        }
        self.restore(state)
        phi = np.asarray(self._functions(tf.constant(place)))
        root = np.sqrt(start.importance + 1 / len(place))[:, None]
        ridge = np.sqrt(_LEAST_VARIANCE) * np.eye(d + 1)
        left = np.concatenate([phi * root, ridge])
        right = np.concatenate([start.worth * root, np.zeros((d + 1, self.n_categories))])
        coefficients = np.linalg.lstsq(left, right, rcond=None)[0]
        coefficients -= coefficients.mean(axis=1, keepdims=True)
        largest = np.sort(phi @ coefficients, axis=1)
        gap = np.average(largest[:, -1] - largest[:, -2], weights=start.importance)
        self.restore(state | {"coefficients": coefficients * (_FIRST_GAP / gap if gap > 0 else 1.0)})
        return True

    def _functions(self, u: Any) -> Any:
        """(n, d + 1) φ_i / D of the logarithmic coordinates, 1 / D, and φ_i / D of the others."""
        location = self._value("location")
        z = (coordinates(u, location.shape[0]) - location) / self._value("scale")
        logs = tf.boolean_mask(z, self._logarithmic, axis=1)
        shares = tf.nn.softmax(tf.concat([logs, tf.zeros_like(z[:, :1])], axis=1), axis=1)
        return tf.concat([shares, tf.boolean_mask(z, ~self._logarithmic, axis=1) * shares[:, -1:]], axis=1)

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        """(n, K) memberships at coordinates u (n, d), or per process for a mapping; rows sum to 1."""
        return over_processes(
            lambda values: tempered(self._functions(values) @ self._value("coefficients"), sharpness), u
        )

    def parameters(self) -> MaxAffineRule:
        """Slopes and offsets of the functions of φ, in the sample's coordinates."""
        location, scale = np.asarray(self._value("location")), np.asarray(self._value("scale"))
        coefficients = np.asarray(self._value("coefficients"))
        log, n_log = self._logarithmic, int(self._logarithmic.sum())
        slopes = np.empty((len(location), self.n_categories))
        slopes[log] = coefficients[:n_log] * np.exp(-location[log])[:, None]
        slopes[~log] = coefficients[n_log + 1 :] / scale[~log][:, None]
        offsets = coefficients[n_log] - location[~log] @ slopes[~log]
        return MaxAffineRule(
            slopes=tuple(map(tuple, slopes.T.tolist())),
            offsets=tuple(offsets.tolist()),
            exponential=tuple(log.tolist()),
        )
