"""What acts on numpy arrays and on TensorFlow tensors alike.

TensorFlow is looked up, never imported: an array of its can only exist where it is loaded already.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def array_namespace(array: Any) -> Any:
    """The module whose functions act on ``array``: numpy, or TensorFlow's numpy interface for its tensors."""
    return np if _is_numpy(array) else _tensorflow(array).experimental.numpy


def linear_algebra(array: Any) -> Any:
    """The module with ``solve`` and ``cholesky`` of matrices such as ``array``."""
    return np.linalg if _is_numpy(array) else _tensorflow(array).linalg


def without_gradient(array: Any) -> Any:
    """The same numbers, taken as constants by derivatives."""
    return array if _is_numpy(array) else _tensorflow(array).stop_gradient(array)


def _is_numpy(array: Any) -> bool:
    return isinstance(array, np.ndarray | np.generic | float | int)


def _tensorflow(array: Any) -> Any:
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not tensorflow.is_tensor(array):
        raise TypeError(f"yields must be numpy arrays or TensorFlow tensors, got {type(array).__name__}")
    return tensorflow
