"""Addresses of several integers as single numbers in the same order, and the numbers sorted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cortado.kernels import (
    ascending,
    columns,
    extent_of_rows,
    number_in_box,
    places_merged,
    places_sorted,
    put,
    row_numbers,
    shifted,
    sorted_by_digits,
)

Integers = npt.NDArray[np.int64]
Order = npt.NDArray[np.int32]
UInt64s = npt.NDArray[np.uint64]

_MOST_NUMBERS = 1 << 62
_PACKED_BITS = 64
_ALL_BITS = 63


def numbers(address: Integers) -> tuple[Integers, int]:
    """(n,) numbers ≥ 0 of addresses (c, n), equal where these are and in their order; and a bound on them.

    An address is its place in the smallest box around all of them, the last integer running fastest. Where
    the box has more places than 64 bits can tell, it is its rank.
    """
    if not address.size:
        return np.zeros(address.shape[1], np.int64), 1
    low, span = extent(address.min(axis=1), address.max(axis=1))
    if (size := math.prod(span)) > _MOST_NUMBERS:
        return ranks(address.T), address.shape[1]
    return number_in_box(address, np.array(low), np.array(span)), size


def ranks(address: Integers) -> Integers:
    """(n,) the rank of each of n addresses, (n, c), or numbers, (n,); equal ones have the same."""
    _, rank = np.unique(address, axis=0, return_inverse=True)
    return rank.reshape(-1).astype(np.int64, copy=False)


def extent(low: Integers, high: Integers) -> tuple[list[int], list[int]]:
    """The smallest of some integers (c,), and how many there are from them to the largest.

    Python integers: the span of distant addresses does not fit 64 bits.
    """
    first, last = low.tolist(), high.tolist()
    return first, [b - a + 1 for a, b in zip(first, last, strict=True)]


def in_order(number: Integers, size: int) -> tuple[UInt64s, int]:
    """Numbers (n,) below ``size`` in ascending order, each with its index in the last bits; and these bits.

    Equal ones stay in their order.
    """
    index_bits = len(number).bit_length()
    if (bits := (size - 1).bit_length()) + index_bits > _PACKED_BITS:
        number, bits = ranks(number), index_bits
    return sorted_by_digits(number, bits, index_bits), index_bits


def row_places(tables: Sequence[tuple[Integers, Integers, Integers]]) -> tuple[list[Order], int]:
    """Where the rows of tables are among the different ones of all; and how many those are.

    They are sorted. A row of a table, (first, key, shift), has the address ``first`` (n,) and ``key`` (n, d)
    >> ``shift`` (d,); a shift by 64 makes it 0.
    """
    own, size = _numbers_of_rows(tables)
    # Each for itself: the larger one is most often sorted already, and needs no memory to be so.
    found = [_own_places(own.pop(0), size) for _ in tables]
    places, (together, *others) = zip(*found, strict=True)
    rows, n_rows = [np.arange(len(together), dtype=np.int32)], len(together)
    for number in others:
        before, new, n_rows = places_merged(together, number)
        rows = [before[r] for r in rows] if len(rows) > 1 else [before]
        rows.append(new)
        if len(rows) < len(found):
            merged = np.empty(n_rows, np.int64)
            put(before, together, merged)
            put(new, number, merged)
            together = merged
    return [r if place is None else r[place] for r, place in zip(rows, places, strict=True)], n_rows


def _own_places(number: Integers, size: int) -> tuple[Order | None, Integers]:
    """Where numbers (n,) are among the different ones, None if these are they, and the different ones."""
    if ascending(number):
        return None, number
    place, n = places_sorted(*in_order(number, size))
    different = np.empty(n, np.int64)
    put(place, number, different)
    return place, different


def _numbers_of_rows(
    tables: Sequence[tuple[Integers, Integers, Integers]],
) -> tuple[list[Integers], int]:
    """As of :func:`numbers`, for each of some tables, in common."""
    filled = [table for table in tables if len(table[0])]
    if not filled:
        return [np.zeros(0, np.int64) for _ in tables], 1
    extents = [extent_of_rows(first, key, columns(key.shape[1])) for first, key, _ in filled]
    ends = [
        [[end[0], *map(shifted, end[1:], table[2])] for end in found]
        for found, table in zip(extents, filled, strict=True)
    ]
    low, span = extent(np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0))
    if (size := math.prod(span)) > _MOST_NUMBERS:
        rank = ranks(np.concatenate([_shifted_rows(*table) for table in tables]))
        return np.split(rank, np.cumsum([len(first) for first, _, _ in tables])[:-1]), len(rank)
    d = columns(len(low) - 1)
    return [row_numbers(*table, np.array(low), np.array(span), d) for table in tables], size


def _shifted_rows(first: Integers, key: Integers, shift: Integers) -> Integers:
    kept = np.where(shift > _ALL_BITS, 0, key >> np.minimum(shift, _ALL_BITS))
    return np.column_stack([first, kept])


def distinct(address: Integers) -> tuple[Integers, Integers]:
    """The different rows of ``address`` (n, c), sorted, and which of them each row is, (n,).

    As of :func:`numpy.unique` along the first axis, and quicker.
    """
    row, n_rows = places_sorted(*in_order(*numbers(np.ascontiguousarray(address.T))))
    unique = np.empty((n_rows, address.shape[1]), np.int64)
    unique[row] = address
    return unique, row.astype(np.int64)
