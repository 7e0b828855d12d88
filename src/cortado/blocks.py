"""Long arrays in blocks of rows: what is computed for one block stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK = 16_384


def blocks(n: int) -> Iterator[slice]:
    """Slices of at most ``BLOCK`` rows that make n rows."""
    for start in range(0, n, BLOCK):
        yield slice(start, min(start + BLOCK, n))
