"""Rows of sums by integer address, and how those of several tables are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cortado.kernels import add_rows, ascending, columns, put
from cortado.memory import integers
from cortado.numbering import Order, row_places

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Rows of sums by their address: its ``first`` integer (n,), and the others, ``key`` (n, d).

    ``sums`` (n, 3 + m) Σw, Σw², Σ|w| and m moments Σ|w|·u; ``n_events`` (n,).
    """

    first: Integers
    key: Integers
    sums: Floats
    n_events: Integers


@dataclass(frozen=True, eq=False)
class Union:
    """Tables about to be added up: which rows meet is known, and so is how many there will be.

    Attributes
    ----------
    tables
        Those with rows, which need neither be sorted nor differ from one another.
    shifts
        Per table, the last bits (d,) that its keys lose; without all 64 of them they are 0.
    first
        The first integer (r,) of the addresses in the sum.
    places
        Per table, the row of the sum that each of its rows is part of.
    """

    tables: tuple[Rows, ...]
    shifts: tuple[Integers, ...]
    first: Integers
    places: tuple[Order, ...]

    @classmethod
    def of(cls, tables: Sequence[Rows], shifts: Sequence[Integers] | None = None) -> Union:
        """A union of tables with equal numbers of columns; by default no bits are lost."""
        if shifts is None:
            shifts = [np.zeros(table.key.shape[1], np.int64) for table in tables]
        pairs = list(zip(tables, shifts, strict=True))
        pairs = [(table, shift) for table, shift in pairs if len(table.first)] or pairs[:1]
        places, n_rows = row_places([(table.first, table.key, shift) for table, shift in pairs])
        first = np.empty(n_rows, np.int64)
        for place, (table, _) in zip(places, pairs, strict=True):
            put(place, table.first, first)
        filled, their_shifts = zip(*pairs, strict=True)
        return cls(filled, their_shifts, first, tuple(places))

    def rows(self) -> Rows:
        """The sum: rows are unique and sorted by their address."""
        table, n = self.tables[0], len(self.first)
        if len(self.tables) == 1 and not self.shifts[0].any() and ascending(self.places[0]):
            return table
        d, s = table.key.shape[1], table.sums.shape[1]
        into = space(n, d, s)
        filled = 0
        for own, shift, place in zip(self.tables, self.shifts, self.places, strict=True):
            rows = own.key, own.sums, own.n_events
            filled = add_rows(place, shift, rows, into, filled, columns(d), columns(s))
        return Rows(self.first, *into)


def space(n: int, d: int, s: int) -> tuple[Integers, Floats, Integers]:
    """Arrays for ``key`` (n, d), ``sums`` (n, s) and ``n_events`` (n,), with anything in them."""
    key, sums, n_events = np.split(integers(n * (d + s + 1)), [n * d, n * (d + s)])
    return key.reshape(n, d), sums.view(np.float64).reshape(n, s), n_events
