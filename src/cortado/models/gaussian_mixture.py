"""Gaussian mixture: a category is the region where one component is the most probable."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.categorizer.rules import GaussianMixtureRule
from cortado.errors import ConfigError
from cortado.models.tensorflow import bijectors, distributions, tf
from cortado.sample import Points

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_LEAST_VARIANCE = 0.05  # of a component at the start, in units of the sample's variance


class GaussianMixture:
    """K Gaussians in d coordinates; memberships are softmax(sharpness · (log π_k + log N_k)).

    The method of arXiv:2601.07756. Parameters live in standardised coordinates z = (u − location) / scale,
    fixed by :meth:`initialise`, so that steps of one size suit every feature.

    Parameters
    ----------
    n_categories
        Number K ≥ 2 of components.
    """

    def __init__(self, n_categories: int) -> None:
        if n_categories < 2:
            raise ConfigError(f"n_categories must be at least 2, got {n_categories}")
        self.n_categories = n_categories
        self._tril = bijectors.FillScaleTriL(diag_bijector=bijectors.Exp(), diag_shift=None)
        self._variables: dict[str, Any] = {}

    def initialise(self, points: Points, category: Integers, importance: Floats) -> None:
        """Start near a partition: components with the mean and covariance of their points, by importance.

        ``category`` (n,) and ``importance`` (n,) ≥ 0, of every point.
        """
        mass = np.maximum(points.mass, 1e-12 * points.mass.max())
        location = np.average(points.place, axis=0, weights=mass)
        scale = np.sqrt(np.average((points.place - location) ** 2, axis=0, weights=mass))
        scale = np.where(scale > 0, scale, 1.0)
        z = (points.place - location) / scale
        means, trils = [], []
        for k in range(self.n_categories):
            weight = np.where(category == k, importance, 0.0)
            weight = weight if weight.sum() > 0 else importance
            mean = np.average(z, axis=0, weights=weight)
            covariance = np.einsum("n,ni,nj->ij", weight / weight.sum(), z - mean, z - mean)
            means.append(mean)
            trils.append(np.linalg.cholesky(covariance + _LEAST_VARIANCE * np.eye(z.shape[1])))
        raw_scale = self._tril.inverse(tf.constant(np.array(trils), tf.float64))
        self._assign(location, scale, np.zeros(self.n_categories), np.array(means), np.asarray(raw_scale))

    def _assign(self, *values: Floats) -> None:
        if not self._variables:
            names = ("location", "scale", "logits", "means", "raw_scale")
            self._variables = {
                name: tf.Variable(value, dtype=tf.float64, name=name, trainable=name in names[2:])
                for name, value in zip(names, values, strict=True)
            }
        for variable, value in zip(self._variables.values(), values, strict=True):
            variable.assign(value)

    @property
    def location(self) -> Floats:
        """(d,) place in coordinates that the parameters are measured from."""
        return np.asarray(self._variables["location"])

    @property
    def scale(self) -> Floats:
        """(d,) unit of the parameters along each coordinate."""
        return np.asarray(self._variables["scale"])

    @property
    def trainable_variables(self) -> list[Any]:
        """The TensorFlow variables that a fit changes."""
        return [v for v in self._variables.values() if v.trainable]

    def _parameters(self) -> tuple[Any, Any, Any]:
        """Logits (K,), means (K, d) and triangular factors of the covariances (K, d, d), standardised."""
        values = self._variables
        return values["logits"], values["means"], self._tril.forward(values["raw_scale"])

    def distribution(self) -> Any:
        """The mixture as a TensorFlow Probability distribution over standardised coordinates."""
        logits, means, tril = self._parameters()
        return distributions.MixtureSameFamily(
            distributions.Categorical(logits=logits), distributions.MultivariateNormalTriL(means, tril)
        )

    def log_densities(self, u: Any) -> Any:
        """(n, K) log π_k + log N_k at coordinates u (n, d), up to a constant.

        With Σ⁻¹ = P, log N = −½ zᵀPz + zᵀPμ − ½ μᵀPμ − log det L, linear in (1, z, z zᵀ): one matrix product.
        """
        z = (u - self._variables["location"]) / self._variables["scale"]
        n_dimensions = z.shape[1]
        logits, means, tril = self._parameters()
        identity = tf.eye(n_dimensions, batch_shape=[self.n_categories], dtype=tf.float64)
        inverse = tf.linalg.triangular_solve(tril, identity)
        precision = tf.linalg.matmul(inverse, inverse, transpose_a=True)
        linear = tf.linalg.matvec(precision, means)
        log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(tril)), axis=1)
        constant = tf.nn.log_softmax(logits) - 0.5 * tf.reduce_sum(linear * means, axis=1) - log_det
        quadratic = tf.reshape(z[:, :, None] * z[:, None, :], (-1, n_dimensions**2))
        features = tf.concat([tf.ones_like(z[:, :1]), z, quadratic], axis=1)
        coefficients = tf.concat(
            [
                constant[None, :],
                tf.transpose(linear),
                -0.5 * tf.transpose(tf.reshape(precision, (-1, n_dimensions**2))),
            ],
            axis=0,
        )
        return features @ coefficients

    def memberships(self, u: Any, sharpness: Any) -> Any:
        """(n, K) memberships at coordinates u (n, d), rows sum to 1; ``sharpness`` is 1/temperature."""
        return tf.nn.softmax(self.log_densities(u) * sharpness, axis=1)

    def freeze(self) -> GaussianMixtureRule:
        """The hard limit as a rule in the sample's coordinates."""
        logits, means, standard_tril = (np.asarray(p) for p in self._parameters())
        tril = standard_tril * self.scale[:, None]
        weights = np.asarray(tf.nn.softmax(logits))
        covariances = tril @ np.swapaxes(tril, 1, 2)
        return GaussianMixtureRule(
            weights=tuple(map(float, weights / weights.sum())),
            means=tuple(tuple(map(float, m)) for m in means * self.scale + self.location),
            covariances=tuple(tuple(tuple(map(float, r)) for r in c) for c in covariances),
        )
