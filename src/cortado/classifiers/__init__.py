"""Classifiers: from observables to discriminants; how good they are, and their comparison.

``import cortado.classifiers`` loads neither Keras nor scikit-learn; names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortado.classifiers.comparison import ComparisonRow, compare, comparison_table
    from cortado.classifiers.metrics import AUC, MaxSignificance, RejectionAtEfficiency
    from cortado.classifiers.performance import Predictions

_MODULES = {
    "AUC": "metrics",
    "ComparisonRow": "comparison",
    "MaxSignificance": "metrics",
    "Predictions": "performance",
    "RejectionAtEfficiency": "metrics",
    "compare": "comparison",
    "comparison_table": "comparison",
}

__all__ = [
    "AUC",
    "ComparisonRow",
    "MaxSignificance",
    "Predictions",
    "RejectionAtEfficiency",
    "compare",
    "comparison_table",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
