"""Sums of events per integer address: what one fill adds up, block by block."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cortado.kernels import (
    PART,
    addresses,
    columns,
    mark,
    merge_rows,
    number_in_box,
    ranked,
    sort_roughly,
    sum_records,
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# To look at all addresses in a box is quicker than sorting as long as it is not much larger than the events.
_BOX_PER_EVENT = 16
_BOX_ALWAYS = 1 << 16


class Rows(NamedTuple):
    """Rows of sums, unique and sorted by their address: its ``first`` integer (n,), and the others, ``key``.

    ``key`` (n, d); ``sums`` (n, 3 + m) Σw, Σw², Σ|w| and m moments Σ|w|·u; ``n_events`` (n,).
    """

    first: Integers
    key: Integers
    sums: Floats
    n_events: Integers

    def merged(self, other: Rows) -> Rows:
        """The rows of both, those of the same address added."""
        return Rows(
            *merge_rows(*self, *other, columns(self.key.shape[1]), columns(self.sums.shape[1])),
        )


class Tally:
    """Sums of at most ``n_events`` events, with addresses of c = ``dimensions`` integers and m ``moments``.

    Addresses in a box, that of the addresses of the first events, have a number. Those of other events, which
    are few unless the events come in an order, are sorted in the end.
    """

    def __init__(self, n_events: int, dimensions: int, moments: int) -> None:
        self._largest = max(_BOX_PER_EVENT * n_events, _BOX_ALWAYS)
        self._memory, arrays = _borrowed(
            ((n_events,), np.int64),
            ((n_events,), np.float64),
            ((moments, n_events), np.float64),
            ((n_events, 2 + moments), np.float64),
            ((self._largest,), np.bool_),
        )
        self._number, self._weight, self._coordinates, self._records, self._marks = arrays
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
        mark(number, self._seen, self._in_part)

    def rows(self) -> Rows:
        """What was added up. Nothing can be added any more."""
        numbers = np.flatnonzero(self._seen)
        m = columns(len(self._coordinates))
        sums, n_events = np.zeros((len(numbers), 3 + len(m))), np.zeros(len(numbers), np.int64)
        events = self._number[: self._n], self._weight[: self._n], self._coordinates[:, : self._n]
        sort_roughly(*events, self._in_part, m, self._records)
        sum_records(self._records, self._seen, self._in_part, m, sums, n_events)
        _give_back(self._memory)
        del self._memory  # another tally may have it from now on
        inside = Rows(*addresses(numbers, self._low, self._span), sums, n_events)
        if not self._outside:
            return inside
        address, weight, coordinates = (
            np.ascontiguousarray(np.concatenate(part, axis=-1)) for part in zip(*self._outside, strict=True)
        )
        unique, index = distinct(address.T)
        tally = Tally(len(weight), 1, len(m))
        tally.add(index[None], weight, coordinates)
        _, _, sums, n_events = tally.rows()
        return inside.merged(Rows(unique[:, 0].copy(), unique[:, 1:].copy(), sums, n_events))

    def _choose_box(self, address: Integers) -> None:
        """Make the box that of some addresses (c, n), with a quarter around it if it may be so large."""
        low, span = _extent(address)
        for around in ([s // 4 for s in span], [0] * len(span)):
            wide = [s + 2 * a for s, a in zip(span, around, strict=True)]
            if math.prod(wide) <= self._largest:
                self._use_box([first - a for first, a in zip(low, around, strict=True)], wide)
                return

    def _use_box(self, low: list[int], span: list[int]) -> None:
        self._low, self._span = np.array(low), np.array(span)
        size = math.prod(span)
        self._seen = self._marks[:size]
        self._seen[:] = False
        self._in_part = np.zeros(-(-size // PART), np.int64)


# Memory of earlier fills: to get it from the system anew, page by page, takes about as long as the sums.
_spare: list[npt.NDArray[np.uint8]] = []
_MOST_SPARE = 1 << 26  # bytes


def _borrowed(
    *arrays: tuple[tuple[int, ...], type[np.generic]],
) -> tuple[npt.NDArray[np.uint8], list[npt.NDArray[Any]]]:
    """Memory, and arrays of some shapes and types in it, one after the other, with anything in them."""
    sizes = [math.prod(shape) * np.dtype(kind).itemsize for shape, kind in arrays]
    memory = _spare.pop() if _spare else np.empty(0, np.uint8)
    if len(memory) < sum(sizes):
        memory = np.empty(sum(sizes), np.uint8)
    ends = np.cumsum(sizes).tolist()
    parts = [memory[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    return memory, [part.view(kind).reshape(shape) for part, (shape, kind) in zip(parts, arrays, strict=True)]


def _give_back(memory: npt.NDArray[np.uint8]) -> None:
    if not _spare and len(memory) <= _MOST_SPARE:
        _spare.append(memory)


def distinct(address: Integers) -> tuple[Integers, Integers]:
    """The different rows of ``address`` (n, c), sorted, and which of them each row is, (n,).

    As of :func:`numpy.unique` along the first axis; quicker where the rows, as digits, make one number.
    """
    if not address.size:
        return address[:0], np.zeros(len(address), np.int64)
    columns = np.ascontiguousarray(address.T)
    low, span = _extent(columns)
    if math.prod(span) >= 1 << 62:
        unique, index = np.unique(address, axis=0, return_inverse=True)
        return unique, index.reshape(-1)
    corner, extent = np.array(low), np.array(span)
    number = number_in_box(columns, corner, extent)
    if math.prod(span) <= max(_BOX_PER_EVENT * len(number), _BOX_ALWAYS):
        numbers, index = ranked(number, math.prod(span))
    else:
        numbers, index = np.unique(number, return_inverse=True)
    return np.column_stack(addresses(numbers, corner, extent)), index


def _extent(columns: Integers) -> tuple[list[int], list[int]]:
    """The smallest integer in each of c columns (c, n), and how many there are up to the largest.

    Python integers: the span of distant addresses does not fit 64 bits.
    """
    low, high = columns.min(axis=1).tolist(), columns.max(axis=1).tolist()
    return low, [last - first + 1 for first, last in zip(low, high, strict=True)]
