"""Sums of event weights in integer cells: what both passes accumulate, chunk by chunk.

A :class:`Cells` table adds up like a histogram, in any order and any grouping. A row holds the sums of one
source (dataset, channel, variation, fold) in one cell; rows are unique and sorted, so that tables filled from
the same events are equal however the events were cut into chunks (counts exactly, sums to rounding).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cortado.errors import InputError
from cortado.tally import Rows, Tally, distinct

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
        return cls(sources, (np.cumsum(there) - 1)[fold], key, sums, count)

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
        if self.key.shape[1:] != other.key.shape[1:] or self.sums.shape[1:] != other.sums.shape[1:]:
            raise InputError(
                "cells of different shape cannot be added: addresses of "
                f"{self.dimensions} and {other.dimensions} integers, "
                f"{self.sums.shape[1]} and {other.sums.shape[1]} sums"
            )
        if not self.sources or not other.sources:
            return self if self.sources else other
        sources = tuple(sorted({*self.sources, *other.sources}))
        ours, theirs = (
            Rows(_indices(part.sources, sources, part.source), part.key, part.sums, part.count)
            for part in (self, other)
        )
        return Cells(sources, *ours.merged(theirs))

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
        source = _indices(renamed, sources, self.source)
        if renamed == sources:  # nothing is merged, and the order stays
            return Cells(sources, source, self.key, sums, self.count)
        return _summed(sources, source, self.key, sums, self.count)

    def moved(self, key: Integers) -> Cells:
        """The same sums under other addresses (n, d), added up where these are equal."""
        if np.array_equal(key, self.key):
            return self
        return _summed(self.sources, self.source, key, self.sums, self.count)

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


def _indices(names: tuple[Source, ...], sources: tuple[Source, ...], source: Integers) -> Integers:
    """What indices into ``names`` are as indices into ``sources``, where every name is."""
    return np.array([sources.index(name) for name in names], np.int64)[source]


def _summed(
    sources: tuple[Source, ...], source: Integers, key: Integers, sums: Floats, count: Integers
) -> Cells:
    """A table of rows that may share their source and address."""
    unique, index = distinct(np.stack([source, *key.T]).T)
    table = np.empty((len(unique), sums.shape[1]))  # filled column by column: there may be millions of rows
    for new, old in zip(table.T, sums.T, strict=True):
        new[:] = np.bincount(index, weights=old, minlength=len(unique))
    # Sums of counts are exact in float64 up to 2⁵³ events a cell.
    total = np.bincount(index, weights=count, minlength=len(unique)).astype(np.int64)
    return Cells(sources, unique[:, 0].copy(), unique[:, 1:].copy(), table, total)


def only_channel(cells: Cells, channel: str | None = None) -> str:
    """The channel that is meant: ``channel``, or else the only one, or "SR" among several.

    Raises ``InputError`` if it has no events.
    """
    there = sorted({s.channel for s in cells.filled})
    chosen = channel or (there[0] if len(there) == 1 else DEFAULT_CHANNEL)
    if chosen not in there:
        raise InputError(f"no events of channel {chosen!r}; there are {there}")
    return chosen
