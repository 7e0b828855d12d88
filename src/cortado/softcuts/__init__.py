"""Relaxed cuts: shapes and widths, losses, scans of their gradients, and what these do to an optimisation.

Names are loaded when first used: importing this package does not import TensorFlow, which scans need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortado.softcuts.descent import Arrivals, arrivals, arrivals_table, descend
    from cortado.softcuts.diagnostics import Diagnosis, StationaryPoint, diagnose, diagnosis_table
    from cortado.softcuts.events import CutEvents
    from cortado.softcuts.losses import LOSSES, Loss, cross_entropy, sum_of_squares
    from cortado.softcuts.optimum import HardCuts, Optimum, best_cut
    from cortado.softcuts.relaxations import (
        RELAXATIONS,
        Algebraic,
        ErrorFunction,
        GaussianKernel,
        HyperbolicTangent,
        LinearRamp,
        Relaxation,
        Sigmoid,
        Smoothstep,
        StraightThrough,
        matched_relaxations,
        matched_width,
    )
    from cortado.softcuts.scans import Scan, scan, scan_table, write_scans

_MODULES = {
    "Algebraic": "relaxations",
    "Arrivals": "descent",
    "CutEvents": "events",
    "Diagnosis": "diagnostics",
    "ErrorFunction": "relaxations",
    "GaussianKernel": "relaxations",
    "HardCuts": "optimum",
    "HyperbolicTangent": "relaxations",
    "LOSSES": "losses",
    "LinearRamp": "relaxations",
    "Loss": "losses",
    "Optimum": "optimum",
    "RELAXATIONS": "relaxations",
    "Relaxation": "relaxations",
    "Scan": "scans",
    "Sigmoid": "relaxations",
    "Smoothstep": "relaxations",
    "StationaryPoint": "diagnostics",
    "StraightThrough": "relaxations",
    "arrivals": "descent",
    "arrivals_table": "descent",
    "best_cut": "optimum",
    "cross_entropy": "losses",
    "descend": "descent",
    "diagnose": "diagnostics",
    "diagnosis_table": "diagnostics",
    "matched_relaxations": "relaxations",
    "matched_width": "relaxations",
    "scan": "scans",
    "scan_table": "scans",
    "sum_of_squares": "losses",
    "write_scans": "scans",
}

__all__ = [
    "LOSSES",
    "RELAXATIONS",
    "Algebraic",
    "Arrivals",
    "CutEvents",
    "Diagnosis",
    "ErrorFunction",
    "GaussianKernel",
    "HardCuts",
    "HyperbolicTangent",
    "LinearRamp",
    "Loss",
    "Optimum",
    "Relaxation",
    "Scan",
    "Sigmoid",
    "Smoothstep",
    "StationaryPoint",
    "StraightThrough",
    "arrivals",
    "arrivals_table",
    "best_cut",
    "cross_entropy",
    "descend",
    "diagnose",
    "diagnosis_table",
    "matched_relaxations",
    "matched_width",
    "scan",
    "scan_table",
    "sum_of_squares",
    "write_scans",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
