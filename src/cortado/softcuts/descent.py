"""Gradient descent of relaxed cuts from many starting points at once, and how many of them arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from rich import box
from rich.table import Table

from cortado.errors import ConfigError, checked_integer
from cortado.models.tensorflow import keras, tf, traced
from cortado.softcuts.events import CutEvents, Floats, checked_cuts
from cortado.softcuts.losses import Loss, loss_of, losses_of
from cortado.softcuts.optimum import Optimum, best_cut
from cortado.softcuts.relaxations import Relaxation, labels, relaxations_of
from cortado.softcuts.scans import loss_and_weights

Schedule = Callable[[float], float]
"""A factor of the width from the progress 0 … 1, such as those of :mod:`cortado.training`."""

_STARTS = 25


@dataclass(frozen=True)
class Arrivals:
    """Where an optimisation by gradients ends, from (n,) starting points.

    ``optimum`` is the best cut of the relaxation with the width at which the schedule ends, to be met within
    ``tolerance``.
    """

    relaxation: Relaxation
    loss: Loss
    optimizer: str
    schedule: str
    starts: Floats
    ends: Floats
    optimum: Optimum
    tolerance: float

    @property
    def arrived(self) -> npt.NDArray[np.bool_]:
        """(n,) whether a start has led to the optimum."""
        return np.abs(self.ends - self.optimum.cut) <= self.tolerance

    @property
    def share(self) -> float:
        """The share of the starts that reach the optimum."""
        return float(np.mean(self.arrived))

    def __str__(self) -> str:
        reached = int(self.arrived.sum())
        return (
            f"{self.relaxation}, {self.loss.symbol}, {self.optimizer}, {self.schedule}: {reached} of "
            f"{len(self.starts)} starts end within {self.tolerance:.2g} of {self.optimum.cut:.2f}"
        )


def descend(
    events: CutEvents,
    relaxation: Relaxation,
    loss: str,
    starts: npt.ArrayLike,
    optimizer: keras.optimizers.Optimizer,
    *,
    schedule: Schedule | None = None,
    steps: int = 400,
) -> Floats:
    """Where gradient steps lead from each of (n,) ``starts``.

    The optimizer sees positions in units of the standard deviation of all events, and a loss that is scaled
    so that the largest gradient at the starts, with the first and the last width, is 1; its learning rate
    then means the same for every loss and relaxation. Starts do not know of each other, as long as the
    optimizer treats its variables element by element.

    Parameters
    ----------
    events, relaxation, loss
        What is optimised, in float64.
    starts
        (n,) positions.
    optimizer
        Any Keras optimizer that works element by element; a copy of it is used.
    schedule
        A factor of the width as a function of the progress, 0 … 1; constantly 1 without one.
    steps
        Number ≥ 1 of steps.

    Raises
    ------
    ConfigError
        For a loss that there is not, without steps, or for a schedule that is not > 0.
    InputError
        For starts that are no list of finite numbers.
    """
    of = loss_of(loss)
    n = checked_integer("steps", steps, 1)
    scales = [1.0 if schedule is None else float(schedule(i / max(n - 1, 1))) for i in range(n)]
    if not all(0 < scale < np.inf for scale in scales):
        raise ConfigError(f"schedule must give finite factors > 0, got {min(scales):g} to {max(scales):g}")
    spread = events.spread
    position = tf.Variable(checked_cuts("starts", starts) / spread)
    own = type(optimizer).from_config(optimizer.get_config())
    own.build([position])
    evaluate = loss_and_weights(events, relaxation, tf.float64)

    def gradient(scale: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            (values,), _ = evaluate([of], position * spread, scale)
        return of.sign * tape.gradient(values, position)

    # A narrower step has larger gradients: what does for the first width could overshoot at the last one.
    ends = [tf.abs(gradient(tf.constant(scale, tf.float64))) for scale in (scales[0], scales[-1])]
    largest = tf.reduce_max(tf.stack(ends))
    unit = tf.where(largest > 0, largest, tf.ones_like(largest))

    def step(scale: tf.Tensor) -> None:
        own.apply([gradient(scale) / unit], [position])

    graph = traced(step, input_signature=[tf.TensorSpec([], tf.float64)])
    for scale in scales:
        graph(tf.constant(scale, tf.float64))
    return np.asarray(position) * spread


def arrivals(
    events: CutEvents,
    relaxations: Relaxation | Sequence[Relaxation],
    losses: str | Sequence[str],
    *,
    optimizers: Mapping[str, keras.optimizers.Optimizer] | None = None,
    schedules: Mapping[str, Schedule | None] | None = None,
    starts: npt.ArrayLike | None = None,
    steps: int = 400,
    tolerance: float | None = None,
) -> list[Arrivals]:
    """Which starts reach the best cut, for every relaxation, loss, optimizer and schedule of the width.

    Parameters
    ----------
    events, relaxations, losses
        What is optimised.
    optimizers
        Keras optimizers by name; by default gradient descent with a learning rate of 0.1 and Adam with 0.03,
        in the units of :func:`descend`.
    schedules
        Factors of the width by name; by default none, so that the width stays what it is.
    starts
        (n,) positions; by default 25 at equal distances, over the range of the default scan.
    steps
        Number ≥ 1 of steps.
    tolerance
        How close to the best cut counts as reached; by default a hundredth of the range of the default scan.

    Raises
    ------
    ConfigError, InputError
        As :func:`descend` does; ``ConfigError`` for a tolerance that is not > 0.
    """
    begin = events.cuts(_STARTS) if starts is None else checked_cuts("starts", starts)
    grid = events.cuts()
    close = float(np.ptp(grid)) / 100 if tolerance is None else tolerance
    if not close > 0:
        raise ConfigError(f"tolerance must be > 0, got {close!r}")
    found = []
    for relaxation in relaxations_of(relaxations):
        for of in losses_of(losses):
            for name, optimizer in (optimizers or default_optimizers()).items():
                for label, schedule in (schedules or {"constant width": None}).items():
                    ends = descend(
                        events, relaxation, of.name, begin, optimizer, schedule=schedule, steps=steps
                    )
                    scale = 1.0 if schedule is None else float(schedule(1.0))
                    best = best_cut(
                        events, replace(relaxation, width=relaxation.width * scale), of.name, grid
                    )
                    found.append(Arrivals(relaxation, of, name, label, begin, ends, best, close))
    return found


def default_optimizers() -> dict[str, keras.optimizers.Optimizer]:
    """Gradient descent and Adam, with learning rates for the units of :func:`descend`."""
    return {
        "gradient descent": keras.optimizers.SGD(0.1),
        "Adam": keras.optimizers.Adam(0.03),
    }


def arrivals_table(found: Sequence[Arrivals]) -> Table:
    """The shares of the starts that reach the best cut as a rich table, a row each."""
    table = Table(title="Starts that reach the best cut", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("relaxation", "loss", "optimizer", "width"):
        table.add_column(heading)
    table.add_column("starts", justify="right")
    for label, one in zip(labels([a.relaxation for a in found]), found, strict=True):
        share = f"{100 * one.share:.0f} %"
        table.add_row(label, one.loss.symbol, one.optimizer, one.schedule, share)
    return table
