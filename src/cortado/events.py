"""What a fill gets from a processor, made into clean arrays: the same for both passes and the categorizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from cortado.coordinates import Features
from cortado.errors import InputError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CleanEvents:
    """Events of one fill: features (n, D), weights (n,), and which of them can have a category.

    ``missing`` (n,) marks events in which a feature does not exist; ``invalid`` counts, per feature, values
    that are neither finite nor declared missing.
    """

    x: Floats
    weight: Floats
    missing: Bools
    usable: Bools
    invalid: dict[str, int]

    @property
    def n_missing(self) -> int:
        """Number of events in which a feature does not exist."""
        return int(self.missing.sum())


@dataclass(frozen=True, eq=False)
class GivenEvents:
    """n events of one fill as they were given: a column (n,) for each feature, and weights (n,)."""

    features: Features
    columns: tuple[npt.NDArray[Any], ...]
    weight: npt.NDArray[Any]

    @classmethod
    def of(cls, features: Features, values: Any, weight: npt.ArrayLike) -> GivenEvents:
        """Features and weights of n events.

        Raises ``InputError`` if a feature is absent, has not one value an event, or a weight is not finite.
        """
        columns = _columns(features, values)
        return cls(features, columns, checked_weight(weight, len(columns[0])))

    def __len__(self) -> int:
        return len(self.weight)

    def clean(self, rows: slice = slice(None)) -> CleanEvents:
        """Some of the events as float64 arrays, with missing and unusable ones marked."""
        x = _table([column[rows] for column in self.columns])
        weight = self.weight[rows].astype(np.float64)
        missing = missing_events(self.features, x)
        if not missing.any() and self.features.all_valid(x):  # as nearly always, and soon found out
            return CleanEvents(x, weight, missing, np.ones(len(x), bool), {})
        valid = self.features.valid(x)
        usable = valid.all(axis=1) & ~missing
        bad = () if usable.all() else zip(self.features.names, (~valid & ~missing[:, None]).T, strict=True)
        invalid = {name: n for name, b in bad if (n := int(np.count_nonzero(b)))}
        return CleanEvents(x, weight, missing, usable, invalid)


def clean(features: Features, values: Any, weight: npt.ArrayLike) -> CleanEvents:
    """All events of one fill, cleaned; errors as of :meth:`GivenEvents.of`."""
    return GivenEvents.of(features, values, weight).clean()


def checked_weight(weight: npt.ArrayLike, n_events: int | None = None) -> npt.NDArray[Any]:
    """Weights (n,); ``InputError`` if they are not finite, or not one for each of ``n_events``."""
    w = _flat("weight", weight)
    if n_events is not None and w.shape != (n_events,):
        raise InputError(f"weight must have one value an event, {n_events}, got shape {w.shape}")
    if not np.isfinite(w).all():
        raise InputError(
            f"weight must be finite, got {np.count_nonzero(~np.isfinite(w))} values that are not"
        )
    return w


def named_column(what: str, name: str, values: Any, n_events: int) -> Floats:
    """A column (n,) float64 of what holds features by name; ``what`` it is stands in the ``InputError``.

    An absent value (None) becomes NaN.
    """
    names = _field_names(values) if by_name(values) else None
    if names is None or name not in names:
        there = f"there are {sorted(names)}" if names is not None else "an array has no names"
        raise InputError(f"{what} {name!r} is not there; {there}")
    column = _flat(f"{what} {name!r}", values[name])
    if column.shape != (n_events,):
        raise InputError(f"{what} {name!r} must have one value an event, {n_events}, got {len(column)}")
    return column.astype(np.float64)


def missing_events(features: Features, x: Floats) -> Bools:
    """(n,) whether a feature of x (n, D) has its declared missing value, in double or single precision."""
    missing = np.zeros(len(x), bool)
    for name, sentinel in features.missing.items():
        column = x[:, features.names.index(name)]
        missing |= np.isnan(column) if np.isnan(sentinel) else np.isin(column, as_stored(sentinel))
    return missing


def as_stored(sentinel: float) -> list[float]:
    """A number as a float64 and as a float32 branch hold it: −99.9 is not the same in both."""
    with np.errstate(over="ignore"):
        single = float(np.float32(sentinel))
    return [sentinel, single] if np.isfinite(single) else [sentinel]


def refuse_invalid(invalid: Mapping[tuple[str, str], int]) -> None:
    """Raise ``InputError`` with the numbers of values that are not finite, by (dataset, feature), if any."""
    if invalid:
        listing = ", ".join(f"{n} of {f!r} in {d!r}" for (d, f), n in sorted(invalid.items()))
        raise InputError(
            "values of features or observables that are not finite numbers, or scores outside of [0, 1], and "
            f"not declared missing: {listing}; declare the value that means 'missing', or drop such events "
            "in the processor"
        )


def feature_array(features: Features, values: Any) -> Floats:
    """Features (n, D), float64, in the declared order.

    ``values`` is an (n, D) array in that order, or a mapping, awkward record array or structured array that
    holds the features by name. An absent value (None) becomes NaN.
    """
    return _table(_columns(features, values))


def _table(columns: Sequence[npt.NDArray[Any]]) -> Floats:
    """Columns (n,) side by side, (n, D) float64; the values of a column lie together."""
    x = np.empty((len(columns), len(columns[0])))
    for row, column in zip(x, columns, strict=True):
        row[...] = column
    return x.T


def _columns(features: Features, values: Any) -> tuple[npt.NDArray[Any], ...]:
    if not by_name(values):
        x = _numbers("features", values)
        if x.ndim != 2 or x.shape[1] != len(features.names):
            raise InputError(
                f"features must have shape (n, {len(features.names)}) for {list(features.names)}, "
                f"got {x.shape}"
            )
        return tuple(x.T)
    names = _field_names(values)
    if absent := [name for name in features.names if name not in names]:
        raise InputError(f"features {absent} are not there; there are {sorted(names)}")
    columns = tuple(_flat(f"feature {name!r}", values[name]) for name in features.names)
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise InputError(f"features {list(features.names)} must have equal length, got {sorted(lengths)}")
    return columns


def inside_lists(
    features: Features, values: Any, function: Callable[[Any], npt.NDArray[Any]]
) -> npt.NDArray[Any] | ak.Array:
    """A function of events, also where features are lists of any depth in awkward arrays.

    ``function`` makes (n,) numbers of ``values`` with one number a feature and event, or of the elements of
    the lists, which the result then has, too. A list that is absent in all features stays absent; an absent
    value is NaN, for all elements that it counts for. Raises ``InputError`` for lists of different lengths,
    and those that are absent in some of the features.
    """
    if not by_name(values):
        return function(values)
    there = _field_names(values)
    names = [name for name in features.names if name in there]
    if not any(_is_lists(values[name]) for name in names):
        return function(values)
    columns = [_with_nan(name, values[name]) for name in names]
    try:
        _refuse_lists_absent_in_some(features, columns)
        together = ak.broadcast_arrays(*columns)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"features {list(features.names)} must be lists of equal lengths") from error
    return _innermost(lambda elements: function(dict(zip(names, elements, strict=True))), together)


def _is_lists(column: Any) -> bool:
    return isinstance(column, ak.Array) and column.ndim > 1


def _with_nan(name: str, column: Any) -> ak.Array:
    """A column in which absent values, not lists, are NaN: broadcasting would make whole lists absent."""
    if not _is_lists(column):
        return ak.Array(_flat(f"feature {name!r}", column))
    return ak.fill_none(ak.values_astype(column, np.float64), np.nan, axis=-1)


def _refuse_lists_absent_in_some(features: Features, columns: list[Any]) -> None:
    """``InputError`` unless lists that are absent in one column are so in all that have lists there."""
    for axis in range(max(column.ndim for column in columns) - 1):
        first, *rest = (ak.is_none(column, axis=axis) for column in columns if column.ndim > axis + 1)
        if any(ak.any(absent != first, axis=None) for absent in rest):
            raise InputError(
                f"lists of features {list(features.names)} must be there in all of them, or absent in all"
            )


def _innermost(function: Callable[[list[Any]], npt.NDArray[Any]], columns: list[Any]) -> Any:
    """A function of the elements of lists, in the lists that all columns (awkward arrays) have."""
    if columns[0].ndim == 1:
        return function(columns)
    present = ~ak.to_numpy(ak.is_none(columns[0]))
    lists = [column[present] for column in columns]
    elements = _innermost(function, [ak.flatten(column, axis=1) for column in lists])
    result = ak.unflatten(elements, ak.num(lists[0]))
    return result if present.all() else result[ak.mask(np.cumsum(present) - 1, present)]


def by_name(values: Any) -> bool:
    """Whether features are held by name, not in their order."""
    if isinstance(values, np.ndarray):
        return values.dtype.names is not None
    if isinstance(values, ak.Array):
        return bool(ak.fields(values))
    return not isinstance(values, list | tuple)


def _field_names(values: Any) -> list[str]:
    if isinstance(values, ak.Array):
        return list(ak.fields(values))
    if isinstance(values, np.ndarray):
        return list(values.dtype.names or ())
    try:
        return [str(name) for name in values]
    except TypeError as error:
        raise InputError(
            f"features must be an array, a mapping or an awkward record array, got {type(values).__name__}"
        ) from error


def _flat(what: str, values: Any) -> npt.NDArray[Any]:
    if isinstance(values, ak.Array):
        if values.ndim != 1:
            raise InputError(f"{what} must have one value an event, got {values.ndim} dimensions")
        values = ak.to_numpy(values)  # None becomes masked
    array = _numbers(what, values)
    if array.ndim != 1:
        raise InputError(f"{what} must have one number an event, got shape {array.shape}")
    return array


def _numbers(what: str, values: Any) -> npt.NDArray[Any]:
    """Numbers as they are; None, and a masked value whatever stands under the mask, become NaN."""
    try:
        array = ak.to_numpy(values) if isinstance(values, ak.Array) else np.asanyarray(values)
        if array.dtype.kind not in "fiubO":
            raise TypeError(f"got {array.dtype} of shape {array.shape}")
        if np.ma.isMaskedArray(array):
            return np.ma.filled(array.astype(np.float64), np.nan)
        return np.asarray(array, np.float64 if array.dtype.kind == "O" else None)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be numbers: {error}") from error
