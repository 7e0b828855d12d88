"""Gaussian mixture: a category is the region where one component is the most probable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cortado.categorizer.rules import GaussianMixtureRule
from cortado.coordinates import Features, Identity
from cortado.errors import ConfigError
from cortado.models.model import LateModel, coordinates, over_processes, tempered
from cortado.models.ranges import checked_ranges, one_a_coordinate
from cortado.models.start import Start
from cortado.models.tensorflow import bijectors, distributions, fill_triangular, tf

Floats = npt.NDArray[np.float64]

_LEAST_VARIANCE = 0.05  # of a component at the start, in units of the sample's variance
_INSIDE = 1e-3  # how far inside of their bounds means begin, as a fraction of the range


class GaussianMixture(LateModel):
    """K Gaussians in d coordinates; memberships are softmax(sharpness · (log π_k + log N_k)).

    The method of arXiv:2601.07756. Parameters live in standardised coordinates z = (u − location) / scale,
    fixed when a training begins, so that steps of one size and components of one width suit every feature.

    Parameters
    ----------
    n_categories
        Number K ≥ 2 of components.
    means
        Where means may be: anywhere (None), on the "simplex" (all ≥ 0, sum ≤ 1: for softmax scores in
        identity coordinates), or in one range (low, high) for each coordinate. With ranges the unit ``scale``
        is that of a uniform distribution over them.
    damping
        Factor from 0 to 1 on the off-diagonal entries of the triangular factors of the covariances: 0 makes
        the components parallel to the axes.
    """

    def __init__(
        self,
        n_categories: int,
        *,
        means: Literal["simplex"] | Sequence[tuple[float, float]] | None = None,
        damping: float = 1.0,
    ) -> None:
        super().__init__(n_categories)
        if isinstance(means, str) and means != "simplex":
            raise ConfigError(f"means must be None, 'simplex' or one range a coordinate, got {means!r}")
        if np.ndim(damping) or np.asarray(damping).dtype.kind not in "iuf" or not 0 <= damping <= 1:
            raise ConfigError(f"damping must be a number from 0 to 1, got {damping!r}")
        self._bounds = means if means is None or isinstance(means, str) else checked_ranges("means", means)
        self._damping = float(damping)
        self._tril = bijectors.FillScaleTriL(diag_bijector=bijectors.Exp(), diag_shift=None)

    @property
    def configuration(self) -> dict[str, Any]:
        """The arguments that make a model like this one."""
        return {"n_categories": self.n_categories, "means": self._bounds, "damping": self._damping}

    def _shapes(self, state: Mapping[str, Floats]) -> dict[str, tuple[int, ...]]:
        k = self.n_categories
        d = len(self._bounds) if isinstance(self._bounds, tuple) else len(state["location"])
        return {
            "location": (d,),
            "scale": (d,),
            "logits": (k,),
            "means": (k, d),
            "factors": (k, d * (d + 1) // 2),
        }

    def initialise(self, start: Start) -> bool:
        """Components with the mean and covariance of the categories' points, by importance."""
        self._check_simplex(start.points.features)
        location, scale = self._location_and_scale(start)
        z = (start.place - location) / scale
        means, factors = [], []
        for k in range(self.n_categories):
            weight = np.where(start.category == k, start.importance, 0.0)
            weight = weight if weight.sum() > 0 else start.importance
            mean = np.average(z, axis=0, weights=weight)
            covariance = np.einsum("n,ni,nj->ij", weight / weight.sum(), z - mean, z - mean)
            means.append(mean)
            factors.append(np.linalg.cholesky(covariance + _LEAST_VARIANCE * np.eye(z.shape[1])))
        state = {
            "location": location,
            "scale": scale,
            "logits": np.zeros(self.n_categories),
            "means": self._raw_means(np.array(means) * scale + location, location, scale),
            "factors": np.asarray(self._tril.inverse(tf.constant(self._undamped(np.array(factors))))),
        }
        self.restore(state)
        return True

    def _check_simplex(self, features: Features) -> None:
        if self._bounds == "simplex" and not all(isinstance(g, Identity) for g in features.coordinates):
            raise ConfigError(
                "means can be on the 'simplex' only where all coordinates are identity, got the coordinates "
                f"{list(features.labels)}"
            )

    def _location_and_scale(self, start: Start) -> tuple[Floats, Floats]:
        if not isinstance(self._bounds, tuple):
            return start.location_and_scale()
        low, high = one_a_coordinate("means", self._bounds, start.points.features).T
        return (low + high) / 2, (high - low) / np.sqrt(12)

    def _raw_means(self, means: Floats, location: Floats, scale: Floats) -> Floats:
        """The unconstrained values of means (K, d) in coordinates."""
        if self._bounds is None:
            return (means - location) / scale
        if self._bounds == "simplex":
            shares = np.clip(np.column_stack([means, 1 - means.sum(axis=1)]), _INSIDE, None)
            logs = np.log(shares)
            return logs[:, :-1] - logs[:, -1:]
        low, high = np.array(self._bounds).T
        share = np.clip((means - low) / (high - low), _INSIDE, 1 - _INSIDE)
        return np.log(share / (1 - share))

    def _means(self) -> Any:
        """(K, d) means in standardised coordinates."""
        raw = self._value("means")
        if self._bounds is None:
            return raw
        if self._bounds == "simplex":
            means = tf.nn.softmax(tf.concat([raw, tf.zeros_like(raw[:, :1])], axis=1), axis=1)[:, :-1]
        else:
            low, high = (tf.constant(edge, tf.float64) for edge in np.array(self._bounds).T)
            means = low + (high - low) * tf.sigmoid(raw)
        return (means - self._value("location")) / self._value("scale")

    def _undamped(self, tril: Floats) -> Floats:
        diagonal = np.einsum("kii->ki", tril)
        off = tril - np.einsum("ki,ij->kij", diagonal, np.eye(tril.shape[1]))
        return tril + off * (1 / self._damping - 1) if self._damping else tril

    def _parameters(self) -> tuple[Any, Any, Any]:
        """Logits (K,), means (K, d) and triangular factors of the covariances (K, d, d), standardised."""
        # What `self._tril` gives, without the book that a bijector keeps of every call.
        raw = fill_triangular(self._value("factors"))
        damped = tf.linalg.set_diag(self._damping * raw, tf.exp(tf.linalg.diag_part(raw)))
        return self._value("logits"), self._means(), damped

    def distribution(self) -> Any:
        """The mixture as a TensorFlow Probability distribution over the coordinates: log_prob, sample …"""
        logits, means, tril = self._parameters()
        location, scale = self._value("location"), self._value("scale")
        return distributions.MixtureSameFamily(
            distributions.Categorical(logits=logits),
            distributions.MultivariateNormalTriL(means * scale + location, tril * scale[:, None]),
        )

    def log_densities(self, u: Any) -> Any:
        """(n, K) log π_k + log N_k at coordinates u (n, d), up to a constant.

        With Σ⁻¹ = P, log N = −½ zᵀPz + zᵀPμ − ½ μᵀPμ − log det L, linear in (1, z, z zᵀ): one matrix product.
        """
        location = self._value("location")
        n_dimensions = location.shape[0]
        # Places come last in memory, here and in what is made of it: loops over them take several at a time.
        z = tf.transpose((coordinates(u, n_dimensions) - location) / self._value("scale"))
        logits, means, tril = self._parameters()
        identity = tf.eye(n_dimensions, batch_shape=[self.n_categories], dtype=tf.float64)
        inverse = tf.linalg.triangular_solve(tril, identity)
        precision = tf.linalg.matmul(inverse, inverse, transpose_a=True)
        linear = tf.linalg.matvec(precision, means)
        log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(tril)), axis=1)
        constant = tf.nn.log_softmax(logits) - 0.5 * tf.reduce_sum(linear * means, axis=1) - log_det
        quadratic = tf.reshape(z[:, None, :] * z[None, :, :], (n_dimensions**2, -1))
        features = tf.concat([tf.ones_like(z[:1]), z, quadratic], axis=0)
        second = -0.5 * tf.reshape(precision, (-1, n_dimensions**2))
        coefficients = tf.concat([constant[:, None], linear, second], axis=1)
        return tf.transpose(coefficients @ features)

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        """(n, K) memberships at coordinates u (n, d), or per process for a mapping; rows sum to 1."""
        return over_processes(lambda values: tempered(self.log_densities(values), sharpness), u)

    def parameters(self) -> GaussianMixtureRule:
        """Weights (sum 1), means and covariances in the sample's coordinates."""
        logits, means, standard_tril = (np.asarray(p) for p in self._parameters())
        location, scale = np.asarray(self._value("location")), np.asarray(self._value("scale"))
        tril = standard_tril * scale[:, None]
        weights = np.asarray(tf.nn.softmax(logits))
        covariances = tril @ np.swapaxes(tril, 1, 2)
        return GaussianMixtureRule(
            weights=tuple(map(float, weights / weights.sum())),
            means=tuple(tuple(map(float, m)) for m in means * scale + location),
            covariances=tuple(tuple(tuple(map(float, r)) for r in c) for c in covariances),
        )
