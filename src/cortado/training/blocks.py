"""Sums over events in blocks of one shape: soft yields, their derivatives, and hard yields.

A unit is a stretch of events of one process, read at once; its blocks are added up in order, and so are the
units by whoever asks. The result therefore does not depend on who computes which unit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cortado.categorizer.rules import ModelRule
from cortado.event_sample import Stream
from cortado.models import Model
from cortado.models.tensorflow import softmax, tf, traced
from cortado.shares import LARGEST, Shares, products

Floats = npt.NDArray[np.float64]
Result = TypeVar("Result")

_LARGEST_BLOCK = 1 << 16  # events; a call takes about a millisecond more than its events do
_SMALLEST_BLOCK = 1 << 8
_BLOCKS_PER_UNIT = 4


@dataclass(frozen=True, eq=False)
class Unit:
    """Events of the process with the number ``process``: ``start`` … ``stop`` of each of some streams."""

    process: int
    stretches: tuple[tuple[Stream, int, int], ...]

    @property
    def n_events(self) -> int:
        """Number of events."""
        return sum(stop - start for _, start, stop in self.stretches)

    def read(self) -> tuple[Floats, Floats]:
        """Places (n, d) and weights (n,)."""
        parts = [stream.read(start, stop) for stream, start, stop in self.stretches]
        if len(parts) == 1:
            return parts[0]
        place, weight = zip(*parts, strict=True)
        return np.concatenate(place), np.concatenate(weight)

    def blocks(self, size: int) -> Iterator[tuple[Floats, Floats, int]]:
        """Places (size, d) and weights (size,), of which the first n are those of events; and n."""
        place, weight = self.read()
        for first in range(0, len(weight), size):
            some, w = place[first : first + size], weight[first : first + size]
            if missing := size - len(w):
                # What is added is some event's place, where a model has a value.
                some = np.concatenate([some, np.repeat(some[:1], missing, axis=0)])
                w = np.pad(w, (0, missing))
            yield some, w, size - missing


@dataclass(frozen=True)
class Shape:
    """How events are cut: size of a block, number of coordinates; whether functions of it are compiled."""

    block: int
    dimensions: int
    compiled: bool

    @classmethod
    def of_blocks(cls, n_events: int, dimensions: int, *, compiled: bool) -> Shape:
        """Blocks no larger than need be for so many events of a process."""
        block = min(max(_SMALLEST_BLOCK, 1 << (n_events - 1).bit_length()), _LARGEST_BLOCK)
        return cls(block, dimensions, compiled)

    def units(self, streams: Sequence[Stream], processes: Sequence[str]) -> tuple[Unit, ...]:
        """The events of the streams, in order of the processes."""
        length = _BLOCKS_PER_UNIT * self.block
        return tuple(
            Unit(number, stretches)
            for number, process in enumerate(processes)
            for stretches in _cut([s for s in streams if s.dataset == process], length)
        )


class Kernel:
    """What a model makes of a unit, in functions that are traced once.

    With ``shares``, an event counts a little for every process, as if it were any of them at its place.
    """

    def __init__(self, model: Model, shape: Shape, shares: Shares | None = None) -> None:
        self._model, self._shape, self._shares = model, shape, shares
        signature = [
            tf.TensorSpec((shape.block, shape.dimensions), tf.float64),
            tf.TensorSpec((shape.block,), tf.float64),
            tf.TensorSpec((), tf.int32),
            tf.TensorSpec((), tf.float64),
        ]
        n_sums = 3 + (len(shares.per_event) if shares else 0)
        per_category = tf.TensorSpec((n_sums, model.n_categories), tf.float64)
        compiled = shape.compiled
        self._sums = traced(self._soft, input_signature=signature, jit_compile=compiled)
        signature = [*signature, per_category]
        self._gradient = traced(self._product, input_signature=signature, jit_compile=compiled)

    @property
    def n_traces(self) -> int:
        """How often either function was traced."""
        counts = (f.experimental_get_tracing_count() for f in (self._sums, self._gradient))
        return int(max(counts))

    def restore(self, state: dict[str, Floats]) -> None:
        """Set the variables of the model."""
        self._model.restore(state)

    def soft_sums(self, unit: Unit, sharpness: float) -> Floats:
        """(3, K) Σ w m_k, Σ w² m_k and Σ m_k of memberships m_k; with shares also smooth Σ w m_k, (P, K)."""
        blocks = unit.blocks(self._shape.block)
        sums = _added([self._sums(*block, sharpness)] for block in blocks)[0]
        if self._shares is None:
            return sums
        return np.concatenate([sums[:3], sums[3:] * self._equivalent(unit)])

    def gradient(self, unit: Unit, sharpness: float, factors: Floats) -> list[Floats]:
        """Derivatives, one of each trained variable, of a sum of products with :meth:`soft_sums`.

        ``factors`` (P, 3, K) or (P, 4, K) are for the three sums of each process, and for its smooth Σ w m_k.
        """
        rows = factors[unit.process, :3]
        if self._shares is not None:
            rows = np.concatenate([rows, factors[:, 3] * self._equivalent(unit)])
        blocks = unit.blocks(self._shape.block)
        return _added(self._gradient(*block, sharpness, rows) for block in blocks)

    def hard_sums(self, unit: Unit, rule: ModelRule) -> Floats:
        """(3, K) Σw, Σw² and numbers of the events in each category of a rule."""
        place, weight = unit.read()
        category = rule.assign(place)
        tables = (weight, weight * weight, None)
        return np.stack([np.bincount(category, table, rule.n_categories) for table in tables])

    def _equivalent(self, unit: Unit) -> Floats:
        """(P, 1) of every process, the weight of as many effective events as weight 1 of the unit's has."""
        assert self._shares is not None
        per_event = self._shares.per_event
        return (per_event[unit.process] / per_event)[:, None]

    def _soft(self, place: Any, weight: Any, n_events: Any, sharpness: Any) -> Any:
        there = tf.cast(tf.range(self._shape.block) < n_events, tf.float64)
        tables = tf.stack([weight, weight * weight, there])
        if self._shares is not None:
            tables = tf.concat([tables, shares_at(self._shares, place) * weight], axis=0)
        return tables @ tf.cast(self._model.memberships(place, sharpness), tf.float64)

    def _product(self, place: Any, weight: Any, n_events: Any, sharpness: Any, factors: Any) -> Any:
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(factors * self._soft(place, weight, n_events, sharpness))
        variables = self._model.trainable_variables
        gradient = tape.gradient(value, variables, unconnected_gradients="zero")
        return [tf.convert_to_tensor(part) for part in gradient]


class Here:
    """Units in this process, as many at a time as there are processors."""

    def __init__(self, kernel: Kernel, units: Sequence[Unit], n_threads: int | None = None) -> None:
        self.kernel = kernel
        self._units = units
        self._n_threads = n_threads or _n_processors()

    def each(self, function: Callable[..., Result], *arguments: Any) -> list[Result]:
        """What ``function(kernel, unit, *arguments)`` gives for each unit, in order."""
        with ThreadPoolExecutor(self._n_threads) as threads:
            return list(threads.map(lambda unit: function(self.kernel, unit, *arguments), self._units))


def shares_at(shares: Shares, place: Any) -> Any:
    """(P, n) shares of the processes at places (n, d), as a tensor.

    In float32, which makes them quicker: what a regression says of them is not known to more digits.
    """
    z = tf.clip_by_value((place - shares.location) / shares.scale, -LARGEST, LARGEST) / 2
    rows = tf.stack(products(shares.exponents, tf.transpose(tf.cast(z, tf.float32))))
    logits = tf.constant(shares.coefficients.T, tf.float32) @ rows
    return tf.cast(softmax(logits), tf.float64)


def _cut(streams: Iterable[Stream], length: int) -> Iterator[tuple[tuple[Stream, int, int], ...]]:
    """All events of some streams, ``length`` at a time, the last fewer."""
    some: list[tuple[Stream, int, int]] = []
    room = length
    for stream in streams:
        start = 0
        while start < stream.n_events:
            stop = min(start + room, stream.n_events)
            some.append((stream, start, stop))
            room -= stop - start
            start = stop
            if not room:
                yield tuple(some)
                some, room = [], length
    if some:
        yield tuple(some)


def _n_processors() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _added(parts: Iterable[Sequence[Any]]) -> list[Floats]:
    """Lists of arrays, added up in order."""
    total: list[Floats] = []
    for part in parts:
        arrays = [np.asarray(array, np.float64) for array in part]
        total = [t + a for t, a in zip(total, arrays, strict=True)] if total else arrays
    return total
