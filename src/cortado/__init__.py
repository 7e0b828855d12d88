"""Cortado: event categories that make the expected result of a fit as good as it can be.

``import cortado`` does not import TensorFlow; the names that need it (``fit`` and the models) are loaded when
first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortado import export, toys
from cortado._version import __version__
from cortado.categorizer import Categorizer
from cortado.columnar import Binning, Collector, TemplateFiller, entry_ids
from cortado.coordinates import Features
from cortado.errors import ConfigError, CortadoError, FitError, InputError, OutputError, TrainingError
from cortado.event_sample import EventSample
from cortado.normalisation import Normalisation
from cortado.objectives import (
    Asimov,
    AsimovWithUncertainty,
    MaxRelativeUncertainty,
    MinBackground,
    MinEffectiveEvents,
    MinEvents,
    Precision,
    ProfiledSignificance,
    Yields,
)
from cortado.observable import Observable
from cortado.sample import Sample
from cortado.templates import Templates

if TYPE_CHECKING:
    from cortado.models import GaussianMixture, MaxAffine, Model, SigmoidCuts
    from cortado.training import TrainingWarning
    from cortado.training.fit import FitResult, fit

__all__ = [
    "Asimov",
    "AsimovWithUncertainty",
    "Binning",
    "Categorizer",
    "Collector",
    "ConfigError",
    "CortadoError",
    "EventSample",
    "Features",
    "FitError",
    "FitResult",
    "GaussianMixture",
    "InputError",
    "MaxAffine",
    "MaxRelativeUncertainty",
    "MinBackground",
    "MinEffectiveEvents",
    "MinEvents",
    "Model",
    "Normalisation",
    "Observable",
    "OutputError",
    "Precision",
    "ProfiledSignificance",
    "Sample",
    "SigmoidCuts",
    "TemplateFiller",
    "Templates",
    "TrainingError",
    "TrainingWarning",
    "Yields",
    "__version__",
    "entry_ids",
    "export",
    "fit",
    "toys",
]

_NEED_TENSORFLOW = {
    "FitResult": "cortado.training",
    "GaussianMixture": "cortado.models",
    "MaxAffine": "cortado.models",
    "Model": "cortado.models",
    "SigmoidCuts": "cortado.models",
    "TrainingWarning": "cortado.training",
    "fit": "cortado.training",
}


def __getattr__(name: str) -> Any:
    if name in _NEED_TENSORFLOW:
        from importlib import import_module

        return getattr(import_module(_NEED_TENSORFLOW[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
