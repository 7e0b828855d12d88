"""TensorFlow, TensorFlow Probability and Keras on TensorFlow, imported in one place."""

from __future__ import annotations

import os
import sys
import warnings
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

__all__ = ["bijectors", "distributions", "keras", "tf"]
