"""Training: the loop, its schedules, and what it returns. Imports TensorFlow."""

from cortado.training.fit import FitResult, Model, fit
from cortado.training.schedules import Cosine, Exponential

__all__ = ["Cosine", "Exponential", "FitResult", "Model", "fit"]
