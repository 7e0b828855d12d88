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

_SHARPNESS = 3.0  # at sharpness 1: of neighbours whose places are one unit apart
_LEAST_CURVATURE = 1e-3


class MaxAffine(LateModel):
    """The largest of K affine functions a_k·φ + c_k of likelihood ratios; K (d + 1) parameters.

    φ_i = exp(u_i) for coordinates that are logarithms of ratios (log-ratio, logit), whatever the cells; φ_i =
    u_i for others. In the scores p of a softmax that is argmax_k a_k·p. The optimal regions have this form
    where the scores are calibrated: each event goes to the category to which it is worth most, and that is
    linear in the densities of the processes.

    Each function is the tangent at a place t_k of one convex function F(φ) = Σ_i f(φ_i), plus an offset o_k:
    every choice of slopes and constants can be written so. With units in which φ_i is 1 where the choice
    matters, f(φ) = 2 [(1 + φ) ln(1 + φ) − φ] for ratios, the squared significance of a signal φ over a
    background of 1, and f(φ) = φ² for others. Places are kept as logarithms of ratios. Memberships are
    softmax(sharpness · (a_k·φ + c_k) / D(φ)) with the curvature D = Σ_i f''(φ_i) φ_i² along the logarithms:
    divided by it, functions whose places are as far apart on a logarithmic scale differ as much, be they at
    ratios of 0.1 or of 1000. D changes no argmax.
    """

    def __init__(self, n_categories: int) -> None:
        super().__init__(n_categories)
        self._logarithmic: npt.NDArray[np.bool_] = np.zeros(0, bool)

    def _fixed(self) -> tuple[str, ...]:
        return ("location", "scale", "logarithmic")

    def _shapes(self, state: Mapping[str, Floats]) -> dict[str, tuple[int, ...]]:
        d, k = len(state["location"]), self.n_categories
        return {
            "location": (d,),
            "scale": (d,),
            "logarithmic": (d,),
            "places": (k, d),
            "offsets": (k,),
        }

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Set the variables to the :attr:`state` of a model that was made like this one.

        Raises ``InputError`` where names or shapes differ.
        """
        super().restore(state)
        self._logarithmic = np.asarray(state["logarithmic"]) > 0

    def initialise(self, start: Start) -> bool:
        """Tangents at the mean coordinates of the categories' points, by importance."""
        location, scale = start.location_and_scale()
        logarithmic = start.points.features.logarithmic
        centre = np.average(start.place, axis=0, weights=start.importance)
        location, scale = np.where(logarithmic, centre, location), np.where(logarithmic, 1.0, scale)
        places = []
        for k in range(self.n_categories):
            weight = np.where(start.category == k, start.importance, 0.0)
            weight = weight if weight.sum() > 0 else start.importance
            places.append(np.average((start.place - location) / scale, axis=0, weights=weight))
        state = {
            "location": location,
            "scale": scale,
            "logarithmic": logarithmic.astype(np.float64),
            "places": np.array(places),
            "offsets": np.zeros(self.n_categories),
        }
        self.restore(state)
        return True

    def _functions(self) -> tuple[Any, Any]:
        """Slopes (K, d) and constants (K,) of the functions of φ in the units of the model."""
        place = self._value("places")
        ratio = tf.exp(place)
        slopes = tf.where(self._logarithmic, 2 * tf.math.log1p(ratio), 2 * place)
        constants = tf.where(self._logarithmic, 2 * (tf.math.log1p(ratio) - ratio), -tf.square(place))
        return slopes, tf.reduce_sum(constants, axis=1) + self._value("offsets") * self._curvature(place)

    def _curvature(self, z: Any) -> Any:
        """(n,) D at places z (n, d), logarithms of ratios where coordinates are."""
        ratio = tf.exp(z)
        terms = tf.where(self._logarithmic, 2 * tf.square(ratio) / (1 + ratio), 2 * tf.ones_like(z))
        return _LEAST_CURVATURE + tf.reduce_sum(terms, axis=1)

    def _memberships(self, u: Any, sharpness: Any) -> Any:
        location = self._value("location")
        z = (coordinates(u, location.shape[0]) - location) / self._value("scale")
        curvature = self._curvature(z)[:, None]
        slopes, constants = self._functions()
        phi = tf.where(self._logarithmic, tf.exp(z), z)
        return tempered(
            _SHARPNESS * (phi / curvature @ tf.transpose(slopes) + constants / curvature), sharpness
        )

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        """(n, K) memberships at coordinates u (n, d), or per process for a mapping; rows sum to 1."""
        return over_processes(lambda values: self._memberships(values, sharpness), u)

    def parameters(self) -> MaxAffineRule:
        """Slopes and offsets of the functions of φ, in the sample's coordinates."""
        location, scale = np.asarray(self._value("location")), np.asarray(self._value("scale"))
        slopes, constants = (np.asarray(part) for part in self._functions())
        log = self._logarithmic
        slopes = np.where(log, slopes * np.exp(-np.where(log, location, 0.0)), slopes / scale)
        offsets = constants - slopes[:, ~log] @ location[~log]
        return MaxAffineRule(
            slopes=tuple(map(tuple, slopes.tolist())),
            offsets=tuple(offsets.tolist()),
            exponential=tuple(log.tolist()),
        )
