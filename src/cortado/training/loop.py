"""The traced training loop: gradient ascent of an objective of soft yields.

Temperature, learning rate and the strength of the floors are tensors, one number a step: a schedule reaches
the graph.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.models import Model, Start
from cortado.models.tensorflow import keras, tf, traced
from cortado.objectives import Objective
from cortado.points import Points

Floats = npt.NDArray[np.float64]

_IMITATION_STEPS, _IMITATION_RATE = 150, 0.05
_LEAST_MEMBERSHIP = 1e-30
# Compiling takes seconds and makes a step about twice as fast: memberships to compute before it pays.
WORTH_COMPILING = 3e8


class Trainer:
    """Steps of one model on one set of points; ``total_steps`` are planned.

    The objective is that of the ``smooth`` points, which are the same but for their yields; floors are those
    of the points themselves.
    """

    def __init__(
        self,
        model: Model,
        points: Points,
        smooth: Points,
        goal: Objective,
        optimizer: Any,
        n_together: int,
        total_steps: int,
    ) -> None:
        self._model, self._goal, self._n_together = model, goal, n_together
        self._place = tf.constant(points.place, tf.float64)
        self._cells = [p.as_yields.mapped(partial(tf.constant, dtype=tf.float64)) for p in (smooth, points)]
        self._optimizer = optimizer
        self._optimizer.build(model.trainable_variables)
        self._initial = model.state
        self._fresh = [tf.identity(v) for v in optimizer.variables]
        self._imitator = keras.optimizers.Adam(_IMITATION_RATE)
        self._imitator.build(model.trainable_variables)
        self._unused = [tf.identity(v) for v in self._imitator.variables]
        compiled = float(len(points.place)) * model.n_categories * total_steps > WORTH_COMPILING
        self._run = traced(self._steps, jit_compile=compiled)
        # Starts may be partitions of different cells.
        tables = [tf.TensorSpec((None, n), tf.float64) for n in (points.place.shape[1], model.n_categories)]
        self._imitate = traced(self._imitations, input_signature=tables)

    @property
    def n_traces(self) -> int:
        """How often the steps were traced: once, whatever the schedules."""
        return int(self._run.experimental_get_tracing_count())

    def begin(self, start: Start) -> None:
        """Set the model to a start, and forget momenta and what earlier starts led to."""
        self._model.restore(self._initial)
        _assign(self._optimizer.variables, self._fresh)
        if self._model.initialise(start):
            _assign(self._imitator.variables, self._unused)
            labels = np.eye(self._model.n_categories)[start.category]
            self._imitate(tf.constant(start.points.place), tf.constant(labels * start.importance[:, None]))

    def state(self) -> dict[str, Floats]:
        """The values of all variables that steps change, and those of the model before any start."""
        initial = {f"initial_{name}": value for name, value in self._initial.items()}
        return state_of(self._model, self._optimizer) | initial

    def restore(self, state: dict[str, Floats]) -> None:
        """Set them back to a :meth:`state`."""
        self._initial = _under("initial_", state)
        restore_state(self._model, self._optimizer, state)

    def objective(self, temperature: float, strength: float) -> float:
        """The soft objective of the model as it is."""
        sharpness = tf.constant(1 / temperature, tf.float64)
        return float(self._soft(sharpness, tf.constant(strength, tf.float64)))

    def run(self, temperature: Floats, rate: Floats | None, strength: Floats) -> Floats:
        """As many steps as there are numbers, at most ``n_together``; (n,) the soft objective before each.

        Without ``rate`` the learning rate is the optimizer's own.
        """
        n = len(temperature)

        def padded(values: Floats) -> Any:
            return tf.constant(np.concatenate([values, np.ones(self._n_together - n)]), tf.float64)

        rates = padded(np.full(n, np.nan) if rate is None else rate)
        return np.asarray(
            self._run(tf.constant(n), padded(1 / temperature), rates, padded(strength), rate is None)
        )[:n]

    def _steps(self, n: Any, sharpness: Any, rate: Any, strength: Any, own_rate: bool) -> Any:
        def body(i: Any, objectives: Any) -> tuple[Any, Any]:
            if not own_rate:
                self._optimizer.learning_rate.assign(tf.cast(rate[i], tf.float32))
            objective = self._step(sharpness[i], strength[i])
            return i + 1, tf.tensor_scatter_nd_update(objectives, [[i]], [objective])

        empty = tf.zeros(self._n_together, tf.float64)
        return tf.while_loop(lambda i, _: i < n, body, (tf.constant(0), empty))[1]

    def _step(self, sharpness: Any, strength: Any) -> Any:
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            objective = self._soft(sharpness, strength)
            loss = -objective
        self._optimizer.apply(tape.gradient(loss, variables, unconnected_gradients="zero"), variables)
        return tf.cast(objective, tf.float64)

    def _soft(self, sharpness: Any, strength: Any) -> Any:
        memberships = tf.cast(self._model.memberships(self._place, sharpness), tf.float64)
        # A product each: TensorFlow leaves out those that the objective does not ask for.
        smooth, held = (cells.mapped(lambda table: table @ memberships) for cells in self._cells)
        return self._goal.soft(smooth, strength, held)

    def _imitations(self, place: Any, targets: Any) -> Any:
        """Cross entropy of the model's memberships and the start's categories, weighted by importance."""
        variables = self._model.trainable_variables

        def body(i: Any) -> Any:
            with tf.GradientTape() as tape:
                memberships = tf.cast(self._model.memberships(place, tf.ones((), tf.float64)), tf.float64)
                loss = -tf.reduce_sum(targets * tf.math.log(memberships + _LEAST_MEMBERSHIP))
            self._imitator.apply(tape.gradient(loss, variables, unconnected_gradients="zero"), variables)
            return i + 1

        return tf.while_loop(lambda i: i < _IMITATION_STEPS, body, (tf.constant(0),))


def state_of(model: Model, optimizer: Any) -> dict[str, Floats]:
    """The values of the variables of a model and of its optimizer."""
    own = {f"model_{name}": value for name, value in model.state.items()}
    return own | {f"optimizer_{i}": np.asarray(v) for i, v in enumerate(optimizer.variables)}


def restore_state(model: Model, optimizer: Any, state: dict[str, Floats]) -> None:
    """Set them back to a :func:`state_of` these two."""
    model.restore(_under("model_", state))
    _assign(optimizer.variables, [state[f"optimizer_{i}"] for i in range(len(optimizer.variables))])


def _under(prefix: str, state: dict[str, Floats]) -> dict[str, Floats]:
    return {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}


def _assign(variables: Any, values: Any) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
