"""Objectives: functions of yields only; terms add."""

from cortado.objectives.arrays import array_namespace
from cortado.objectives.asimov import Asimov, squared_significance
from cortado.objectives.bootstrap import Overtraining, bootstrap, overtraining
from cortado.objectives.counting import SQUARED_SIGNIFICANCES
from cortado.objectives.floors import MaxRelativeUncertainty, MinBackground, MinEffectiveEvents, MinEvents
from cortado.objectives.precision import Precision
from cortado.objectives.profiled import ProfiledSignificance
from cortado.objectives.scale import Scale
from cortado.objectives.significance import InCategories, InFit, Significance
from cortado.objectives.terms import Floor, Objective, Term, as_objective
from cortado.objectives.uncertain_background import (
    AsimovWithUncertainty,
    squared_significance_with_uncertainty,
)
from cortado.objectives.uncertainty import simulation_uncertainty
from cortado.objectives.yields import Yields

__all__ = [
    "SQUARED_SIGNIFICANCES",
    "Asimov",
    "AsimovWithUncertainty",
    "Floor",
    "InCategories",
    "InFit",
    "MaxRelativeUncertainty",
    "MinBackground",
    "MinEffectiveEvents",
    "MinEvents",
    "Objective",
    "Overtraining",
    "Precision",
    "ProfiledSignificance",
    "Scale",
    "Significance",
    "Term",
    "Yields",
    "array_namespace",
    "as_objective",
    "bootstrap",
    "overtraining",
    "simulation_uncertainty",
    "squared_significance",
    "squared_significance_with_uncertainty",
]
