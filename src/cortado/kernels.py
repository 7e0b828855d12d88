"""Loops over events and over rows of tables, compiled by numba where numpy would need many passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Function = TypeVar("Function", bound=Callable[..., Any])

_ROUGH = 10  # bits in which numbers may differ that are near one another


def compiled(function: Function) -> Function:
    """The function, compiled at its first call and kept for later processes."""
    try:
        kept: Function = njit(cache=True)(function)
    except RuntimeError:  # there is no folder to keep it in
        kept = njit(function)
    return kept


@compiled
def _mixed(z: Any) -> Any:
    z += np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled
def mixed(values: UInt64s) -> UInt64s:
    """64-bit integers (n,) scrambled by the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    new = np.empty_like(values)
    for i in range(len(values)):
        new[i] = _mixed(values[i])
    return new


@compiled
def mixed_remainder(values: UInt64s, n: int) -> Integers:
    """What is left of each of the ``mixed`` integers (n,) when it is divided by n."""
    remainder = np.empty(len(values), np.int64)
    if n & (n - 1) == 0:  # a power of 2 needs no division
        for i in range(len(values)):
            remainder[i] = _mixed(values[i]) & np.uint64(n - 1)
    else:
        for i in range(len(values)):
            remainder[i] = _mixed(values[i]) % np.uint64(n)
    return remainder


@compiled
def number_in_box(address: Integers, low: Integers, span: Integers) -> Integers:
    """(n,) numbers of addresses (c, n) in the box with corner ``low`` (c,) and extent ``span`` (c,).

    The last integer runs fastest; addresses outside of the box have the number −1.
    """
    number, outside = np.zeros(address.shape[1], np.int64), np.zeros(address.shape[1], np.bool_)
    for c in range(len(low)):
        for event in range(len(number)):
            step = address[c, event] - low[c]
            outside[event] |= step < 0 or step >= span[c]
            number[event] = number[event] * span[c] + step
    for event in range(len(number)):
        if outside[event]:
            number[event] = -1
    return number


@compiled
def addresses(number: Integers, low: Integers, span: Integers) -> Integers:
    """(n, c) addresses with numbers (n,) in the box with corner ``low`` (c,) and extent ``span`` (c,)."""
    address = np.empty((len(number), len(low)), np.int64)
    for row in range(len(number)):
        rest = number[row]
        for c in range(len(low) - 1, 0, -1):
            higher = rest // span[c]
            address[row, c] = low[c] + rest - higher * span[c]
            rest = higher
        address[row, 0] = low[0] + rest
    return address


@compiled
def append_inside(
    number: Integers,
    weight: Floats,
    coordinates: Floats,
    n_before: int,
    all_numbers: Integers,
    all_weights: Floats,
    all_coordinates: Floats,
) -> int:
    """Append the events (n,) that have a number to arrays that hold ``n_before``; how many these are then.

    ``coordinates`` (m, n) and, of as many events as there may be, ``all_coordinates`` (m, N).
    """
    end = n_before
    for event in range(len(number)):
        all_numbers[end], all_weights[end] = number[event], weight[event]
        end += number[event] >= 0
    for i in range(len(coordinates)):
        end = n_before
        for event in range(len(number)):
            all_coordinates[i, end] = coordinates[i, event]
            end += number[event] >= 0
    return end


@compiled
def sum_by_number(
    number: Integers, size: int, weight: Floats, coordinates: Floats
) -> tuple[Integers, Floats, Integers]:
    """Sums of n events that have the same number, from 0 to size − 1.

    ``weight`` (n,) and ``coordinates`` (m, n) of the events. Returns the m different numbers, in order, sums
    (m, 3 + m) of w, w², |w| and |w|·u, and counts (m,).
    """
    # Events are sorted roughly, so that the sums of those that follow one another are in the cache.
    n, m = len(number), len(coordinates)
    end = np.zeros((size >> _ROUGH) + 2, np.int64)
    for event in range(n):
        end[(number[event] >> _ROUGH) + 2] += 1
    end = np.cumsum(end)
    events = np.empty((n, 2 + m))
    for event in range(n):
        part = (number[event] >> _ROUGH) + 1
        events[end[part], 0], events[end[part], 1] = number[event], weight[event]
        for i in range(m):
            events[end[part], 2 + i] = coordinates[i, event]
        end[part] += 1

    unique, sums, count = np.empty(n, np.int64), np.empty((n, 3 + m)), np.empty(n, np.int64)
    row_of = np.empty(1 << _ROUGH, np.int64)
    rows = 0
    for part in range(len(end) - 1):
        some, first = events[end[part] : end[part + 1]], part << _ROUGH
        if not len(some):
            continue
        row_of[:] = -1
        for event in range(len(some)):
            row_of[int(some[event, 0]) - first] = 0
        for i in range(len(row_of)):
            if row_of[i] == 0:
                unique[rows], sums[rows], count[rows] = first + i, 0.0, 0
                row_of[i] = rows
                rows += 1
        for event in range(len(some)):
            row, w = row_of[int(some[event, 0]) - first], some[event, 1]
            sums[row, 0] += w
            sums[row, 1] += w * w
            sums[row, 2] += abs(w)
            for i in range(m):
                sums[row, 3 + i] += abs(w) * some[event, 2 + i]
            count[row] += 1
    return unique[:rows].copy(), sums[:rows].copy(), count[:rows].copy()  # a view would keep all n rows


@compiled
def merge_rows(
    source: Integers,
    key: Integers,
    sums: Floats,
    count: Integers,
    other_source: Integers,
    other_key: Integers,
    other_sums: Floats,
    other_count: Integers,
) -> tuple[Integers, Integers, Floats, Integers]:
    """The rows of two tables, each unique and sorted by source (n,) and key (n, d), as one such table.

    Rows of the same source and key are added: ``sums`` (n, s) and ``count`` (n,).
    """
    n, n_other = len(source), len(other_source)
    dimensions, columns = key.shape[1], sums.shape[1]
    # The new row of each. Which table is next cannot be foreseen, so nothing branches on it.
    row, other_row = np.empty(n, np.int64), np.empty(n_other, np.int64)
    a, b, rows = 0, 0, 0
    while a < n and b < n_other:
        order = int(source[a] > other_source[b]) - int(source[a] < other_source[b])
        for i in range(dimensions):
            order += (order == 0) * (int(key[a, i] > other_key[b, i]) - int(key[a, i] < other_key[b, i]))
        row[a], other_row[b] = rows, rows
        a += order <= 0
        b += order >= 0
        rows += 1
    for rest in range(a, n):
        row[rest] = rows + rest - a
    for rest in range(b, n_other):
        other_row[rest] = rows + rest - b
    rows += n - a + n_other - b

    new_source, new_key = np.empty(rows, np.int64), np.empty((rows, dimensions), np.int64)
    new_sums, new_count = np.zeros((rows, columns)), np.zeros(rows, np.int64)
    # Loops over few numbers: assignments of whole rows take numba seconds to compile.
    for a in range(n):
        new = row[a]
        new_source[new] = source[a]
        new_count[new] = count[a]
        for i in range(dimensions):
            new_key[new, i] = key[a, i]
        for i in range(columns):
            new_sums[new, i] = sums[a, i]
    for b in range(n_other):
        new = other_row[b]
        new_source[new] = other_source[b]
        new_count[new] += other_count[b]
        for i in range(dimensions):
            new_key[new, i] = other_key[b, i]
        for i in range(columns):
            new_sums[new, i] += other_sums[b, i]
    return new_source, new_key, new_sums, new_count
