"""Objectives: functions of yields only; terms add."""

from cortado.objectives.arrays import array_namespace
from cortado.objectives.asimov import Asimov, squared_significance
from cortado.objectives.bootstrap import Overtraining, bootstrap, overtraining
from cortado.objectives.floors import MaxRelativeUncertainty, MinBackground, MinEffectiveEvents, MinEvents
from cortado.objectives.scale import Scale
from cortado.objectives.terms import Floor, Objective, Term, as_objective
from cortado.objectives.uncertainty import simulation_uncertainty
from cortado.objectives.yields import Yields

__all__ = [
    "Asimov",
    "Floor",
    "MaxRelativeUncertainty",
    "MinBackground",
    "MinEffectiveEvents",
    "MinEvents",
    "Objective",
    "Overtraining",
    "Scale",
    "Term",
    "Yields",
    "array_namespace",
    "as_objective",
    "bootstrap",
    "overtraining",
    "simulation_uncertainty",
    "squared_significance",
]
