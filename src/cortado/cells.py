"""Sums of event weights in integer cells: what both passes accumulate, chunk by chunk.

A :class:`Cells` table adds up like a histogram, in any order and any grouping. A row holds the sums of one
source (dataset, channel, variation, fold) in one cell; rows are unique and sorted, so that tables filled from
the same events are equal however the events were cut into chunks (counts exactly, sums to rounding).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cortado.errors import InputError
from cortado.rows import Rows, Union
from cortado.tally import Tally

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NOMINAL = "nominal"
DEFAULT_CHANNEL = "SR"
# Sums of w, w² and |w|; further columns of `Cells.sums` are sums of |w|·u, one a coordinate.
SUMW, SUMW2, SUMABSW, MOMENTS = 0, 1, 2, 3


class Source(NamedTuple):
    """Where events come from, as far as sums are kept apart.

    ``dataset`` is the name of a process once a table has been normalised.
    """

    dataset: str
    channel: str = DEFAULT_CHANNEL
    variation: str = NOMINAL
    fold: int = 0


@dataclass(frozen=True, eq=False)
class Cells:
    """Sums per source and cell.

    Attributes
    ----------
    sources
        The S sources, sorted. Some may have no row: those of variations that select no event.
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
        address: Integers,
        weight: Floats,
        coordinates: Floats | None = None,
    ) -> Cells:
        """Sum n events of one dataset, channel and variation.

        ``address`` (n, 1 + d): fold and cell; ``weight`` (n,); ``coordinates`` (n, m) adds the moments.
        """
        tally = Tally(len(weight), address.shape[1], 0 if coordinates is None else coordinates.shape[1])
        moments = np.zeros((0, len(weight))) if coordinates is None else coordinates.T
        tally.add(np.ascontiguousarray(address.T), weight, np.ascontiguousarray(moments))
        return cls.from_tally(source, tally)

    @classmethod
    def from_tally(cls, source: Source, tally: Tally) -> Cells:
        """The sums of one dataset, channel and variation, whose addresses begin with the fold.

        A variation has a source in fold 0 whatever the events are: one that selects none was given, too.
        """
        fold, key, sums, count = tally.rows()
        there = np.bincount(fold, minlength=1) > 0
        there[0] |= source.variation != NOMINAL
        sources = tuple(source._replace(fold=f) for f in np.flatnonzero(there).tolist())
        index = fold if there.all() else (np.cumsum(there) - 1)[fold]
        return cls(sources, index, key, sums, count)

    def __len__(self) -> int:
        return len(self.count)

    @property
    def filled(self) -> tuple[Source, ...]:
        """The sources that have rows."""
        return tuple(self.sources[i] for i in np.unique(self.source))

    @property
    def dimensions(self) -> int:
        """Number of integers that address a cell."""
        return self.key.shape[1]

    def __add__(self, other: Cells) -> Cells:
        if not isinstance(other, Cells):
            return NotImplemented
        _refuse_other_shape(self, other)
        if not self.sources or not other.sources:
            return self if self.sources else other
        return Joint.of((self, other)).cells()

    def relabel(self, rename: Callable[[Source], Source], factor: Mapping[str, float] | None = None) -> Cells:
        """Rename the sources, merging those that get one name.

        ``factor`` > 0, by dataset, scales the weights first.
        """
        scale = np.array([1.0 if factor is None else factor[s.dataset] for s in self.sources])
        sums = self.sums.copy()
        if len(scale):
            sums *= scale[self.source, None]
            sums[:, SUMW2] *= scale[self.source]
        renamed = tuple(rename(s) for s in self.sources)
        sources = tuple(sorted(set(renamed)))
        rows = Rows(_indices(renamed, sources, self.source), self.key, sums, self.count)
        return Cells(sources, *Union.of((rows,)).rows())

    def select(self, keep: Callable[[Source], bool]) -> Cells:
        """The rows of the sources for which ``keep`` is true."""
        chosen = np.array([keep(s) for s in self.sources], bool)
        if chosen.all():
            return self
        rows = chosen[self.source] if len(chosen) else np.zeros(0, bool)
        new = np.cumsum(chosen) - 1
        return Cells(
            tuple(s for s in self.sources if keep(s)),
            new[self.source[rows]].astype(np.int64),
            self.key[rows],
            self.sums[rows],
            self.count[rows],
        )


class Joint(NamedTuple):
    """Tables about to be added up, whose number of rows is known: the sources of all, sorted, and a union."""

    sources: tuple[Source, ...]
    union: Union

    @classmethod
    def of(cls, tables: Sequence[Cells], shifts: Sequence[Integers] | None = None) -> Joint:
        """Tables put together, with ``shifts`` as of a :class:`Union`; ``InputError`` unless of one shape."""
        for one, other in pairwise(tables):
            _refuse_other_shape(one, other)
        sources = tuple(sorted({s for table in tables for s in table.sources}))
        rows = [Rows(_indices(t.sources, sources, t.source), t.key, t.sums, t.count) for t in tables]
        return cls(sources, Union.of(rows, shifts))

    @property
    def n_rows(self) -> int:
        """The number of rows of the channel and variation that has the most."""
        n = Counter[tuple[str, str]]()
        ends = np.searchsorted(self.union.first, np.arange(len(self.sources) + 1))
        for source, rows in zip(self.sources, np.diff(ends).tolist(), strict=True):
            n[source.channel, source.variation] += rows
        return max(n.values(), default=0)

    def cells(self) -> Cells:
        """The sum."""
        return Cells(self.sources, *self.union.rows())


def _refuse_other_shape(one: Cells, other: Cells) -> None:
    if one.key.shape[1:] != other.key.shape[1:] or one.sums.shape[1:] != other.sums.shape[1:]:
        raise InputError(
            "cells of different shape cannot be added: addresses of "
            f"{one.dimensions} and {other.dimensions} integers, "
            f"{one.sums.shape[1]} and {other.sums.shape[1]} sums"
        )


def _indices(names: tuple[Source, ...], sources: tuple[Source, ...], source: Integers) -> Integers:
    """What indices into ``names`` are as indices into ``sources``, where every name is."""
    if names == sources:
        return source
    return np.array([sources.index(name) for name in names], np.int64)[source]


def only_channel(cells: Cells, channel: str | None = None) -> str:
    """The channel that is meant: ``channel``, or else the only one, or "SR" among several.

    Raises ``InputError`` if it has no events.
    """
    there = sorted({s.channel for s in cells.filled})
    chosen = channel or (there[0] if len(there) == 1 else DEFAULT_CHANNEL)
    if chosen not in there:
        raise InputError(f"no events of channel {chosen!r}; there are {there}")
    return chosen
