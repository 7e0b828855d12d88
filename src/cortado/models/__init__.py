"""Models: soft categorisations with an exact hard limit. One model a file; they import TensorFlow."""

from cortado.models.gaussian_mixture import GaussianMixture

__all__ = ["GaussianMixture"]
