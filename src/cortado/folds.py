"""Folds: a stable, pseudo-random split of events into training and held-out parts.

The fold of an event depends on its identifier alone, never on the order in which events are read. Where an
event carries no number, the identifier comes from the place in its file (:func:`entry_ids`) or from its own
values (:func:`content_ids`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError, InputError
from cortado.kernels import mixed, mixed_remainder

UInt64s = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


def mix(values: UInt64s) -> UInt64s:
    """Scramble 64-bit integers (the finaliser of SplitMix64: Steele, Lea and Flood, OOPSLA 2014)."""
    return mixed(values.astype(np.uint64, copy=False))


def assign_folds(event_id: npt.ArrayLike, n_folds: int) -> npt.NDArray[np.int64]:
    """Fold 0 … ``n_folds`` − 1 of each event (n,) from its integer identifier."""
    identifiers = np.asarray(event_id)
    if identifiers.dtype.kind == "i":
        identifiers = identifiers.astype(np.int64).view(np.uint64)
    return mixed_remainder(identifiers.astype(np.uint64, copy=False), n_folds)


def entry_ids(events: Any) -> UInt64s:
    """Identifiers (n,) for the events of a coffea chunk that carry no event number.

    A hash of dataset, file name (without its folder, so that a copy elsewhere gives the same) and entry.
    Apply the selection to it like to any other column.
    """
    metadata = events.metadata
    name = str(metadata["filename"]).rsplit("/", 1)[-1]
    digest = hashlib.sha256(f"{metadata['dataset']}\0{name}".encode()).digest()
    entries = np.arange(metadata["entrystart"], metadata["entrystop"], dtype=np.uint64)
    entries ^= np.frombuffer(digest[:8], dtype="<u8")[0]
    return mix(entries)


def content_ids(values: Floats) -> UInt64s:
    """Identifiers (n,) for events known by nothing but their values (n, C).

    A hash of the bits of each value in turn, so that neither the other events nor their order matter, but
    for equal events: the second of them has another identifier than the first, and so on, so that they spread
    over folds like others. 0 equals −0 here, and NaN equals NaN.
    """
    identifiers = np.zeros(len(values), np.uint64)
    for column in values.T:
        canonical = np.where(np.isnan(column), np.nan, column) + 0.0  # −0 + 0 is 0
        identifiers = mix(identifiers ^ canonical.view(np.uint64))
    occurrence = _occurrence(identifiers)
    return np.where(occurrence == 0, identifiers, mix(identifiers + occurrence))


def _occurrence(values: UInt64s) -> UInt64s:
    """(n,) how many equal values come before each."""
    order = np.argsort(values, kind="stable")
    _, first, count = np.unique(values[order], return_index=True, return_counts=True)
    occurrence = np.empty(len(values), np.uint64)
    occurrence[order] = np.arange(len(values)) - np.repeat(first, count)
    return occurrence


def chosen_folds(folds: Collection[int] | None, n_folds: int) -> frozenset[int]:
    """The folds meant by ``folds``: all of them for None. Raises ``ConfigError`` if one does not exist."""
    chosen = frozenset(range(n_folds) if folds is None else folds)
    if not chosen or not chosen <= frozenset(range(n_folds)):
        raise ConfigError(f"folds must be some of 0 … {n_folds - 1}, got {sorted(chosen)}")
    return chosen


def fold_of(event_id: npt.ArrayLike | None, n_events: int, n_folds: int) -> npt.NDArray[np.int64]:
    """Folds (n,) of the events of one fill.

    Raises ``InputError`` where identifiers are needed and absent, or are not one integer an event.
    """
    if n_folds == 1:
        return np.zeros(n_events, np.int64)
    if event_id is None:
        raise InputError(
            "event_id is needed to assign events to folds: pass the event number, "
            "or cortado.columnar.entry_ids(events), under the same selection as the features"
        )
    return assign_folds(checked_ids(event_id, n_events), n_folds)


def checked_ids(
    event_id: npt.ArrayLike, n_events: int, what: str = "event_id"
) -> npt.NDArray[np.signedinteger[Any] | np.unsignedinteger[Any]]:
    """Identifiers as an array of integers (n,); else ``InputError``, in which they are called ``what``."""
    rule = f"{what} must be one integer an event, shape ({n_events},)"
    try:
        identifiers = np.asanyarray(event_id)
    except ValueError as error:  # an awkward array with None in it
        raise InputError(f"{rule}: {error}") from error
    if np.ma.is_masked(identifiers):
        raise InputError(f"{rule}, got {np.ma.getmaskarray(identifiers).sum()} masked values")
    if identifiers.shape != (n_events,) or identifiers.dtype.kind not in "iu":
        raise InputError(f"{rule}, got {identifiers.dtype} of shape {identifiers.shape}")
    return np.asarray(identifiers)
