"""Observables and images of events as columns of a table, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def observable_columns(
    x: npt.NDArray[np.float32], observables: Sequence[str]
) -> dict[str, npt.NDArray[np.float32]]:
    """Observables (n, d) by name, or images (n, h, w) as one column."""
    return dict(zip(observables, x.T, strict=True)) if observables else {"image": x}


def observable_values(
    columns: Mapping[str, npt.NDArray[Any]], observables: Sequence[str]
) -> npt.NDArray[np.float32]:
    """The array that :func:`observable_columns` was made of."""
    if not observables:
        return columns["image"]
    return np.column_stack([columns[name] for name in observables])


def rows_of_numbers(x: npt.NDArray[Any]) -> Floats:
    """Observables (n, d), or the pixels (n, h · w) of images, in double precision."""
    return x.reshape(len(x), int(np.prod(x.shape[1:]))).astype(np.float64)
