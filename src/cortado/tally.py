"""Sums of events per integer address: what one fill adds up, block by block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.kernels import (
    PART,
    addresses,
    columns,
    mark,
    n_different,
    number_in_box,
    sort_roughly,
    sum_records,
    sum_sorted,
)
from cortado.memory import integers
from cortado.numbering import UInt64s, extent, in_order, numbers
from cortado.rows import Rows, Union, space

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# To mark the addresses in a box is quicker than sorting as long as it is not much larger than the events.
_BOX_PER_EVENT = 16
_BOX_ALWAYS = 1 << 16
_MOST_SORTED = 1 << 40


class Tally:
    """Sums of at most ``n_events`` events, with addresses of c = ``dimensions`` integers and m ``moments``.

    Addresses in a box, that of the addresses of the first events, have a number. In a small box the numbers
    are marked as they come; those in a large one are sorted in the end. So are the addresses of other events,
    which are few unless the events come in an order.
    """

    def __init__(self, n_events: int, dimensions: int, moments: int) -> None:
        self._largest = max(_BOX_PER_EVENT * n_events, _BOX_ALWAYS)
        self._number, self._weight, self._coordinates, self._records, self._marks = _pieces(
            ((n_events,), np.int64),
            ((n_events,), np.float64),
            ((moments, n_events), np.float64),
            ((n_events, 2 + moments), np.float64),
            ((self._largest,), np.bool_),
        )
        self._n = 0
        self._use_box([0] * dimensions, [0] * dimensions)
        self._outside: list[tuple[Integers, Floats, Floats]] = []

    def add(self, address: Integers, weight: Floats, coordinates: Floats) -> None:
        """Add n events: ``address`` (c, n), ``weight`` (n,), ``coordinates`` (m, n)."""
        if not self._n and not self._outside and len(weight):
            self._choose_box(address)
        number = number_in_box(address, self._low, self._span)
        if number.min(initial=0) < 0:
            outside, inside = number < 0, number >= 0
            self._outside.append((address[:, outside], weight[outside], coordinates[:, outside]))
            number, weight, coordinates = number[inside], weight[inside], coordinates[:, inside]
        new = slice(self._n, self._n + len(number))
        self._number[new], self._weight[new], self._coordinates[:, new] = number, weight, coordinates
        self._n = new.stop
        if not self._is_sparse:
            mark(number, self._seen, self._in_part)

    def rows(self) -> Rows:
        """What was added up. Nothing can be added any more."""
        n = self._n
        events = self._number[:n], self._weight[:n], self._coordinates[:, :n]
        inside = self._sorted_sums(*events) if self._is_sparse else self._marked_sums(*events)
        if not self._outside:
            return inside
        outside = _sums_anywhere(
            *(np.concatenate(part, axis=-1) for part in zip(*self._outside, strict=True))
        )
        return Union.of((inside, outside)).rows()

    def _marked_sums(self, number: Integers, weight: Floats, coordinates: Floats) -> Rows:
        there = np.flatnonzero(self._seen)
        rows = _space(len(there), len(self._low), len(coordinates))
        m = columns(len(coordinates))
        sort_roughly(number, weight, coordinates, self._in_part, m, self._records)
        sum_records(self._records, self._seen, self._in_part, m, rows.sums, rows.n_events)
        addresses(there, self._low, self._span, rows.first, rows.key)
        return rows

    def _sorted_sums(self, number: Integers, weight: Floats, coordinates: Floats) -> Rows:
        order = in_order(number, math.prod(self._span.tolist()))
        event, rows = _sums_in_order(order, weight, coordinates, len(self._low))
        addresses(number[event], self._low, self._span, rows.first, rows.key)
        return rows

    def _choose_box(self, address: Integers) -> None:
        """Make the box that of some addresses (c, n), with a quarter around it if it may be so large."""
        low, span = extent(address.min(axis=1), address.max(axis=1))
        around, none = [s // 4 for s in span], [0] * len(span)
        for margin, most in ((around, self._largest), (none, self._largest), (around, _MOST_SORTED)):
            wide = [s + 2 * a for s, a in zip(span, margin, strict=True)]
            if math.prod(wide) <= most:
                self._use_box([first - a for first, a in zip(low, margin, strict=True)], wide)
                return

    def _use_box(self, low: list[int], span: list[int]) -> None:
        self._low, self._span = np.array(low), np.array(span)
        size = math.prod(span)
        self._is_sparse = size > self._largest
        if not self._is_sparse:
            self._seen = self._marks[:size]
            self._seen[:] = False
            self._in_part = np.zeros(-(-size // PART), np.int64)


def _pieces(*arrays: tuple[tuple[int, ...], type[np.generic]]) -> list[npt.NDArray[Any]]:
    """Arrays of some shapes and types in one piece of memory, one after the other, with anything in them."""
    sizes = [math.prod(shape) * np.dtype(kind).itemsize for shape, kind in arrays]
    memory = integers(-(-sum(sizes) // 8)).view(np.uint8)
    ends = np.cumsum(sizes).tolist()
    parts = [memory[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    return [part.view(kind).reshape(shape) for part, (shape, kind) in zip(parts, arrays, strict=True)]


def _sums_anywhere(address: Integers, weight: Floats, coordinates: Floats) -> Rows:
    """Sums of n events wherever their ``address`` (c, n) is; ``weight`` (n,), ``coordinates`` (m, n)."""
    event, rows = _sums_in_order(in_order(*numbers(address)), weight, coordinates, len(address))
    rows.first[:], rows.key[:] = address[0, event], address[1:, event].T
    return rows


def _sums_in_order(
    order: tuple[UInt64s, int], weight: Floats, coordinates: Floats, dimensions: int
) -> tuple[Integers, Rows]:
    """Rows whose address is yet to be set to that of an event (r,), and these events."""
    rows = _space(n_different(*order), dimensions, len(coordinates))
    event = sum_sorted(*order, weight, coordinates, columns(len(coordinates)), rows.sums, rows.n_events)
    return event, rows


def _space(n: int, dimensions: int, moments: int) -> Rows:
    return Rows(np.empty(n, np.int64), *space(n, dimensions - 1, 3 + moments))
