"""Gradient ascent on the events themselves, in blocks: exact, with memory for a few blocks at a time.

A step goes over the events twice. First come the soft yields, then the derivatives of the objective with
respect to them, and last the product of these with the derivatives of the yields with respect to the
variables. Whoever computes the sums of which events, they are added up in one order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cortado.categorizer.rules import ModelRule
from cortado.event_sample import EventSample
from cortado.models import Model
from cortado.models.tensorflow import tf, traced
from cortado.objectives import Objective, Yields
from cortado.shares import Shares
from cortado.training.blocks import Here, Kernel, Shape, Unit
from cortado.training.cluster import Recipe, There
from cortado.training.loop import WORTH_COMPILING, restore_state, state_of

Floats = npt.NDArray[np.float64]
Result = TypeVar("Result")


class Holder(Protocol):
    """Who has units of events and computes with them: this process, or the workers of a cluster."""

    def each(self, function: Callable[..., Result], *arguments: Any) -> list[Result]:
        """What ``function(kernel, unit, *arguments)`` gives for each unit, in order."""


class Events:
    """The events of some folds as a training sees them, scaled to the full luminosity.

    ``digest`` tells them from others.
    """

    def __init__(
        self,
        holder: Holder,
        units: Sequence[Unit],
        processes: tuple[str, ...],
        scale: float,
        shares: Shares | None = None,
        digest: str = "",
    ) -> None:
        self._holder, self.processes, self.shares, self.digest = holder, processes, shares, digest
        self._process = [unit.process for unit in units]
        self._scale = np.array([scale, scale**2, 1.0, scale])[:, None]

    @property
    def n_sums(self) -> int:
        """Number of sums for each process and category."""
        return 3 if self.shares is None else 4

    def soft_sums(self, sharpness: float) -> Floats:
        """(P, 3, K) Σw, Σw² and counts of the soft categories; (P, 4, K) with Σw from smooth shares."""
        parts = self._holder.each(Kernel.soft_sums, sharpness)
        total = self._per_process([part[:3] for part in parts])
        if self.shares is None:
            return total
        smooth = np.sum([part[3:] for part in parts], axis=0) * self._scale[3]
        return np.concatenate([total, smooth[:, None]], axis=1)

    def gradient(self, sharpness: float, derivatives: Floats) -> list[Floats]:
        """Of Σ derivatives · :meth:`soft_sums`, one array for each trained variable."""
        parts = self._holder.each(Kernel.gradient, sharpness, derivatives * self._scale[: self.n_sums])
        return [np.sum(arrays, axis=0) for arrays in zip(*parts, strict=True)]

    def yields(self, rule: ModelRule) -> Yields:
        """The yields of hard categories."""
        sums = self._per_process(self._holder.each(Kernel.hard_sums, rule))
        return Yields(self.processes, sums[:, 0], sums[:, 1], np.rint(sums[:, 2]).astype(np.int64))

    def _per_process(self, parts: list[Floats]) -> Floats:
        """(P, 3, K) from (3, K) of each unit."""
        total = np.zeros((len(self.processes), *parts[0].shape))
        for process, part in zip(self._process, parts, strict=True):
            total[process] += part
        return total * self._scale[:3]


def holding(
    sample: EventSample,
    processes: tuple[str, ...],
    model: Model,
    steps: int,
    shares: Shares | None,
    client: Any,
) -> Callable[[Collection[int]], Events]:
    """A function that gives the events of some folds, to be trained on for so many steps.

    They are held by this process, or by the workers of a ``client``.
    """
    largest = max(sum(s.n_events for s in sample.streams if s.dataset == p) for p in processes)
    compiled = float(sample.n_events) * model.n_categories * steps > WORTH_COMPILING
    shape = Shape.of_blocks(largest, sample.features.dimensions, compiled=compiled)
    make: Callable[[Sequence[Unit]], Holder]
    if client is None:
        make = partial(Here, Kernel(model, shape, shares))
    else:
        make = partial(There, client, Recipe.of(model, shape, shares), model)

    def events(folds: Collection[int]) -> Events:
        units = shape.units(sample.in_folds(folds), processes)
        return Events(make(units), units, processes, sample.n_folds / len(folds), shares, sample.digest)

    return events


class EventTrainer:
    """Steps of one model on events, from the state that the model is in."""

    def __init__(self, model: Model, events: Events, goal: Objective, optimizer: Any) -> None:
        self._model, self._events, self._goal = model, events, goal
        self._optimizer = optimizer
        self._optimizer.build(model.trainable_variables)
        shape = (len(events.processes), events.n_sums, model.n_categories)
        signature = [tf.TensorSpec(shape, tf.float64), tf.TensorSpec((), tf.float64)]
        self._valued = traced(self._value, input_signature=signature)
        self._applied = traced(self._apply)

    @property
    def n_traces(self) -> int:
        """How often the objective of the yields and the optimizer were traced: once."""
        return int(max(f.experimental_get_tracing_count() for f in (self._valued, self._applied)))

    def state(self) -> dict[str, Floats]:
        """The values of all variables that steps change."""
        return state_of(self._model, self._optimizer)

    def restore(self, state: dict[str, Floats]) -> None:
        """Set them back to a :meth:`state`."""
        restore_state(self._model, self._optimizer, state)

    def objective(self, temperature: float, strength: float) -> float:
        """The soft objective of the model as it is."""
        return float(self._valued(self._events.soft_sums(1 / temperature), strength)[0])

    def run(self, temperature: Floats, rate: Floats | None, strength: Floats) -> Floats:
        """As many steps as there are numbers; (n,) the soft objective before each.

        Without ``rate`` the learning rate is the optimizer's own. From the first step on that has no finite
        gradient the objective is NaN, and no further steps are taken.
        """
        found = np.full(len(temperature), np.nan)
        for i, (sharpness, factor) in enumerate(zip(1 / temperature, strength, strict=True)):
            value, derivatives = self._valued(self._events.soft_sums(sharpness), factor)
            gradient = self._events.gradient(sharpness, -np.asarray(derivatives))
            if not all(np.isfinite(part).all() for part in (value, *gradient)):
                break
            if rate is not None:
                self._optimizer.learning_rate.assign(rate[i])
            self._applied([tf.constant(part) for part in gradient])
            found[i] = value
        return found

    def _value(self, sums: Any, strength: Any) -> tuple[Any, Any]:
        """The objective of soft sums and its derivatives; floors are those of the events as they are."""
        with tf.GradientTape() as tape:
            tape.watch(sums)
            held = smooth = Yields(self._events.processes, sums[:, 0], sums[:, 1], sums[:, 2])
            if self._events.shares:
                sumw2 = tf.abs(sums[:, 3] * self._events.shares.mean_weight[:, None])
                smooth = replace(held, sumw=sums[:, 3], sumw2=sumw2)
            value = tf.cast(self._goal.soft(smooth, strength, held), tf.float64)
        return value, tape.gradient(value, sums, unconnected_gradients="zero")

    def _apply(self, gradient: Any) -> None:
        variables = self._model.trainable_variables
        self._optimizer.apply(
            [tf.cast(g, v.dtype) for g, v in zip(gradient, variables, strict=True)], variables
        )
