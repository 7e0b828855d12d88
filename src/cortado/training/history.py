"""What is written down while a model is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortado.models import Model
from cortado.models.tensorflow import tf
from cortado.sample import Points


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
        Objective of the soft yields, with floors, on the cells of the gradient steps; objective of the hard
        categories, without floors, on the cells of the training folds. Both on the events, where these are
        trained on.
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


def bias(model: Model, points: Points, temperature: float) -> tuple[float, ...]:
    """(hard − soft) / hard expected yield of each of the K categories of a model, all processes together.

    NaN for a category that is empty in the hard limit.
    """
    weight = points.sumw.sum(axis=0)
    memberships = np.asarray(model.memberships(tf.constant(points.place), 1 / temperature))
    soft = weight @ memberships
    hard: Any = np.bincount(model.categories(points.place), weights=weight, minlength=model.n_categories)
    return tuple(((hard - soft) / np.where(hard == 0, np.nan, hard)).tolist())
