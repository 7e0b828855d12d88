"""Classifiers in the manner of Keras, from observables to the probabilities of classes; how good they are.

Names are loaded when first used: importing this package loads neither TensorFlow nor scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortado.classifiers.boosted_trees import GradientBoostedDecisionTree
    from cortado.classifiers.comparison import ComparisonRow, compare, comparison_table
    from cortado.classifiers.convolutional_network import ConvolutionalNetwork
    from cortado.classifiers.cut_and_count import CutAndCount
    from cortado.classifiers.hml_archive import HmlArchive, read_hml_archive
    from cortado.classifiers.images import JetImages, jet_images
    from cortado.classifiers.labelled_events import FoldParts, LabelledEvents, Split
    from cortado.classifiers.loading import load_classifier
    from cortado.classifiers.metrics import AUC, MaxSignificance, RejectionAtEfficiency
    from cortado.classifiers.multilayer_perceptron import MultiLayerPerceptron
    from cortado.classifiers.observables import Observables
    from cortado.classifiers.onnx_form import export_onnx
    from cortado.classifiers.performance import Predictions

_MODULES = {
    "AUC": "metrics",
    "ComparisonRow": "comparison",
    "ConvolutionalNetwork": "convolutional_network",
    "CutAndCount": "cut_and_count",
    "FoldParts": "labelled_events",
    "GradientBoostedDecisionTree": "boosted_trees",
    "HmlArchive": "hml_archive",
    "JetImages": "images",
    "LabelledEvents": "labelled_events",
    "MaxSignificance": "metrics",
    "MultiLayerPerceptron": "multilayer_perceptron",
    "Observables": "observables",
    "Predictions": "performance",
    "RejectionAtEfficiency": "metrics",
    "Split": "labelled_events",
    "compare": "comparison",
    "comparison_table": "comparison",
    "export_onnx": "onnx_form",
    "jet_images": "images",
    "load_classifier": "loading",
    "read_hml_archive": "hml_archive",
}

__all__ = [
    "AUC",
    "ComparisonRow",
    "ConvolutionalNetwork",
    "CutAndCount",
    "FoldParts",
    "GradientBoostedDecisionTree",
    "HmlArchive",
    "JetImages",
    "LabelledEvents",
    "MaxSignificance",
    "MultiLayerPerceptron",
    "Observables",
    "Predictions",
    "RejectionAtEfficiency",
    "Split",
    "compare",
    "comparison_table",
    "export_onnx",
    "jet_images",
    "load_classifier",
    "read_hml_archive",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
