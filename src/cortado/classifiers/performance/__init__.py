"""How good probabilities of classes are: numbers and curves of events, with statistical uncertainties.

Numpy alone. The Keras metrics, the tables and the figures show what these functions say.
"""

from cortado.classifiers.performance.accuracy import accuracy
from cortado.classifiers.performance.calibration import CalibrationCurve, calibration_curve
from cortado.classifiers.performance.expectation import Expectation
from cortado.classifiers.performance.measured import Measured
from cortado.classifiers.performance.predictions import Predictions
from cortado.classifiers.performance.rejection import Rejection, rejection_at_efficiency
from cortado.classifiers.performance.roc import RocCurve, auc, roc_curve
from cortado.classifiers.performance.significance import BestCut, max_significance

__all__ = [
    "BestCut",
    "CalibrationCurve",
    "Expectation",
    "Measured",
    "Predictions",
    "Rejection",
    "RocCurve",
    "accuracy",
    "auc",
    "calibration_curve",
    "max_significance",
    "rejection_at_efficiency",
    "roc_curve",
]
