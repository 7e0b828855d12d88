"""Values and gradients of functions of yields, by TensorFlow, which is imported when the first are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.objectives.yields import Yields

Floats = npt.NDArray[np.float64]


class ValuesAndGradients:
    """Scalar functions of yields and their gradients, in one graph.

    The ``functions`` are given :class:`Yields` of tensors; an objective is one.
    """

    def __init__(
        self,
        processes: tuple[str, ...],
        functions: Sequence[Callable[[Yields], Any]],
        nuisances: tuple[str, ...] = (),
    ) -> None:
        from cortado.models.tensorflow import tf, traced

        def value_and_gradient(function: Callable[[Yields], Any], sums: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                tape.watch(sums)
                yields = Yields.of_rows(processes, tf.transpose(sums), nuisances)
                value = tf.convert_to_tensor(function(yields), tf.float64)
            return value, tape.gradient(value, sums, unconnected_gradients="zero")

        def values_and_gradients(*sums: Any) -> list[tuple[Any, Any]]:
            return [value_and_gradient(f, at) for f, at in zip(functions, sums, strict=True)]

        self._tf = tf
        self._function = traced(values_and_gradients)

    def __call__(self, *sums: Floats) -> list[tuple[float, Floats]]:
        """Value and gradient (K, R) of each function, at sums (K, R) of its own: the rows of yields."""
        found = self._function(*(self._tf.constant(at, self._tf.float64) for at in sums))
        return [(float(value), gradient.numpy()) for value, gradient in found]
