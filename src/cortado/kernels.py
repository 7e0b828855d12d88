"""Loops over events and over rows of tables, compiled by numba where numpy would need many passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Order = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
UInt64s = npt.NDArray[np.uint64]
# As many integers as there are columns. The length of a tuple is part of its type, so that loops over so few
# numbers are compiled into none, which makes them several times as fast.
Columns = tuple[int, ...]
Function = TypeVar("Function", bound=Callable[..., Any])

_PART_BITS = 10
PART = 1 << _PART_BITS  # so many numbers that follow one another are near one another
_DIGIT = 11  # bits by which numbers are sorted at a time: with so many places the cache keeps up


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
def addresses(number: Integers, low: Integers, span: Integers, first: Integers, others: Integers) -> None:
    """Addresses with numbers (n,) in the box with corner ``low`` (c,) and extent ``span`` (c,).

    Their ``first`` integer (n,), and the ``others`` (n, c − 1), are put into these arrays.
    """
    for row in range(len(number)):
        rest = np.uint64(number[row])
        for c in range(len(low) - 1, 0, -1):
            extent = np.uint64(span[c])
            higher = rest // extent
            others[row, c - 1] = low[c] + np.int64(rest - higher * extent)
            rest = higher
        first[row] = low[0] + np.int64(rest)


@compiled
def row_numbers(
    first: Integers, key: Integers, shift: Integers, low: Integers, span: Integers, d: Columns
) -> Integers:
    """(n,) numbers of ``first`` (n,) and ``key`` (n, d) >> ``shift`` (d,), as of :func:`number_in_box`."""
    number = np.empty(len(first), np.int64)
    for row in range(len(first)):
        place = first[row] - low[0]
        for i in range(len(d)):
            place = place * span[1 + i] + (shifted(key[row, i], shift[i]) - low[1 + i])
        number[row] = place
    return number


@compiled
def shifted(integer: Any, bits: int) -> Any:
    """An integer without its last bits; with all of the 64 gone, 0 is left of a negative one as well."""
    return np.int64(0) if bits > 63 else integer >> bits


@compiled
def extent_of_rows(first: Integers, key: Integers, d: Columns) -> tuple[Integers, Integers]:
    """The smallest and the largest of ``first`` (n,) and of the columns of ``key`` (n, d): twice (1 + d,)."""
    low, high = np.empty(1 + len(d), np.int64), np.empty(1 + len(d), np.int64)
    low[0], high[0] = first.min(), first.max()
    for i in range(len(d)):
        least = most = key[0, i]
        for row in range(len(first)):
            least, most = min(least, key[row, i]), max(most, key[row, i])
        low[1 + i], high[1 + i] = least, most
    return low, high


@compiled
def sorted_by_digits(number: Integers, bits: int, index_bits: int) -> UInt64s:
    """Numbers (n,) of so many bits in ascending order, each with its index in the last ``index_bits``.

    A radix sort, from the last digit to the first: equal numbers stay in their order.
    """
    packed, other = np.empty(len(number), np.uint64), np.empty(len(number), np.uint64)
    for i in range(len(number)):
        packed[i] = (np.uint64(number[i]) << np.uint64(index_bits)) | np.uint64(i)
    passes = max(1, (bits + _DIGIT - 1) // _DIGIT)
    digit = np.uint64((bits + passes - 1) // passes)
    mask = (np.uint64(1) << digit) - np.uint64(1)
    end = np.empty(int(mask) + 1, np.int64)
    for step in range(passes):
        shift = np.uint64(index_bits) + np.uint64(step) * digit
        end[:] = 0
        for i in range(len(packed)):
            end[(packed[i] >> shift) & mask] += 1
        before = 0
        for value in range(len(end)):
            n = end[value]
            end[value] = before
            before += n
        for i in range(len(packed)):
            value = (packed[i] >> shift) & mask
            other[np.uint64(end[value])] = packed[i]
            end[value] += 1
        packed, other = other, packed
    return packed


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
def round_bits(bits: Integers, dropped: int) -> None:
    """Round floating-point numbers, given as ``bits`` (n,), to even without so many of their last bits."""
    half, kept = (1 << (dropped - 1)) - 1, -1 << dropped
    for i in range(len(bits)):
        bits[i] = (bits[i] + ((bits[i] >> dropped) & 1) + half) & kept


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
        this = np.uint64(number[event])
        seen[this] = True
        in_part[this >> np.uint64(_PART_BITS)] += 1


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
        part = np.uint64(number[event]) >> np.uint64(_PART_BITS)
        record = np.uint64(end[part])
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
    ``n_events`` (r,).
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
            if seen[first + i]:
                n_events[row] = 0
                for j in range(3 + len(m)):
                    sums[row, j] = 0
                row += 1
        for record in range(start, start + in_part[part]):
            this, w = np.uint64(row_of[np.uint64(int(records[record, 0]) - first)]), records[record, 1]
            sums[this, 0] += w
            sums[this, 1] += w * w
            sums[this, 2] += abs(w)
            for i in range(len(m)):
                sums[this, 3 + i] += abs(w) * records[record, 2 + i]
            n_events[this] += 1
        start += in_part[part]


@compiled
def n_different(packed: UInt64s, index_bits: int) -> int:
    """How many different numbers there are among those that :func:`sorted_by_digits` has sorted."""
    last = np.uint64(index_bits)
    n = int(len(packed) > 0)
    for i in range(1, len(packed)):
        n += int(packed[i] >> last != packed[i - 1] >> last)
    return n


@compiled
def sum_sorted(
    packed: UInt64s,
    index_bits: int,
    weight: Floats,
    coordinates: Floats,
    m: Columns,
    sums: Floats,
    n_events: Integers,
) -> Integers:
    """Add up the events with the same number, by what :func:`sorted_by_digits` makes of these.

    ``weight`` (n,), ``coordinates`` (m, n). Into a row for each of r different numbers, in order: ``sums``
    (r, 3 + m) of w, w², |w| and |w|·u, and ``n_events`` (r,). Returned is an event that has the number (r,).
    """
    sums[:] = 0
    n_events[:] = 0
    last = np.uint64(index_bits)
    mask = (np.uint64(1) << last) - np.uint64(1)
    one, row = np.empty(len(n_events), np.int64), -1
    for i in range(len(packed)):
        # Whether a row begins cannot be foreseen, so nothing branches on it.
        row += int(i == 0 or packed[i] >> last != packed[i - 1] >> last)
        event = packed[i] & mask
        one[row] = event
        w = weight[event]
        sums[row, 0] += w
        sums[row, 1] += w * w
        sums[row, 2] += abs(w)
        for j in range(len(m)):
            sums[row, 3 + j] += abs(w) * coordinates[j, event]
        n_events[row] += 1
    return one


@compiled
def ascending(number: npt.NDArray[Any]) -> bool:
    """Whether every number is larger than the one before."""
    n = 0
    for i in range(1, len(number)):
        n += int(number[i] <= number[i - 1])
    return n == 0


@compiled
def places_merged(number: Integers, other: Integers) -> tuple[Order, Order, int]:
    """Which row each number of two ascending tables is in the sum of both, and how many rows that has."""
    n, n_other = len(number), len(other)
    # Which table is next cannot be foreseen, so nothing branches on it.
    row, other_row = np.empty(n, np.int32), np.empty(n_other, np.int32)
    a, b, rows = 0, 0, 0
    while a < n and b < n_other:
        row[a], other_row[b] = rows, rows
        ours, theirs = int(number[a] <= other[b]), int(other[b] <= number[a])
        a += ours
        b += theirs
        rows += 1
    for rest in range(a, n):
        row[rest] = rows + rest - a
    for rest in range(b, n_other):
        other_row[rest] = rows + rest - b
    return row, other_row, rows + n - a + n_other - b


@compiled
def places_sorted(packed: UInt64s, index_bits: int) -> tuple[Order, int]:
    """Which of the different numbers each one is, by what :func:`sorted_by_digits` makes; and how many."""
    mask, last = (np.uint64(1) << np.uint64(index_bits)) - np.uint64(1), np.uint64(index_bits)
    row, place = np.empty(len(packed), np.int32), -1
    for i in range(len(packed)):
        place += int(i == 0 or packed[i] >> last != packed[i - 1] >> last)
        row[packed[i] & mask] = place
    return row, place + 1


@compiled
def put(place: Order, values: Integers, into: Integers) -> None:
    """Put ``values`` (n,) at some places, (n,)."""
    for i in range(len(place)):
        into[np.uint32(place[i])] = values[i]


@compiled
def add_rows(
    place: Order,
    shift: Integers,
    rows: tuple[Integers, Floats, Integers],
    into: tuple[Integers, Floats, Integers],
    filled: int,
    d: Columns,
    s: Columns,
) -> int:
    """Add rows, ``key`` (n, d) >> ``shift`` (d,), ``sums`` (n, s) and ``count`` (n,), to those of a table.

    Row i is added to row ``place[i]`` of ``into``: key, sums, count. The first rows of it are ``filled``, the
    others may hold anything; returned is how many are filled then.
    """
    (key, sums, count), (new_key, new_sums, new_count) = rows, into
    # Loops over few numbers: assignments of whole rows take numba seconds to compile.
    for row in range(len(place)):
        new = np.uint32(place[row])
        while filled <= new:
            new_count[filled] = 0
            for i in range(len(s)):
                new_sums[filled, i] = 0
            filled += 1
        new_count[new] += count[row]
        for i in range(len(d)):
            new_key[new, i] = shifted(key[row, i], shift[i])
        for i in range(len(s)):
            new_sums[new, i] += sums[row, i]
    return filled
