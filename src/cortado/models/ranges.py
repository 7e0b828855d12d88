"""Ranges of coordinates as arguments of models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cortado.coordinates import Features
from cortado.errors import ConfigError

Ranges = tuple[tuple[float, float], ...]


def checked_ranges(name: str, ranges: Sequence[Sequence[float]]) -> Ranges:
    """Ranges (low, high), if they are finite and go upwards; else ``ConfigError`` naming the argument."""
    for span in ranges:
        if np.shape(span) != (2,) or not np.isfinite(span).all() or not span[0] < span[1]:
            raise ConfigError(
                f"{name} must be ranges (low, high) of finite numbers with low < high, got {span!r}"
            )
    return tuple((float(low), float(high)) for low, high in ranges)


def one_a_coordinate(name: str, values: Sequence[object], features: Features) -> npt.NDArray[np.float64]:
    """The values as an array; ``ConfigError`` naming the argument unless there is one for each coordinate."""
    if len(values) != features.dimensions:
        raise ConfigError(
            f"{name} must have one entry for each of the {features.dimensions} coordinates "
            f"{list(features.labels)}, got {len(values)}"
        )
    return np.array(values, np.float64)
