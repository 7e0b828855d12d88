"""TensorFlow, TensorFlow Probability and Keras on TensorFlow, imported in one place."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from cortado.errors import ConfigError

if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's other programs work with

import keras
import tensorflow as tf

if keras.config.backend() != "tensorflow":
    raise ConfigError(
        f"Keras must run on tensorflow, but was imported before with {keras.config.backend()!r}"
    )

with warnings.catch_warnings():
    # TensorFlow Probability 0.25 compares versions with distutils, which is deprecated.
    warnings.filterwarnings("ignore", message="distutils Version classes", category=DeprecationWarning)
    import tensorflow_probability as tfp

bijectors: Any = tfp.bijectors
distributions: Any = tfp.distributions
fill_triangular: Any = tfp.math.fill_triangular

__all__ = ["bijectors", "distributions", "fill_triangular", "keras", "softmax", "tf", "traced"]


def traced(function: Callable[..., Any], **options: Any) -> Any:
    """``function`` as a graph; ``options`` are those of ``tf.function``.

    Each training and search traces its own graphs once. TensorFlow counts them by the line of code that they
    come from, and would warn of tracing too often.
    """
    graph = tf.function(function, autograph=False, **options)
    graph._omit_frequent_tracing_warning = True
    return graph


@tf.custom_gradient
def softmax(logits: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Over the first axis, with a gradient of few operations. TensorFlow's own works on the last axis."""
    powers = tf.exp(logits - tf.reduce_max(logits, axis=0))
    shares = powers / tf.reduce_sum(powers, axis=0)

    def gradient(upstream: Any) -> Any:
        return shares * (upstream - tf.reduce_sum(shares * upstream, axis=0))

    return shares, gradient
