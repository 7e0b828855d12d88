"""Training: the loop, its schedules, and what it returns. Imports TensorFlow."""

from cortado.training.fit import FitResult, fit
from cortado.training.history import Step, bias
from cortado.training.run import OvertrainingWarning, TrainingWarning
from cortado.training.schedules import Constant, Cosine, Exponential, Joined, Linear, Schedule

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "FitResult",
    "Joined",
    "Linear",
    "OvertrainingWarning",
    "Schedule",
    "Step",
    "TrainingWarning",
    "bias",
    "fit",
]
