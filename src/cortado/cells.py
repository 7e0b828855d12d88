"""Sums of event weights in integer cells: what both passes accumulate, chunk by chunk.

A :class:`Cells` table adds up like a histogram, in any order and any grouping. A row holds the sums of one
source (dataset, channel, variation, fold) in one cell; rows are unique and sorted, so that tables filled from
the same events are equal however the events were cut into chunks (counts exactly, sums to rounding).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cortado.errors import InputError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NOMINAL = "nominal"
# Sums of w, w² and |w|; further columns of `Cells.sums` are sums of |w|·u, one a coordinate.
SUMW, SUMW2, SUMABSW, MOMENTS = 0, 1, 2, 3

# A dense table of cells is quicker than sorting as long as it is not much larger than the list of events.
_DENSE_CELLS_PER_EVENT = 8
_DENSE_CELLS_ALWAYS = 1 << 16


class Source(NamedTuple):
    """Where events come from, as far as sums are kept apart.

    ``dataset`` is the name of a process once a table has been normalised.
    """

    dataset: str
    channel: str = "SR"
    variation: str = NOMINAL
    fold: int = 0


@dataclass(frozen=True, eq=False)
class Cells:
    """Sums per source and cell.

    Attributes
    ----------
    sources
        The S sources, sorted; some may have no row.
    source
        (n,) index into ``sources`` of each row.
    key
        (n, d) integer address of each row's cell.
    sums
        (n, 3 + m) float64: Σw, Σw², Σ|w| and m moments Σ|w|·u.
    count
        (n,) number of events.
    """

    sources: tuple[Source, ...]
    source: Integers
    key: Integers
    sums: Floats
    count: Integers

    @classmethod
    def empty(cls, dimensions: int, moments: int = 0) -> Cells:
        """A table without sources and rows: the identity of addition."""
        return cls(
            (),
            np.zeros(0, np.int64),
            np.zeros((0, dimensions), np.int64),
            np.zeros((0, MOMENTS + moments)),
            np.zeros(0, np.int64),
        )

    @classmethod
    def from_events(
        cls,
        source: Source,
        fold: Integers,
        key: Integers,
        weight: Floats,
        coordinates: Floats | None = None,
    ) -> Cells:
        """Sum n events of one dataset, channel and variation.

        ``fold`` (n,), ``key`` (n, d), ``weight`` (n,); ``coordinates`` (n, m) adds the moments.
        """
        absolute = np.abs(weight)
        columns = [weight, weight * weight, absolute]
        if coordinates is not None:
            columns += [absolute * u for u in coordinates.T]
        address = np.column_stack([fold, key])
        unique, sums, count = _sum_by_address(address, columns, np.ones(len(weight), np.int64))
        folds = np.unique(unique[:, 0])
        return cls(
            tuple(source._replace(fold=int(f)) for f in folds),
            np.searchsorted(folds, unique[:, 0]).astype(np.int64),
            unique[:, 1:],
            sums,
            count,
        )

    def __len__(self) -> int:
        return len(self.count)

    @property
    def dimensions(self) -> int:
        """Number of integers that address a cell."""
        return self.key.shape[1]

    def __add__(self, other: Cells) -> Cells:
        if not isinstance(other, Cells):
            return NotImplemented
        if self.key.shape[1:] != other.key.shape[1:] or self.sums.shape[1:] != other.sums.shape[1:]:
            raise InputError(
                "cells of different shape cannot be added: addresses of "
                f"{self.dimensions} and {other.dimensions} integers, "
                f"{self.sums.shape[1]} and {other.sums.shape[1]} sums"
            )
        sources = tuple(sorted({*self.sources, *other.sources}))
        parts = [_rows_under(part, sources) for part in (self, other)]
        address, sums, count = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return _from_address(sources, address, sums, count)

    def relabel(self, rename: Callable[[Source], Source], factor: Mapping[str, float] | None = None) -> Cells:
        """Rename the sources, merging those that get one name.

        ``factor`` > 0, by dataset, scales the weights first.
        """
        scale = np.array([1.0 if factor is None else factor[s.dataset] for s in self.sources])
        sums = self.sums.copy()
        if len(scale):
            sums *= scale[self.source, None]
            sums[:, SUMW2] *= scale[self.source]
        renamed = [rename(s) for s in self.sources]
        sources = tuple(sorted(set(renamed)))
        index = np.array([sources.index(s) for s in renamed], np.int64)
        new = index[self.source] if len(index) else self.source
        return _from_address(sources, np.column_stack([new, self.key]), sums, self.count)

    def select(self, keep: Callable[[Source], bool]) -> Cells:
        """The rows of the sources for which ``keep`` is true."""
        chosen = np.array([keep(s) for s in self.sources], bool)
        rows = chosen[self.source] if len(chosen) else np.zeros(0, bool)
        new = np.cumsum(chosen) - 1
        return Cells(
            tuple(s for s in self.sources if keep(s)),
            new[self.source[rows]].astype(np.int64),
            self.key[rows],
            self.sums[rows],
            self.count[rows],
        )


def distinct(address: Integers) -> tuple[Integers, Integers]:
    """The different rows of ``address`` (n, c), sorted, and which of them each row is, (n,).

    As of :func:`numpy.unique` along the first axis; quicker where the rows, as digits, make one number.
    """
    span = _span(address)
    if span is None:
        unique, index = np.unique(address, axis=0, return_inverse=True)
        return unique, index.reshape(-1)
    low = address.min(axis=0)
    packed, index = np.unique(_packed(address, low, span), return_inverse=True)
    return _unpacked(packed, low, span), index


def _rows_under(part: Cells, sources: tuple[Source, ...]) -> tuple[Integers, Floats, Integers]:
    index = np.array([sources.index(s) for s in part.sources], np.int64)
    source = index[part.source] if len(index) else part.source
    return np.column_stack([source, part.key]), part.sums, part.count


def _from_address(sources: tuple[Source, ...], address: Integers, sums: Floats, count: Integers) -> Cells:
    unique, new_sums, new_count = _sum_by_address(address, list(sums.T), count)
    return Cells(sources, unique[:, 0], unique[:, 1:], new_sums, new_count)


def _sum_by_address(
    address: Integers, columns: list[Floats], count: Integers
) -> tuple[Integers, Floats, Integers]:
    """Sum ``columns`` and ``count`` over equal rows of ``address`` (n, c); rows come out sorted."""
    if not len(address):
        return address, np.zeros((0, len(columns))), count
    span = _span(address)
    if span is None:
        unique, index = distinct(address)
        return unique, *_bincounts(index, len(unique), columns, count)
    low, size = address.min(axis=0), math.prod(span)
    packed = _packed(address, low, span)
    if size <= max(_DENSE_CELLS_PER_EVENT * len(address), _DENSE_CELLS_ALWAYS):
        occupied = np.flatnonzero(np.bincount(packed, minlength=size))
        sums, counts = _bincounts(packed, size, columns, count)
        sums, counts = sums[occupied], counts[occupied]
    else:
        occupied, index = np.unique(packed, return_inverse=True)
        sums, counts = _bincounts(index, len(occupied), columns, count)
    return _unpacked(occupied, low, span), sums, counts


def _span(address: Integers) -> tuple[int, ...] | None:
    """How many integers each column of ``address`` (n, c) reaches over; None if a row makes no 62 bits."""
    if not len(address):
        return None
    # Python integers: the span of distant addresses does not fit 64 bits.
    ends = zip(address.min(axis=0), address.max(axis=0), strict=True)
    span = tuple(int(last) - int(first) + 1 for first, last in ends)
    return span if math.prod(span) < 1 << 62 else None


def _packed(address: Integers, low: Integers, span: tuple[int, ...]) -> Integers:
    """The rows as numbers (n,), in their order."""
    return np.ravel_multi_index(tuple((address - low).T), span).astype(np.int64, copy=False)


def _unpacked(packed: Integers, low: Integers, span: tuple[int, ...]) -> Integers:
    return np.column_stack(np.unravel_index(packed, span)).astype(np.int64, copy=False) + low


def _bincounts(index: Integers, size: int, columns: list[Floats], count: Integers) -> tuple[Floats, Integers]:
    sums = np.column_stack([np.bincount(index, weights=c, minlength=size) for c in columns]).astype(
        np.float64
    )
    # Sums of counts are exact in float64 up to 2⁵³ events a cell.
    counts = np.bincount(index, weights=count, minlength=size).astype(np.int64)
    return sums, counts
