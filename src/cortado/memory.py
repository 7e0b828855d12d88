"""Memory of large arrays that live for a chunk of events, used again by those of the next."""

from __future__ import annotations

import mmap
import sys
import weakref
from contextlib import suppress

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

_LEAST = 1 << 22  # bytes; less is quickly had
_MOST_SPARE = 1 << 26

# By size, a piece that nothing refers to any more. The system gives pages out one by one, filled with zeros,
# which takes as long as to add up a table that lies in them.
_spare: dict[int, mmap.mmap] = {}


def integers(n: int) -> Integers:
    """So many integers, which may be anything.

    On Linux a large array is no part of the heap: there it would leave a hole, in which the next one, a
    little larger, has no room. Its memory is kept for the next array of such a size, one piece of each.
    """
    if sys.platform != "linux" or 8 * n < _LEAST:
        return np.empty(n, np.int64)
    size = 1 << (8 * n - 1).bit_length()  # what is not used takes no memory
    piece = _spare.pop(size, None) or _new(size)
    array = np.frombuffer(piece, np.int64, n)
    weakref.finalize(array, _keep, size, piece).atexit = False  # views keep the array
    return array


def _new(size: int) -> mmap.mmap:
    piece = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # in small pages they are as good, but take longer to get
        piece.madvise(mmap.MADV_HUGEPAGE)
    return piece


def _keep(size: int, piece: mmap.mmap) -> None:
    if size <= _MOST_SPARE:
        _spare[size] = piece
