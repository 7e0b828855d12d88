"""Categorizers: frozen rules from features to categories, numpy only."""

from cortado.categorizer.baselines import argmax_projections, equidistant
from cortado.categorizer.categorizer import UNCATEGORISED, Categorizer, Expected, Training
from cortado.categorizer.rules import (
    ArgmaxRule,
    GaussianMixtureRule,
    GridRule,
    Intervals,
    MaxAffineRule,
    TableRule,
)

__all__ = [
    "UNCATEGORISED",
    "ArgmaxRule",
    "Categorizer",
    "Expected",
    "GaussianMixtureRule",
    "GridRule",
    "Intervals",
    "MaxAffineRule",
    "TableRule",
    "Training",
    "argmax_projections",
    "equidistant",
]
