"""Classifiers, from observables to the probabilities of classes, in the manner of Keras.

Names are loaded when first used: importing this package loads neither TensorFlow nor scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortado.classifiers.boosted_trees import GradientBoostedDecisionTree
    from cortado.classifiers.convolutional_network import ConvolutionalNetwork
    from cortado.classifiers.cut_and_count import CutAndCount
    from cortado.classifiers.loading import load_classifier
    from cortado.classifiers.multilayer_perceptron import MultiLayerPerceptron
    from cortado.classifiers.onnx_form import export_onnx

_MODULES = {
    "ConvolutionalNetwork": "convolutional_network",
    "CutAndCount": "cut_and_count",
    "GradientBoostedDecisionTree": "boosted_trees",
    "MultiLayerPerceptron": "multilayer_perceptron",
    "export_onnx": "onnx_form",
    "load_classifier": "loading",
}

__all__ = [
    "ConvolutionalNetwork",
    "CutAndCount",
    "GradientBoostedDecisionTree",
    "MultiLayerPerceptron",
    "export_onnx",
    "load_classifier",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
