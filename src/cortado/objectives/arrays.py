"""What acts on numpy arrays and on TensorFlow tensors alike.

TensorFlow is looked up, never imported: an array of its can only exist where it is loaded already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def array_namespace(array: Any) -> Any:
    """The module whose functions act on ``array``: numpy, or TensorFlow's numpy interface for its tensors."""
    return np if _is_numpy(array) else _tensorflow(array).experimental.numpy


def error_function(z: Any) -> Any:
    """erf(z) = 2/√π ∫₀ᶻ exp(−t²) dt of every element."""
    return _special().erf(z) if _is_numpy(z) else _tensorflow(z).math.erf(z)


def logistic(z: Any) -> Any:
    """1/(1 + e⁻ᶻ) of every element."""
    return _special().expit(z) if _is_numpy(z) else _tensorflow(z).sigmoid(z)


def _special() -> Any:
    from scipy import special  # only where it is needed: it takes time and memory to import

    return special


def solved(matrix: Any, right: Any) -> Any:
    """X with ``matrix`` (…, m, m) · x = ``right`` (…, m, k); NaN where the matrix is not finite."""
    xp = array_namespace(matrix)
    # TensorFlow raises an error for NaN, where numpy gives it back.
    finite = xp.all(xp.isfinite(matrix), axis=(-2, -1), keepdims=True)
    safe = xp.where(finite, matrix, np.eye(matrix.shape[-1]))
    x = np.linalg.solve(safe, right) if _is_numpy(matrix) else _tensorflow(matrix).linalg.solve(safe, right)
    return xp.where(finite, x, np.nan)


def determinant(matrix: Any) -> Any:
    """The determinant of a positive definite matrix (m, m), by elimination: XLA compiles no other."""
    pivot = matrix[0, 0]
    if matrix.shape[0] == 1:
        return pivot
    return pivot * determinant(matrix[1:, 1:] - matrix[1:, :1] * matrix[:1, 1:] / pivot)


def without_gradient(array: Any) -> Any:
    """The same numbers, taken as constants by derivatives."""
    return array if _is_numpy(array) else _tensorflow(array).stop_gradient(array)


def with_slope(function: Callable[[Any], Any], slope: Callable[[Any], Any], at: Any) -> Any:
    """``function`` of every element of ``at``, with its derivative as ``slope`` gives it.

    The graph of a derivative that is known is much smaller than that of one that is worked out.
    """
    if _is_numpy(at):
        return function(at)

    @_tensorflow(at).custom_gradient
    def known(t: Any) -> tuple[Any, Callable[[Any], Any]]:
        return function(t), lambda upstream: upstream * slope(t)

    return known(at)


def repeated(function: Callable[[Any], Any], start: Any, times: int, most: int, tolerance: float) -> Any:
    """``function`` of its own result from ``start`` on: so many times in a graph, which has it once.

    Numpy arrays, of which results are quoted, go on until no element changes by more than ``tolerance``, at
    ``most`` so many times.
    """
    if not _is_numpy(start):
        loop = _tensorflow(start).while_loop
        return loop(lambda i, _: i < times, lambda i, x: (i + 1, function(x)), (0, start))[1]
    for _ in range(most):
        last, start = start, function(start)
        if np.allclose(start, last, rtol=0, atol=tolerance):
            break
    return start


def _is_numpy(array: Any) -> bool:
    return isinstance(array, np.ndarray | np.generic | float | int)


def _tensorflow(array: Any) -> Any:
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not tensorflow.is_tensor(array):
        raise TypeError(f"yields must be numpy arrays or TensorFlow tensors, got {type(array).__name__}")
    return tensorflow
