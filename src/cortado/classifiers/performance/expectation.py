"""What number of events is expected, and which significance is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from cortado.classifiers.performance.predictions import Floats, Predictions, check_positive
from cortado.errors import ConfigError
from cortado.objectives.counting import SQUARED_SIGNIFICANCES


@dataclass(frozen=True)
class Expectation:
    """Expected events of some predictions, and their significance.

    Parameters
    ----------
    kind
        "asimov", √(2 [(s + b) ln(1 + s/b) − s]), "s/sqrt(b)" or "s/sqrt(s+b)": significances of
        ``cortado.objectives``, 0 where signal or background is not positive.
    cross_sections, luminosity
        Yields are cross section × luminosity × efficiency, with a cross section for each class and a
        luminosity in inverse units, such as pb and pb⁻¹. Without both, yields are the sums of the weights.
    min_background
        What leaves fewer expected background events has no significance.

    Raises
    ------
    ConfigError
        For another kind, one of cross sections and luminosity alone, and numbers that are negative.
    """

    kind: str = "asimov"
    cross_sections: Sequence[float] | None = None
    luminosity: float | None = None
    min_background: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in SQUARED_SIGNIFICANCES:
            raise ConfigError(f"kind must be one of {', '.join(SQUARED_SIGNIFICANCES)}, got {self.kind!r}")
        if (self.cross_sections is None) != (self.luminosity is None):
            raise ConfigError(
                "cross_sections and luminosity must be given together, or neither of them, "
                f"got {self.cross_sections} and {self.luminosity}"
            )
        if self.cross_sections is not None:
            object.__setattr__(self, "cross_sections", tuple(self.cross_sections))
        given: list[tuple[str, Any]] = [("cross_sections", value) for value in self.cross_sections or ()]
        given += [("luminosity", self.luminosity or 0.0), ("min_background", self.min_background)]
        for name, value in given:
            if not isinstance(value, Real) or not 0 <= float(value) < float("inf"):
                raise ConfigError(f"{name} must be finite and not negative, got {value!r}")

    def check_classes(self, n_classes: int) -> None:
        """Raise ``ConfigError`` where there is not a cross section for each class."""
        if self.cross_sections is not None and len(self.cross_sections) != n_classes:
            given = len(self.cross_sections)
            raise ConfigError(f"cross_sections must have one for each of {n_classes} classes, got {given}")

    def check(self, predictions: Predictions) -> None:
        """Raise an error where the cross sections are not those of the classes, or a class has no events.

        It is a ``ConfigError`` or a ``MissingEvents``.
        """
        self.check_classes(predictions.n_classes)
        totals = _totals(predictions, predictions.weight)
        for number, cross_section in enumerate(self.cross_sections or ()):
            if cross_section > 0:
                check_positive(f"class {number}", totals[number])

    def events(self, predictions: Predictions, weight: Floats) -> Floats:
        """(n,) how many events are expected for each event of this weight."""
        if self.cross_sections is None or self.luminosity is None:
            return weight
        totals = _totals(predictions, weight)
        present = np.where(totals > 0, totals, np.inf)  # a class may be missing from a replica of few events
        yields = np.array(self.cross_sections, np.float64) * self.luminosity
        return weight * (yields / present)[predictions.y]

    def significance(self, signal: Floats, background: Floats) -> Floats:
        """Z of expected events of signal and background, float64."""
        z = np.sqrt(SQUARED_SIGNIFICANCES[self.kind](signal, background))
        return np.where(background >= self.min_background, z, 0.0)


FROM_WEIGHTS = Expectation()
"""Yields are sums of the weights, the significance is the Asimov one."""


def _totals(predictions: Predictions, weight: Floats) -> Floats:
    return np.bincount(predictions.y, weight, predictions.n_classes).astype(np.float64)
