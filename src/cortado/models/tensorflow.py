"""TensorFlow and TensorFlow Probability, imported in one place."""

from __future__ import annotations

import warnings
from typing import Any

import tensorflow as tf

with warnings.catch_warnings():
    # TensorFlow Probability 0.25 compares versions with distutils, which is deprecated.
    warnings.filterwarnings("ignore", message="distutils Version classes", category=DeprecationWarning)
    import tensorflow_probability as tfp

bijectors: Any = tfp.bijectors
distributions: Any = tfp.distributions

__all__ = ["bijectors", "distributions", "tf"]
