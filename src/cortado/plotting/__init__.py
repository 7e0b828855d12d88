"""Plots: take axes, return axes; never fit, never save. Importing them changes no global style."""

from cortado.plotting.classifiers import calibration, comparison, roc, score_distributions
from cortado.plotting.cuts import cut, cuts
from cortado.plotting.maps import category_map
from cortado.plotting.significance import significance, significance_curve
from cortado.plotting.softcuts import (
    descent_ends,
    scan_gradient_sizes,
    scan_gradients,
    scan_losses,
    scan_weights,
)
from cortado.plotting.stack import ratio, stack

__all__ = [
    "calibration",
    "category_map",
    "comparison",
    "cut",
    "cuts",
    "descent_ends",
    "ratio",
    "roc",
    "scan_gradient_sizes",
    "scan_gradients",
    "scan_losses",
    "scan_weights",
    "score_distributions",
    "significance",
    "significance_curve",
    "stack",
]
