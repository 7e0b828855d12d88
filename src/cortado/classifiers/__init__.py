"""Classifiers: from observables of events to discriminants.

``import cortado.classifiers`` loads neither TensorFlow nor scikit-learn; names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortado.classifiers.hml_archive import HmlArchive, read_hml_archive
    from cortado.classifiers.images import JetImages, jet_images
    from cortado.classifiers.labelled_events import FoldParts, LabelledEvents, Split
    from cortado.classifiers.observables import Observables

__all__ = [
    "FoldParts",
    "HmlArchive",
    "JetImages",
    "LabelledEvents",
    "Observables",
    "Split",
    "jet_images",
    "read_hml_archive",
]

_MODULES = {
    "FoldParts": "labelled_events",
    "HmlArchive": "hml_archive",
    "JetImages": "images",
    "LabelledEvents": "labelled_events",
    "Observables": "observables",
    "Split": "labelled_events",
    "jet_images": "images",
    "read_hml_archive": "hml_archive",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
