"""Sums of events per integer address: what one fill adds up, block by block."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cortado.kernels import addresses, append_inside, merge_rows, number_in_box, sum_by_number

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
        return Rows(*merge_rows(*self, *other))


class Tally:
    """Sums of at most ``n_events`` events, with addresses of c = ``dimensions`` integers and m ``moments``.

    Addresses in a box, that of the addresses of the first events, have a number. Those of other events, which
    are few unless the events come in an order, are sorted in the end.
    """

    def __init__(self, n_events: int, dimensions: int, moments: int) -> None:
        self._largest = max(_BOX_PER_EVENT * n_events, _BOX_ALWAYS)
        self._low, self._span = np.zeros((2, dimensions), np.int64)
        self._number, self._weight = np.empty(n_events + 1, np.int64), np.empty(n_events + 1)
        self._coordinates = np.empty((moments, n_events + 1))  # one more: written to, and then over
        self._n = 0
        self._outside: list[tuple[Integers, Floats, Floats]] = []

    def add(self, address: Integers, weight: Floats, coordinates: Floats) -> None:
        """Add n events: ``address`` (c, n), ``weight`` (n,), ``coordinates`` (m, n)."""
        if not self._n and not self._outside and len(weight):
            self._place_box(address)
        number = number_in_box(address, self._low, self._span)
        outside = np.flatnonzero(number < 0)
        if len(outside):
            self._outside.append((address[:, outside], weight[outside], coordinates[:, outside]))
        everything = self._number, self._weight, self._coordinates
        self._n = append_inside(number, weight, coordinates, self._n, *everything)

    def rows(self) -> Rows:
        """What was added up."""
        number, sums, n_events = sum_by_number(
            self._number[: self._n],
            math.prod(self._span.tolist()),
            self._weight[: self._n],
            self._coordinates[:, : self._n],
        )
        inside = _rows(addresses(number, self._low, self._span), sums, n_events)
        if not self._outside:
            return inside
        address, weight, coordinates = (
            np.ascontiguousarray(np.concatenate(part, axis=-1)) for part in zip(*self._outside, strict=True)
        )
        unique, index = distinct(address.T)
        _, sums, n_events = sum_by_number(index, len(unique), weight, coordinates)
        return inside.merged(_rows(unique, sums, n_events))

    def _place_box(self, address: Integers) -> None:
        """Make the box that of some addresses (c, n), with a quarter around it if it may be so large."""
        low, span = _extent(address)
        for around in ([s // 4 for s in span], [0] * len(span)):
            wide = [s + 2 * a for s, a in zip(span, around, strict=True)]
            if math.prod(wide) <= self._largest:
                self._low, self._span = np.array(low) - np.array(around), np.array(wide)
                return


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
    numbers, index = np.unique(number_in_box(columns, corner, extent), return_inverse=True)
    return addresses(numbers, corner, extent), index


def _extent(columns: Integers) -> tuple[list[int], list[int]]:
    """The smallest integer in each of c columns (c, n), and how many there are up to the largest.

    Python integers: the span of distant addresses does not fit 64 bits.
    """
    low, high = columns.min(axis=1).tolist(), columns.max(axis=1).tolist()
    return low, [last - first + 1 for first, last in zip(low, high, strict=True)]


def _rows(address: Integers, sums: Floats, n_events: Integers) -> Rows:
    return Rows(address[:, 0].copy(), address[:, 1:].copy(), sums, n_events)
