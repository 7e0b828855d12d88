"""The frozen result: maps features to a category with numpy alone, in a versioned JSON file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cortado._version import __version__
from cortado.categorizer.rules import Intervals, Rule, TableRule
from cortado.coordinates import Features
from cortado.errors import ConfigError, InputError, sentences
from cortado.events import feature_array, missing_events
from cortado.files import write_text

UNCATEGORISED = -1
_LARGEST = np.finfo(np.float64).max


class Training(BaseModel):
    """What the categories were trained on, for the record."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    signals: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    n_folds: int = 1
    folds: tuple[int, ...] = (0,)
    seed: int | None = None
    objective: float | None = Field(
        default=None, description="of the hard categories, on the training folds' cells"
    )


class Categorizer(BaseModel):
    """Categories of an N-dimensional discriminant, frozen.

    Call it with features to get categories 0 … K − 1, and −1 for events in which a feature does not exist.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["cortado-categorizer"] = "cortado-categorizer"
    version: Literal[1] = 1
    written_by: str = f"cortado {__version__}"
    features: Features
    rule: Rule
    labels: tuple[str, ...] = Field(default=(), description="a name for each category, in order")
    training: Training | None = None

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
        return self

    @property
    def n_categories(self) -> int:
        """Number K of categories."""
        return self.rule.n_categories

    def __call__(
        self, features: Any, *, invalid: Literal["raise", "uncategorised"] = "raise"
    ) -> npt.NDArray[np.int64]:
        """Category (n,) of each event; −1 where a feature has its declared missing value.

        Parameters
        ----------
        features
            An (n, D) array in the declared order, or a mapping or awkward record array with the declared
            names.
        invalid
            What to do about features that are not finite numbers, and scores outside of [0, 1]: raise
            ``InputError``, or give −1.
        """
        if invalid not in ("raise", "uncategorised"):
            raise ConfigError(f"invalid must be 'raise' or 'uncategorised', got {invalid!r}")
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
            return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot read the categorizer {path}: {error.strerror}") from error
        except ValidationError as error:
            raise InputError(f"{path} is not a valid categorizer: {'; '.join(sentences(error))}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a valid categorizer: {error}") from error
