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
Bools = npt.NDArray[np.bool_]
# As many integers as there are columns. The length of a tuple is part of its type, so that loops over so few
# numbers are compiled into none, which makes them several times as fast.
Columns = tuple[int, ...]
Function = TypeVar("Function", bound=Callable[..., Any])

_PART_BITS = 10
PART = 1 << _PART_BITS  # so many numbers that follow one another are near one another


def compiled(function: Function) -> Function:
    """The function, compiled at its first call and kept for later processes."""
    try:
        kept: Function = njit(cache=True)(function)
    except RuntimeError:  # there is no folder to keep it in
        kept = njit(function)
    return kept


def columns(n: int) -> Columns:
    """What stands for n columns."""
    return tuple(range(n))


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
def addresses(number: Integers, low: Integers, span: Integers) -> tuple[Integers, Integers]:
    """Addresses with numbers (n,) in the box with corner ``low`` (c,) and extent ``span`` (c,).

    Their first integer (n,), and the others (n, c − 1).
    """
    first, others = np.empty(len(number), np.int64), np.empty((len(number), len(low) - 1), np.int64)
    for row in range(len(number)):
        rest = number[row]
        for c in range(len(low) - 1, 0, -1):
            higher = rest // span[c]
            others[row, c - 1] = low[c] + rest - higher * span[c]
            rest = higher
        first[row] = low[0] + rest
    return first, others


@compiled
def ranked(number: Integers, n: int) -> tuple[Integers, Integers]:
    """The different ones of numbers (m,) from 0 to n − 1, sorted, and which of them each is, (m,)."""
    rank = np.zeros(n, np.int64)
    for i in range(len(number)):
        rank[number[i]] = 1
    different = np.empty(rank.sum(), np.int64)
    found = 0
    for i in range(n):
        if rank[i]:
            different[found], rank[i] = i, found
            found += 1
    index = np.empty(len(number), np.int64)
    for i in range(len(number)):
        index[i] = rank[number[i]]
    return different, index


@compiled
def row_sums(table: Any, index: Integers, n: int) -> Any:
    """(n, m) sums of a table (m, k) over the columns with each ``index`` (k,) 0 … n − 1."""
    sums = np.zeros((n, len(table)), table.dtype)
    # One row after the other would wait for the last sum, where columns that follow one another go together.
    for column in range(len(index)):
        for row in range(len(table)):
            sums[index[column], row] += table[row, column]
    return sums


@compiled
def n_within(values: Any, low: float, high: float) -> int:
    """How many values (n,) lie between two numbers or are one of them."""
    n = 0
    for i in range(len(values)):
        n += (values[i] >= low) & (values[i] <= high)
    return n


@compiled
def cell_addresses(first: Integers, u: Floats, width: Floats) -> Integers:
    """(1 + d, n) addresses: ``first`` (n,), and the cells ⌊u / width⌋ of coordinates (d, n), widths (d,)."""
    address = np.empty((1 + len(u), len(first)), np.int64)
    address[0] = first
    for i in range(len(u)):
        cell, coordinate, w = address[1 + i], u[i], width[i]
        for event in range(len(first)):
            quotient = coordinate[event] / w
            towards_zero = np.int64(quotient)
            cell[event] = towards_zero - (quotient < towards_zero)
    return address


@compiled
def mark(number: Integers, seen: Bools, in_part: Integers) -> None:
    """Mark in ``seen`` which numbers (n,) there are, and count by ``in_part`` those in each ``PART``."""
    for event in range(len(number)):
        seen[number[event]] = True
        in_part[number[event] >> _PART_BITS] += 1


@compiled
def sort_roughly(
    number: Integers,
    weight: Floats,
    coordinates: Floats,
    in_part: Integers,
    m: Columns,
    records: Floats,
) -> None:
    """Records of n events in the order of the parts of their numbers, ``records`` (n, 2 + m).

    ``number``, ``weight`` (n,) and ``coordinates`` (m, n); ``in_part`` as of :func:`mark`.
    """
    end = np.cumsum(in_part) - in_part
    for event in range(len(number)):
        part = number[event] >> _PART_BITS
        record = end[part]
        records[record, 0], records[record, 1] = number[event], weight[event]
        for i in range(len(m)):
            records[record, 2 + i] = coordinates[i, event]
        end[part] += 1


@compiled
def sum_records(
    records: Floats,
    seen: Bools,
    in_part: Integers,
    m: Columns,
    sums: Floats,
    n_events: Integers,
) -> None:
    """Add up the records (n, 2 + m) of :func:`sort_roughly` that have the same number.

    Into a row for each number that was ``seen``, in order: ``sums`` (r, 3 + m) of w, w², |w| and |w|·u, and
    ``n_events`` (r,), both of which are zero before.
    """
    # The rows of one part after the other are in the cache.
    row_of = np.empty(PART, np.int64)
    row, start = 0, 0
    for part in range(len(in_part)):
        if not in_part[part]:
            continue
        first = part << _PART_BITS
        for i in range(min(PART, len(seen) - first)):
            row_of[i] = row
            row += seen[first + i]
        for record in range(start, start + in_part[part]):
            this, w = row_of[int(records[record, 0]) - first], records[record, 1]
            sums[this, 0] += w
            sums[this, 1] += w * w
            sums[this, 2] += abs(w)
            for i in range(len(m)):
                sums[this, 3 + i] += abs(w) * records[record, 2 + i]
            n_events[this] += 1
        start += in_part[part]


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
    d: Columns,
    s: Columns,
) -> tuple[Integers, Integers, Floats, Integers]:
    """The rows of two tables, each unique and sorted by source (n,) and key (n, d), as one such table.

    Rows of the same source and key are added: ``sums`` (n, s) and ``count`` (n,).
    """
    n, n_other = len(source), len(other_source)
    # The new row of each. Which table is next cannot be foreseen, so nothing branches on it.
    row, other_row = np.empty(n, np.int64), np.empty(n_other, np.int64)
    a, b, rows = 0, 0, 0
    while a < n and b < n_other:
        order = int(source[a] > other_source[b]) - int(source[a] < other_source[b])
        for i in range(len(d)):
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

    new_source, new_key = np.empty(rows, np.int64), np.empty((rows, len(d)), np.int64)
    new_sums, new_count = np.zeros((rows, len(s))), np.zeros(rows, np.int64)
    # Loops over few numbers: assignments of whole rows take numba seconds to compile.
    for a in range(n):
        new = row[a]
        new_source[new] = source[a]
        new_count[new] = count[a]
        for i in range(len(d)):
            new_key[new, i] = key[a, i]
        for i in range(len(s)):
            new_sums[new, i] = sums[a, i]
    for b in range(n_other):
        new = other_row[b]
        new_source[new] = other_source[b]
        new_count[new] += other_count[b]
        for i in range(len(d)):
            new_key[new, i] = other_key[b, i]
        for i in range(len(s)):
            new_sums[new, i] += other_sums[b, i]
    return new_source, new_key, new_sums, new_count
