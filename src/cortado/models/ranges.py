"""Ranges of coordinates: as arguments of models, and where the events are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cortado.coordinates import Features, Linear
from cortado.errors import ConfigError
from cortado.points import Points

Ranges = tuple[tuple[float, float], ...]

_TAIL = 0.001  # of each process, on either side, lies outside


def checked_ranges(name: str, ranges: Sequence[Sequence[float]]) -> Ranges:
    """Ranges (low, high), if they are finite and go upwards; else ``ConfigError`` naming the argument."""
    rule = f"{name} must be ranges (low, high) of finite numbers with low < high"
    try:
        ranges = tuple(ranges)
        numbers = [np.asarray(span, np.float64) for span in ranges]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{rule}, one for each coordinate, got {ranges!r}") from error
    for span, ends in zip(ranges, numbers, strict=True):
        if ends.shape != (2,) or not np.isfinite(ends).all() or not ends[0] < ends[1]:
            raise ConfigError(f"{rule}, got {span!r}")
    return tuple((float(low), float(high)) for low, high in numbers)


def one_a_coordinate(name: str, values: Sequence[object], features: Features) -> npt.NDArray[np.float64]:
    """The values as an array; ``ConfigError`` naming the argument unless there is one for each coordinate."""
    if len(values) != features.dimensions:
        raise ConfigError(
            f"{name} must have one entry for each of the {features.dimensions} coordinates "
            f"{list(features.labels)}, got {len(values)}"
        )
    return np.array(values, np.float64)


def ranges_of(points: Points) -> Ranges:
    """For each coordinate the range that was declared with it (:class:`Linear`), or that of most events.

    At most 0.1 % of any process are on either side of the latter. It also stands in for a declared range in
    which there are no events.
    """
    groups = points.features.coordinates
    declared = [group.range if isinstance(group, Linear) else None for group in groups for _ in group.labels]
    found = points.ranges(_TAIL)
    return tuple(
        given if given and given[0] < own[1] and own[0] < given[1] else own
        for given, own in zip(declared, found, strict=True)
    )
