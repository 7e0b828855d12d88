"""Value and gradient of a function of yields, by TensorFlow, which is imported when the first one is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.objectives.yields import Yields

Floats = npt.NDArray[np.float64]


class ValueAndGradient:
    """A scalar function of yields and its gradient, at sums (K, R), the :attr:`Yields.rows` of categories.

    ``function`` is given :class:`Yields` of tensors; an objective is one.
    """

    def __init__(
        self, processes: tuple[str, ...], function: Callable[[Yields], Any], nuisances: tuple[str, ...] = ()
    ) -> None:
        from cortado.models.tensorflow import tf, traced

        def value_and_gradient(sums: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                tape.watch(sums)
                yields = Yields.of_rows(processes, tf.transpose(sums), nuisances)
                value = tf.convert_to_tensor(function(yields), tf.float64)
            return value, tape.gradient(value, sums, unconnected_gradients="zero")

        self._tf = tf
        self._function = traced(value_and_gradient)

    def __call__(self, sums: Floats) -> tuple[float, Floats]:
        """Value and gradient (K, R)."""
        value, gradient = self._function(self._tf.constant(sums, self._tf.float64))
        return float(value), gradient.numpy()
