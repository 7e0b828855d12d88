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


class GaussianMixture:
    """K Gaussians in d coordinates; memberships are softmax(sharpness · (log π_k + log N_k)).

    The method of arXiv:2601.07756. Parameters live in standardised coordinates z = (u − location) / scale, fixed
    by :meth:`initialise`, so that steps of one size suit every feature.

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
        self._built = False

    def initialise(self, points: Points, signals: tuple[str, ...], rng: np.random.Generator) -> None:
        """Start from data: components at places drawn where the signals are, as wide as the sample over K^(1/d)."""
        weight = np.abs(points.sumw).sum(axis=0)
        location = np.average(points.place, axis=0, weights=weight)
        scale = np.sqrt(np.average((points.place - location) ** 2, axis=0, weights=weight))
        self._location, self._scale = location, np.where(scale > 0, scale, 1.0)
        z = (points.place - self._location) / self._scale
        d = z.shape[1]
        means = _spread(z, _interest(points, signals), self.n_categories, rng)
        width = np.full(d, np.log(self.n_categories ** (-1.0 / d)))
        raw = np.zeros((self.n_categories, d, d))
        raw[:, np.arange(d), np.arange(d)] = np.exp(width)
        self._assign(np.zeros(self.n_categories), means, np.asarray(self._tril.inverse(tf.constant(raw))))

    def _assign(self, logits: Floats, means: Floats, raw_scale: Floats) -> None:
        if self._built:
            for variable, value in zip(self.trainable_variables, (logits, means, raw_scale), strict=True):
                variable.assign(value)
            return
        self.logits = tf.Variable(logits, dtype=tf.float64, name="logits")
        self.means = tf.Variable(means, dtype=tf.float64, name="means")
        self.raw_scale = tf.Variable(raw_scale, dtype=tf.float64, name="raw_scale")
        self._built = True

    @property
    def trainable_variables(self) -> list[Any]:
        """The TensorFlow variables that a fit changes."""
        return [self.logits, self.means, self.raw_scale]

    def distribution(self) -> Any:
        """The mixture as a TensorFlow Probability distribution over standardised coordinates."""
        return distributions.MixtureSameFamily(
            distributions.Categorical(logits=self.logits),
            distributions.MultivariateNormalTriL(self.means, self._tril.forward(self.raw_scale)),
        )

    def log_densities(self, u: Any) -> Any:
        """(n, K) log π_k + log N_k at coordinates u (n, d), up to a constant: one product of quadratic features.

        With Σ⁻¹ = P, log N = −½ zᵀPz + zᵀPμ − ½ μᵀPμ − log det L, a linear function of (1, z, z zᵀ).
        """
        z = (u - self._location) / self._scale
        n_dimensions = z.shape[1]
        tril = self._tril.forward(self.raw_scale)
        identity = tf.eye(n_dimensions, batch_shape=[self.n_categories], dtype=tf.float64)
        inverse = tf.linalg.triangular_solve(tril, identity)
        precision = tf.linalg.matmul(inverse, inverse, transpose_a=True)
        linear = tf.linalg.matvec(precision, self.means)
        log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(tril)), axis=1)
        constant = tf.nn.log_softmax(self.logits) - 0.5 * tf.reduce_sum(linear * self.means, axis=1) - log_det
        quadratic = tf.reshape(z[:, :, None] * z[:, None, :], (-1, n_dimensions**2))
        features = tf.concat([tf.ones_like(z[:, :1]), z, quadratic], axis=1)
        coefficients = tf.concat(
            [constant[None, :], tf.transpose(linear), -0.5 * tf.transpose(tf.reshape(precision, (-1, n_dimensions**2)))],
            axis=0,
        )
        return features @ coefficients

    def memberships(self, u: Any, sharpness: Any) -> Any:
        """(n, K) memberships, rows sum to 1, at coordinates u (n, d); ``sharpness`` is 1/temperature, a tensor."""
        return tf.nn.softmax(self.log_densities(u) * sharpness, axis=1)

    def freeze(self) -> GaussianMixtureRule:
        """The hard limit as a rule in the sample's coordinates."""
        tril = np.asarray(self._tril.forward(self.raw_scale)) * self._scale[:, None]
        weights = np.asarray(tf.nn.softmax(self.logits))
        covariances = tril @ np.swapaxes(tril, 1, 2)
        return GaussianMixtureRule(
            weights=tuple(map(float, weights / weights.sum())),
            means=tuple(tuple(map(float, m)) for m in np.asarray(self.means) * self._scale + self._location),
            covariances=tuple(tuple(tuple(map(float, r)) for r in c) for c in covariances),
        )


def _interest(points: Points, signals: tuple[str, ...]) -> Floats:
    """(n,) where components may start: the signals, each with the same total."""
    rows = [points.processes.index(name) for name in signals] or range(len(points.processes))
    shares = [np.clip(points.sumw[r], 0, None) for r in rows]
    return np.sum([s / s.sum() for s in shares], axis=0)


def _spread(z: Floats, weight: Floats, n: int, rng: np.random.Generator) -> Floats:
    """(n, d) places drawn by weight, far from one another (k-means++, Arthur and Vassilvitskii, SODA 2007)."""
    chosen = [z[rng.choice(len(z), p=weight / weight.sum())]]
    for _ in range(n - 1):
        distance = np.min([((z - c) ** 2).sum(axis=1) for c in chosen], axis=0) * weight
        chosen.append(z[rng.choice(len(z), p=distance / distance.sum())])
    return np.array(chosen)
