"""Models: soft categorisations with an exact hard limit. One model a file; they import TensorFlow."""

from cortado.models.gaussian_mixture import GaussianMixture
from cortado.models.max_affine import MaxAffine
from cortado.models.model import Model
from cortado.models.sigmoid_cuts import SigmoidCuts
from cortado.models.start import Start

__all__ = ["GaussianMixture", "MaxAffine", "Model", "SigmoidCuts", "Start"]
