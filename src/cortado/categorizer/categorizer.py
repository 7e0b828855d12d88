"""The frozen result: maps features to a category with numpy alone, in a versioned JSON file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import numpy.typing as npt
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from cortado._version import __version__
from cortado.categorizer.rules import Intervals, Rule, TableRule
from cortado.coordinates import Features
from cortado.errors import ConfigError, InputError, sentences
from cortado.events import feature_array, inside_lists, missing_events
from cortado.files import write_text

UNCATEGORISED = -1
Invalid = Literal["raise", "uncategorised"]
_LARGEST = np.finfo(np.float64).max
_IN_EVERY_FILE = ("format", "version", "written_by", "features", "rule", "labels")


class Expected(BaseModel):
    """What the categories were found to give on some of the events, at the full luminosity."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: str = Field(description="which: of the training or held out, counted as cells or one by one")
    significances: dict[str, FiniteFloat] = Field(description="expected significance, by signal")
    objective: FiniteFloat | None = Field(description="without its floors; null where it is not finite")
    yields: dict[str, tuple[FiniteFloat, ...]] = Field(description="Σw in each category, by process")


class Training(BaseModel):
    """What the categories were trained on, for the record."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    signals: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    n_folds: int = 1
    folds: tuple[int, ...] = (0,)
    seed: int | None = None
    objective: FiniteFloat | None = Field(
        default=None, description="of the hard categories, on the cells or events that were trained on"
    )
    sample: str | None = Field(default=None, description="a hash of the sample, sha256 in hexadecimal")
    expected: tuple[Expected, ...] = Field(
        default=(), description="what the categories give on the training folds and on those held out"
    )

    @model_validator(mode="after")
    def _folds_exist(self) -> Training:
        # Others would be taken for events that it was not trained on.
        if not set(self.folds) <= set(range(self.n_folds)):
            raise ValueError(f"folds must be some of 0 … {self.n_folds - 1}, got {list(self.folds)}")
        return self


class Categorizer(BaseModel):
    """Categories of an N-dimensional discriminant, frozen.

    Call it with features to get categories 0 … K − 1, and −1 for events in which a feature does not exist.
    """

    # What has a default in Python, the version above all, has to stand in a file.
    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"required": list(_IN_EVERY_FILE)}
    )

    format: Literal["cortado-categorizer"] = "cortado-categorizer"
    version: Literal[1] = 1
    written_by: str = f"cortado {__version__}"
    features: Features
    rule: Rule
    labels: tuple[str, ...] = Field(default=(), description="a name for each category, in order")
    training: Training | None = None

    @field_validator("version", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any) -> Any:
        if isinstance(value, bool):  # which equals 1
            raise ValueError("Input should be 1")
        return value

    @model_validator(mode="before")
    @classmethod
    def _number_the_categories(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("labels") and hasattr(data.get("rule"), "n_categories"):
            return {**data, "labels": tuple(str(k) for k in range(data["rule"].n_categories))}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Categorizer:
        if self.rule.dimensions != self.features.dimensions:
            raise ValueError(
                f"the rule has {self.rule.dimensions} coordinates, "
                f"the features give {self.features.dimensions}"
            )
        if len(self.labels) != self.n_categories or len(set(self.labels)) != self.n_categories:
            raise ValueError(f"labels must be {self.n_categories} distinct names, got {list(self.labels)}")
        for expected in self.training.expected if self.training else ():
            for process, yields in expected.yields.items():
                if len(yields) != self.n_categories:
                    raise ValueError(
                        f"yields of {process!r} must be {self.n_categories} numbers, one a category, "
                        f"got {len(yields)}"
                    )
        return self

    @property
    def n_categories(self) -> int:
        """Number K of categories."""
        return self.rule.n_categories

    def __call__(self, features: Any, *, invalid: Invalid = "raise") -> npt.NDArray[np.int64] | ak.Array:
        """Category (n,) of each event; −1 where a feature has its declared missing value.

        Parameters
        ----------
        features
            An (n, D) array in the declared order, or a mapping, awkward record array or structured array with
            the declared names, such as the events of a processor; other fields are not read.
        invalid
            What to do about features that are not finite numbers, also those of option type that are None,
            and about scores outside of [0, 1]: raise ``InputError``, or give −1.

        Returns
        -------
        numpy.ndarray or awkward.Array
            int64 (n,). Where features are awkward arrays of lists, such as those of the jets of an event, an
            awkward array of the same lists, with a category for each element; features that have one value
            an event count for all elements of it.

        Raises
        ------
        InputError
            A feature is absent, has not one number an event or an element, or is invalid.
        """
        if invalid not in ("raise", "uncategorised"):
            raise ConfigError(f"invalid must be 'raise' or 'uncategorised', got {invalid!r}")
        return inside_lists(self.features, features, lambda flat: self._of_events(flat, invalid))

    def masks(self, features: Any, *, invalid: Invalid = "raise") -> dict[str, npt.NDArray[np.bool_]]:
        """For each label, (n,) which events are in the category: for ``PackedSelection.add_multiple``.

        An event without a category is in none of them. Arguments and errors are those of a call; there must
        be one category an event.
        """
        category = self(features, invalid=invalid)
        if not isinstance(category, np.ndarray):
            raise InputError("masks need one value of each feature an event, got lists of them")
        return {label: category == k for k, label in enumerate(self.labels)}

    def axis(self, name: str = "category", label: str = "Category") -> Any:
        """An axis of :mod:`hist` with a bin for each category; −1, no category, is its underflow."""
        import hist  # takes long to import, and is needed here alone

        return hist.axis.Integer(0, self.n_categories, name=name, label=label, overflow=False)

    def _of_events(self, features: Any, invalid: Invalid) -> npt.NDArray[np.int64]:
        """Category (n,) of events that have one value of each feature."""
        x = feature_array(self.features, features)
        missing = missing_events(self.features, x)
        valid = self.features.valid(x).all(axis=1)
        if invalid == "raise" and not (valid | missing).all():
            raise InputError(
                f"{np.count_nonzero(~valid & ~missing)} of {len(x)} events have features that are not "
                "finite, or scores outside of [0, 1]"
            )
        return self.assign(x, valid & ~missing)

    def assign(self, x: npt.NDArray[np.float64], usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Category (n,) from features (n, D) where ``usable`` (n,), −1 elsewhere."""
        if usable.all():
            return self.rule.assign(self.features.forward(x))
        category = np.full(len(x), UNCATEGORISED, np.int64)
        category[usable] = self.rule.assign(self.features.forward(x[usable]))
        return category

    def boundaries(self) -> Intervals:
        """The categories of a single feature as intervals, with exact boundaries in the unit of the feature.

        Two softmax scores make one coordinate; as they sum to 1, boundaries in the first of them say it all.
        Those that no score reaches, as its floor bounds the coordinate, are left out. Raises ``ConfigError``
        if there is more than one coordinate.
        """
        found = self.rule.boundaries()
        first = self.features.columns(self.features.coordinates[0])[0]
        ends = self.features.inverse(_LARGEST * np.array([[-1.0], [1.0]]))
        low, high = self.features.forward(ends)[:, 0]
        reached = found.within(low, high)
        edges = self.features.inverse(reached.edges[:, None])[:, first]
        return Intervals.joined(edges, reached.categories)

    @property
    def digest(self) -> str:
        """A hash of what decides the category of an event."""
        text = self.features.model_dump_json() + self.rule.model_dump_json()
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the categorizer as JSON, whole or not at all; a table in one line, as it has many numbers."""
        indent = None if isinstance(self.rule, TableRule) else 1
        write_text(path, self.model_dump_json(indent=indent) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Categorizer:
        """Read a categorizer. Raises ``InputError`` naming file and field if it is not a valid one."""
        try:
            text = Path(path).read_text(encoding="utf-8")
            content = _with_tuples(json.loads(text, object_pairs_hook=_distinct))
            found = cls.model_validate(content, strict=True)
        except OSError as error:
            raise InputError(f"cannot read the categorizer {path}: {error.strerror}") from error
        except ValidationError as error:
            raise InputError(f"{path} is not a valid categorizer: {'; '.join(sentences(error))}") from error
        except ValueError as error:  # of the decoders of text and JSON
            raise InputError(f"{path} is not a valid categorizer: {error}") from error
        if absent := _absent(found):
            raise InputError(f"{path} is not a valid categorizer: {', '.join(absent)}: required in a file")
        return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON file; ``ValueError`` if a key, of which the last would count, is given twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return content


def _with_tuples(content: Any) -> Any:
    """The content of a JSON file with tuples in the place of lists, as a strict check of fields wants it."""
    if isinstance(content, dict):
        return {key: _with_tuples(value) for key, value in content.items()}
    return tuple(map(_with_tuples, content)) if isinstance(content, list) else content


def _absent(found: Categorizer) -> list[str]:
    """What has a default in Python, and is not in the file that a categorizer comes from."""
    absent = [name for name in _IN_EVERY_FILE if name not in found.model_fields_set]
    parts: list[tuple[str, BaseModel]] = [("features", found.features)]
    parts += [(f"features.coordinates.{i}", group) for i, group in enumerate(found.features.coordinates)]
    for place, part in parts:
        absent += [f"{place}.{name}" for name in type(part).model_fields if name not in part.model_fields_set]
    return absent
