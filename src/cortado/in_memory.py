"""Events that are given as arrays in memory: checked, with coordinates and numbers of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.coordinates import Coordinates, Features
from cortado.errors import InputError
from cortado.events import missing_events
from cortado.folds import checked_ids, content_ids

Floats = npt.NDArray[np.float64]


def declared_arrays(
    processes: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    coordinates: str | Sequence[Coordinates | Mapping[str, Any]],
    names: Sequence[str] | None,
    missing: Mapping[str, float] | None,
) -> tuple[Features, dict[str, tuple[Floats, Floats]]]:
    """The features, with cell widths, and the arrays of :meth:`Sample.from_arrays`; else ``InputError``."""
    if not processes:
        raise InputError("from_arrays needs at least one process, got an empty mapping")
    arrays = {p: (np.asarray(x, np.float64), np.asarray(w, np.float64)) for p, (x, w) in processes.items()}
    for process, (x, w) in arrays.items():
        if x.ndim != 2 or w.shape != x.shape[:1]:
            raise InputError(
                f"process {process!r}: features must have shape (n, D) and weights (n,), "
                f"got {x.shape} and {w.shape}"
            )
    depth = {x.shape[1] for x, _ in arrays.values()}
    if len(depth) > 1:
        raise InputError(f"all processes need the same number of features, got {sorted(depth)}")
    n_features = depth.pop()
    columns = tuple(f"x{i}" for i in range(n_features)) if names is None else tuple(names)
    if len(columns) != n_features:
        raise InputError(f"names must be one a feature, {n_features}, got {list(columns)}")
    features = Features.declare(columns, coordinates, missing)
    if None in features.widths:
        together = np.concatenate([x for x, _ in arrays.values()])
        features = features.with_widths_from(together[~missing_events(features, together)])
    return features, arrays


def identifiers(
    process: str, x: Floats, w: Floats, event_ids: Mapping[str, npt.ArrayLike] | None
) -> npt.NDArray[Any]:
    """(n,) the event numbers of a process; where none are given, hashes of its features and weights."""
    if event_ids is None:
        return content_ids(np.column_stack([x, w]))
    if process not in event_ids:
        raise InputError(
            f"event_ids must have the event numbers of every process, got some of {sorted(event_ids)} "
            f"and none of {process!r}"
        )
    return checked_ids(event_ids[process], len(w), f"event_ids[{process!r}]")
