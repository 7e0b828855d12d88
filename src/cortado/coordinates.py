"""Features and the coordinates in which categories are learned: declared once, with the sample.

A :class:`Features` object says which columns of the ntuple make the discriminant, which values mean
"does not exist", and how the columns become coordinates u. It travels with the sample and the categorizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from cortado.blocks import blocks
from cortado.errors import InputError, sentences
from cortado.kernels import n_within

Floats = npt.NDArray[np.float64]

DEFAULT_FLOOR = 1e-9
_ROUNDING = 1e-6  # by which a score of single precision may miss 0 and 1
_LOGARITHMS = 10.0  # the range of log-ratios in which most of what matters lies
# Cells across a range, by the number of coordinates. With a single one every boundary cuts one cell, and its
# events weigh more; from four on there are about as many cells as events anyway.
_CELLS_PER_RANGE = {1: 12_800, 2: 320, 3: 320}
_CELLS_PER_RANGE_OF_MANY = 200
MANY_COORDINATES = 4  # from which on as many cells as events are needed to tell them apart
_LARGEST = float(np.finfo(np.float64).max)
_LARGEST_ADDRESS = 2.0**48
_LEAST_WIDTH = 2.0**-900


class _Group(BaseModel):
    """Features that become coordinates together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: tuple[str, ...] = Field(min_length=1, description="names of the features, in order")

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each coordinate, for axes of plots and tables."""
        return self.features

    def widths(self, cells: int) -> tuple[float | None, ...]:
        """Width of a cell along each coordinate, ``cells`` across a range; None where events have to say."""
        raise NotImplementedError

    def forward(self, x: Floats) -> Floats:
        """Coordinates (n, d) of features (n, len(features))."""
        raise NotImplementedError

    def inverse(self, u: Floats) -> Floats:
        """Features (n, len(features)) of coordinates (n, d)."""
        raise NotImplementedError

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest value of these features that has coordinates."""
        return -_LARGEST, _LARGEST

    @property
    def one_by_one(self) -> bool:
        """Whether each coordinate is a growing function of one of the features."""
        return True

    def valid(self, x: Floats) -> npt.NDArray[np.bool_]:
        """Which of the features (n, len(features)) have coordinates."""
        low, high = self.limits
        return (x >= low) & (x <= high)


class Identity(_Group):
    """The features as they stand: u = x.

    ``width`` is the cell width in the feature's unit, one a feature; without it 1/320 of the central 90 %
    range of the first events read is taken, 1/12800 with a single coordinate, 1/200 from four on.
    """

    kind: Literal["identity"] = "identity"
    width: tuple[Annotated[FiniteFloat, Field(gt=0)], ...] | None = None

    @model_validator(mode="after")
    def _one_width_a_feature(self) -> Identity:
        if self.width is not None and len(self.width) != len(self.features):
            raise ValueError(
                f"width needs one number a feature ({len(self.features)}), got {len(self.width)}"
            )
        return self

    def widths(self, cells: int) -> tuple[float | None, ...]:  # noqa: ARG002 - they are its own
        return self.width or (None,) * len(self.features)

    def forward(self, x: Floats) -> Floats:
        return x

    def inverse(self, u: Floats) -> Floats:
        return u


class Linear(_Group):
    """The features as they stand, u = x, and the range [lo, hi] in which they matter; others are kept, too.

    The range sets the cell width, 1/320 of it (1/12800 with a single coordinate, 1/200 from four on), and
    where equidistant bins are made.
    """

    kind: Literal["linear"] = "linear"
    range: tuple[FiniteFloat, FiniteFloat]

    @field_validator("range")
    @classmethod
    def _upwards(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError(f"range must go upwards, got [{value[0]}, {value[1]}]")
        return value

    def widths(self, cells: int) -> tuple[float | None, ...]:
        low, high = self.range
        return ((high - low) / cells,) * len(self.features)

    def forward(self, x: Floats) -> Floats:
        return x

    def inverse(self, u: Floats) -> Floats:
        return u


class _Scores(_Group):
    """Scores between 0 and 1; a score below ``floor`` counts as ``floor``, which bounds the logarithm."""

    floor: float = Field(default=DEFAULT_FLOOR, gt=0, lt=0.5)

    @property
    def limits(self) -> tuple[float, float]:
        return -_ROUNDING, 1 + _ROUNDING

    def widths(self, cells: int) -> tuple[float | None, ...]:
        return (_LOGARITHMS / cells,) * len(self.labels)

    def _log(self, p: Floats) -> Floats:
        bounded = np.maximum(p, self.floor)
        return np.log(bounded, out=bounded)


class Logit(_Scores):
    """Single scores p: u = log(p / (1 − p)), bounded by ±log(1 / floor)."""

    kind: Literal["logit"] = "logit"

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"logit({name})" for name in self.features)

    def forward(self, x: Floats) -> Floats:
        return self._log(x) - self._log(1 - x)

    def inverse(self, u: Floats) -> Floats:
        return 0.5 * (1 + np.tanh(0.5 * u))


class LogRatio(_Scores):
    """Softmax scores p₁ … p_C that sum to 1: u_i = log(p_i / p_C), i < C, bounded by ±log(1 / floor)."""

    kind: Literal["logratio"] = "logratio"
    features: tuple[str, ...] = Field(min_length=2)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"log({name}/{self.features[-1]})" for name in self.features[:-1])

    @property
    def one_by_one(self) -> bool:
        return False

    def forward(self, x: Floats) -> Floats:
        logs = self._log(x)
        return logs[:, :-1] - logs[:, -1:]

    def inverse(self, u: Floats) -> Floats:
        logs = np.concatenate([u, np.zeros((len(u), 1))], axis=1)
        scores: Floats = np.exp(logs - logs.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)


Coordinates = Annotated[Identity | Linear | Logit | LogRatio, Field(discriminator="kind")]
_KINDS = ("identity", "logit", "logratio")  # those that need no further number


# JSON has no number for what is not finite.
_MAY_BE_NAN = Field(
    json_schema_extra={
        "type": ["number", "string"],
        "pattern": "^(NaN|-?Infinity)$",
    },
)
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


def _number_of_word(value: Any) -> Any:
    return float(value) if value in _NOT_FINITE else value


class Features(BaseModel):
    """The discriminant: features in order, their missing values, and the coordinates made of them."""

    # A missing value may be NaN, which JSON has no number for.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    names: tuple[str, ...] = Field(min_length=1, description="columns of the ntuple, in order")
    coordinates: tuple[Coordinates, ...] = Field(min_length=1)
    missing: dict[str, Annotated[float, _MAY_BE_NAN, BeforeValidator(_number_of_word)]] = Field(
        default_factory=dict, description="per feature, the value that means 'does not exist in this event'"
    )

    @model_validator(mode="after")
    def _every_feature_once(self) -> Features:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"names must not repeat a feature, got {list(self.names)}")
        grouped = [name for group in self.coordinates for name in group.features]
        if sorted(grouped) != sorted(self.names):
            raise ValueError(
                f"coordinates must name every feature exactly once: features are {list(self.names)}, "
                f"coordinates name {grouped}"
            )
        if unknown := sorted(set(self.missing) - set(self.names)):
            raise ValueError(f"missing names {unknown}, which are not among the features {list(self.names)}")
        return self

    @classmethod
    def declare(
        cls,
        names: Sequence[str],
        coordinates: str | Sequence[Coordinates | Mapping[str, Any]] = "identity",
        missing: Mapping[str, float] | None = None,
    ) -> Features:
        """Features with one kind of coordinates for all (by name), or with a list of groups.

        Raises ``InputError`` for an unknown kind or groups that do not fit the names.
        """
        if isinstance(names, str):
            raise InputError(f"features must be a list of names, got the single name {names!r}")
        if isinstance(coordinates, str):
            if coordinates not in _KINDS:
                raise InputError(
                    f"coordinates must be one of {list(_KINDS)} or a list of groups, got {coordinates!r}"
                )
            groups: Sequence[Any] = [{"kind": coordinates, "features": tuple(names)}]
        else:
            groups = coordinates
        try:
            return cls.model_validate(
                {"names": tuple(names), "coordinates": groups, "missing": dict(missing or {})}
            )
        except ValidationError as error:
            raise InputError(f"features {list(names)}: {'; '.join(sentences(error))}") from error

    def __eq__(self, other: object) -> bool:
        # NaN is a missing value like any other, so it equals itself here.
        return isinstance(other, Features) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[Any, ...]:
        missing = tuple(sorted((name, repr(value)) for name, value in self.missing.items()))
        return self.names, self.coordinates, missing

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each of the d coordinates."""
        return tuple(label for group in self.coordinates for label in group.labels)

    @property
    def dimensions(self) -> int:
        """Number d of coordinates."""
        return len(self.labels)

    @property
    def widths(self) -> tuple[float | None, ...]:
        """Width of a cell along each coordinate; None where the events have yet to set it."""
        return tuple(width for group in self.coordinates for width in group.widths(self._cells_per_range))

    @property
    def _cells_per_range(self) -> int:
        return _CELLS_PER_RANGE.get(self.dimensions, _CELLS_PER_RANGE_OF_MANY)

    def columns(self, group: Coordinates) -> list[int]:
        """Columns of the feature array that belong to a group."""
        return [self.names.index(name) for name in group.features]

    @property
    def limits(self) -> dict[str, tuple[float, float]]:
        """By feature, the smallest and the largest value that has coordinates."""
        return {name: group.limits for group in self.coordinates for name in group.features}

    def valid(self, x: Floats) -> npt.NDArray[np.bool_]:
        """Which of the features (n, D) have coordinates: finite numbers, and scores between 0 and 1."""
        valid = np.empty(x.shape, bool, order="F")
        for group in self.coordinates:
            for column in self.columns(group):
                valid[:, column] = group.valid(x[:, column])
        return valid

    def all_valid(self, x: Floats) -> bool:
        """Whether all of the features (n, D) have coordinates."""
        limits = self.limits
        return all(n_within(x.T[i], *limits[name]) == len(x) for i, name in enumerate(self.names))

    def forward(self, x: Floats) -> Floats:
        """Coordinates (n, d), float64, of features (n, D) in the order of ``names``."""
        u = np.empty((self.dimensions, len(x)))
        for rows in blocks(len(x)):
            first = 0
            for group in self.coordinates:
                last = first + len(group.labels)
                own = np.ascontiguousarray(x[rows].T[_together(self.columns(group))])
                u[first:last, rows] = group.forward(own.T).T
                first = last
        return u.T

    def inverse(self, u: Floats) -> Floats:
        """Features (n, D) of coordinates (n, d): what :meth:`forward` was given, up to its bounds."""
        x = np.empty((len(u), len(self.names)))
        first = 0
        for group in self.coordinates:
            last = first + len(group.labels)
            x[:, self.columns(group)] = group.inverse(u[:, first:last])
            first = last
        return x

    @property
    def logarithmic(self) -> npt.NDArray[np.bool_]:
        """(d,) which coordinates are logarithms of ratios of scores."""
        return np.array([isinstance(g, _Scores) for g in self.coordinates for _ in g.labels])

    def with_widths_from(self, x: Floats) -> Features:
        """These features with the missing cell widths set from events (n, D), from the central 90 % range."""
        groups: list[Coordinates] = []
        for group in self.coordinates:
            if isinstance(group, Identity) and group.width is None:
                columns = x[:, self.columns(group)].T
                width = tuple(_round_width(column, self._cells_per_range) for column in columns)
                groups.append(group.model_copy(update={"width": width}))
            else:
                groups.append(group)
        return self.model_copy(update={"coordinates": tuple(groups)})


def _together(columns: list[int]) -> slice | list[int]:
    """Columns as a slice, of which numpy makes no copy, if they follow one another."""
    whole = slice(columns[0], columns[-1] + 1)
    return whole if columns == list(range(whole.start, whole.stop)) else columns


def _round_width(values: Floats, cells: int) -> float:
    """A fixed fraction of the central 90 % range, rounded to a power of two so that edges are exact."""
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.05, 0.95]) if len(values) else (0.0, 1.0)
    span = high - low if high > low else max(abs(high), 1.0)
    # Where nearly all values are the same up to rounding, the others must still have an address.
    least = max(np.abs(values).max(initial=0.0) / _LARGEST_ADDRESS, _LEAST_WIDTH)
    return float(2.0 ** np.round(np.log2(max(span / cells, least))))
