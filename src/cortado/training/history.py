"""What is written down while a model is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortado.errors import ConfigError
from cortado.models import Model
from cortado.models.tensorflow import tf
from cortado.objectives import Yields
from cortado.points import Points


@dataclass(frozen=True)
class Step:
    """The state of a training after a step, or before the first.

    Attributes
    ----------
    start, step
        Counted from 0; step −1 is the start itself. Steps on events come last, as one start more, which
        begins with the best state found on cells.
    temperature
        Of the memberships in this step, for the start in the first.
    soft, hard
        Objective without floors: of the soft yields, on the cells of the gradient steps as they are; of the
        hard categories, on the cells of the training folds, or on the events where these are trained on.
    shortfall
        How far the hard categories are below the floors, 0 where all meet them.
    bias
        (hard − soft) / hard expected yield of each category, before any is dropped, on the cells of the
        gradient steps.
    """

    start: int
    step: int
    temperature: float
    soft: float
    hard: float
    shortfall: float
    bias: tuple[float, ...]


def soft_yields(model: Model, points: Points, temperature: float) -> Yields:
    """Yields of the K categories of a model at a temperature > 0: points shared out by memberships."""
    if not temperature > 0:
        raise ConfigError(f"temperature must be > 0, got {temperature}")
    memberships = np.asarray(model.memberships(tf.constant(points.place), 1 / temperature), np.float64)
    return points.as_yields.mapped(lambda table: table @ memberships)


def bias(model: Model, points: Points, temperature: float) -> tuple[float, ...]:
    """(hard − soft) / hard expected yield of each of the K categories of a model, all processes together.

    NaN for a category that is empty in the hard limit.
    """
    return bias_of(soft_yields(model, points, temperature), model, points)


def bias_of(soft: Yields, model: Model, points: Points) -> tuple[float, ...]:
    """The bias of :func:`soft_yields` of the same model and points."""
    weight = points.sumw.sum(axis=0)
    hard: Any = np.bincount(model.categories(points.place), weights=weight, minlength=model.n_categories)
    return tuple(((hard - soft.sumw.sum(axis=0)) / np.where(hard == 0, np.nan, hard)).tolist())
